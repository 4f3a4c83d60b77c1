"""Calling a step's function on a thread so that whatever it raises is an outcome."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception that must not travel through a thread pool's future as itself."""

    error: BaseException


def contained(context: Context, call: Callable[[], object]) -> object:
    """Return what `call` returns in a context, or `Raised`."""
    try:
        return context.run(call)
    except BaseException as error:  # noqa: BLE001  # SystemExit on a pool thread is an outcome
        return Raised(error)
