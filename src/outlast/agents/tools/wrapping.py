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
    """Return a function that enters `around(args, kwargs)` for each call of the tool."""

    async def awaited(*args: object, **kwargs: object) -> object:
        with around(args, kwargs):
            made = tool(*args, **kwargs)
            return await made if inspect.isawaitable(made) else made

    def called(*args: object, **kwargs: object) -> object:
        with around(args, kwargs):
            return tool(*args, **kwargs)

    made = functools.wraps(tool)(awaited if inspect.iscoroutinefunction(tool) else called)
    same: F = made  # type: ignore[assignment]  # it has the signature of what it wraps
    return same
