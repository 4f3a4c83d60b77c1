"""The bounds of budgets, with their reasons; `docs/reference/limits.md` lists them."""

from __future__ import annotations

WAIT_SECONDS = 300.0
"""How long a request waits for the reservations of others, most of which come back: about as long
as the longest requests to models take."""

POLL_SECONDS = (0.05, 1.0)
"""The first and the longest pause between two tries while it waits; each is twice the last."""

RESERVATION_SECONDS = 3_600.0
"""After this time a reservation that was not settled is spent: no request takes that long."""

UNUSED_SECONDS = 90 * 86_400.0
"""A ledger of one run stops when the run has not used it for this long, or twice as long."""

OUTPUT_TOKENS = 4_096
"""`max_tokens` of a request under a budget that sets none: every model in use allows as much."""

TURN_TOKENS = 256
"""Output tokens below which a turn with tools makes no sense: arguments of a call or two."""

ANSWER_TOKENS = 64
"""Output tokens below which a last answer makes no sense."""
