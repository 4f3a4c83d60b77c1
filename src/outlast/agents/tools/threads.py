"""Threads of tools that are plain functions: they cannot be stopped, so their end is waited for.

A tool that has run out of time may still have its effect. It is undone, or asked about, after that.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

from pydantic_ai import Agent
from typing_extensions import override

from outlast.agents.internals import thread_executor
from outlast.agents.tools.effects import ToolCall, function_of

P = ParamSpec("P")
T = TypeVar("T")


class ToolThreads(Executor):
    """Runs one call of a tool, and knows when its function has ended.

    It runs where the agent's own executor says, if it has one, and else on a thread of its own,
    which does not keep the process from ending.
    """

    def __init__(self) -> None:
        self._running: set[Future[object]] = set()
        self._inner: Executor | None = None

    @override
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._inner is not None:
            future = self._inner.submit(fn, *args, **kwargs)
        else:
            future = Future[T]()
            work = (future, fn, args, kwargs)
            threading.Thread(target=_run, args=work, name="outlast-tool", daemon=True).start()
        known: Future[object] = future  # type: ignore[assignment]  # its result is not looked at
        self._running.add(known)
        known.add_done_callback(self._running.discard)
        return future

    def used(self) -> AbstractContextManager[None]:
        """Have pydantic-ai call plain functions by it."""
        self._inner = thread_executor()
        return Agent.using_thread_executor(self)

    async def ended(self) -> None:
        """Wait until no function runs any more: none does in another process than the first."""
        if self._running:
            await asyncio.wait([asyncio.wrap_future(future) for future in self._running])


def _run(
    future: Future[T], fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001  # as executors have it
        future.set_exception(error)


def threads_of(call: ToolCall) -> ToolThreads | None:
    """Return what runs a call of a plain function; None for other tools."""
    function = function_of(call.tool)
    is_plain = inspect.isfunction(function) and not inspect.iscoroutinefunction(function)
    return ToolThreads() if is_plain else None
