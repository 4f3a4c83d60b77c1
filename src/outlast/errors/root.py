"""The root of the tree, and what fits no branch of it."""

from __future__ import annotations


class OutlastError(Exception):
    """The root of every error that outlast raises on purpose."""


class EngineClosed(OutlastError):
    """The engine is draining or closed and starts nothing new."""


class Shutdown(EngineClosed):
    """A step was ended by our own shutdown; this costs it no attempt."""


class WaitTimeout(OutlastError, TimeoutError):
    """A wait ran out. What it waited for is untouched and goes on."""


class ServerRefused(OutlastError):
    """A server refused a request: `status` of HTTP and `kind`, such as "token-wrong"."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail or f"the server rejected the request ({status} {kind})")
        self.status = status
        self.kind = kind


class Passivating(BaseException):
    """The run leaves memory. Not an `Exception`: workflow code must let it pass."""
