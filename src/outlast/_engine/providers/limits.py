"""The bounds of queues at providers, with their reasons; `docs/reference/limits.md` lists them."""

from __future__ import annotations

AHEAD_SECONDS = 60.0
"""An interactive request counts as if it had come so much earlier: one minute of a provider."""

ADMITTED_MAX = 64
"""Requests whose turns are recorded in one message: what a minute of 100,000 gives in 40 ms."""

CORRECTIONS_MAX = 1_000
"""Corrections that are kept one by one until they are told; more are added up by the second."""

SHOWN_MAX = 1_000
"""Requests before one that waits that `why` counts: it is done on the engine's loop."""

OUTPUT_TOKENS = 500.0
"""Tokens that a response is expected to have before there was one."""

OUTPUT_WEIGHT = 0.1
"""How much one response changes what the next is expected to have."""

BYTES_PER_TOKEN = 3
"""Bytes of text that are counted as a token before a request: English has more, code fewer."""

UNKNOWN_TOKENS = 2_000
"""Tokens that a file is expected to have whose size is not known before a request."""

WINDOW_SECONDS = 61
"""How long a request counts at least: a minute, and a second for its way to the provider."""

PACE_SECONDS = 10.0
"""What a provider's minute gives in so many seconds may be sent at once; the rest follows as it
comes, so that one tenant cannot use up the minute before the next one asks."""

PACE_REQUESTS = 10
"""Requests that may be sent at once in any case, if the minute has them."""

ANSWER_SECONDS = (0.25, 16.0)
"""How long it may take to record a turn, at first and at most: a commit takes a few milliseconds.
A turn that was recorded too late is given back, since its minute would be over too soon."""

HOLD_SECONDS_MAX = 3_600.0
"""A provider that asks to wait longer is asked again after this time."""

HOLDS_MAX = 20
"""How often one request is held back by its provider before that counts as a failed attempt."""

HOLD_SECONDS = (1.0, 60.0)
"""The first and the longest pause after a provider that does not say how long to wait."""

UNKNOWN_NAMES_MAX = 100
"""Providers without limits of which a warning is logged, once each."""
