"""Functions of tools with something around each call, seen by pydantic-ai as they are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

Around = Callable[[tuple[object, ...], dict[str, object]], AbstractContextManager[None]]


def wrapped(tool: F, around: Around) -> F:
    """Return a function that enters `around(args, kwargs)` for each call of the tool.

    What a call returns is awaited inside of it, also where only its `__call__` is async, or where
    a plain function returns an awaitable.
    """

    async def awaited(*args: object, **kwargs: object) -> object:
        with around(args, kwargs):
            made = tool(*args, **kwargs)
            return await made if inspect.isawaitable(made) else made

    def called(*args: object, **kwargs: object) -> object:
        with around(args, kwargs):
            made = tool(*args, **kwargs)

        async def rest() -> object:
            # Entered again: a plain function runs on a thread, and is awaited elsewhere.
            with around(args, kwargs):
                return await made if inspect.isawaitable(made) else made

        return rest() if inspect.isawaitable(made) else made

    inner: object = getattr(tool, "__call__", None)  # noqa: B004  # not whether it can be called
    is_async = inspect.iscoroutinefunction(tool) or inspect.iscoroutinefunction(inner)
    made = functools.wraps(tool)(awaited if is_async else called)
    same: F = made  # type: ignore[assignment]  # it has the signature of what it wraps
    return same
