"""What people ask of a run: to stop within a grace, to give up a message that it cannot read."""

from __future__ import annotations

from outlast._store.rows import Message

DISCARD = "discard"
"""Name of a request to resume that also gives up what the run cannot read."""


def grace_body(grace: float | None) -> bytes:
    """Return the body of a request to cancel; None leaves open how long the cleanup may take."""
    return b"" if grace is None else repr(grace).encode()


def grace_in(message: Message) -> float | None:
    """Return the grace that a request to cancel came with, None when it left that open."""
    return float(message.body) if message.body else None
