"""Functions of tools with something around each call, seen by pydantic-ai as they are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from pydantic_ai.exceptions import (
    AgentRunError,
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    ToolFailed,
    UserError,
)

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


# What these say is said to pydantic-ai, whoever raises them.
_SAID_TO_THE_AGENT = (
    AgentRunError,
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    ToolFailed,
)


@contextmanager
def naming(what: str) -> Generator[None]:
    """Have an error that a function of a tool's declaration raises say which function it was.

    Raises:
        UserError: it raised another error than those that are meant for pydantic-ai.
    """
    try:
        yield
    except _SAID_TO_THE_AGENT:
        raise
    except Exception as error:  # whatever users' functions raise
        raise UserError(f"{what} raised {type(error).__name__}: {error}") from error
