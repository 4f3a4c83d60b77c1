"""Who asks for what is read: clients take turns and are bounded, the program itself is not.

Only `Store.lookups` goes by it. What the engine reads for itself has connections of its own,
whoever caused it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from outlast.errors import StoreBusy

PROGRAM = ""

_asker: ContextVar[tuple[str, str]] = ContextVar("asker", default=(PROGRAM, ""))


class TooLong(StoreBusy):
    """A client's lookup was ended because it took too long."""


def asker() -> tuple[str, str]:
    """Return whose request this is, and from where; `PROGRAM` outside of requests."""
    return _asker.get()


@contextmanager
def asked_by(name: str, address: str) -> Generator[None]:
    """Read on behalf of a client in this block."""
    before = _asker.set((name, address))
    try:
        yield
    finally:
        _asker.reset(before)
