"""Where pydantic-ai calls plain functions: in workflow code at once, in steps on threads.

It has no public name for either; this is the one place that knows the private ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from pydantic_ai import _utils

_without_threads: ContextVar[bool] = vars(_utils)["_disable_threads"]


def no_threads() -> AbstractContextManager[None]:
    """Have prompts and validators that are plain functions called in workflow code itself."""
    return _utils.disable_threads()


@contextmanager
def threads_in_steps() -> Generator[None]:
    """Let tools that are plain functions run on threads again: a step has its caller's context.

    Not in a simulation, which knows of no threads.
    """
    is_simulated = not getattr(asyncio.get_running_loop(), "has_threads", True)
    token = _without_threads.set(is_simulated)
    try:
        yield
    finally:
        _without_threads.reset(token)
