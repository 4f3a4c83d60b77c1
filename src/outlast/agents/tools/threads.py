"""Threads of tools that are plain functions: they cannot be stopped, so their end is waited for.

A tool that has run out of time, or whose run was cancelled, may still have its effect. It is
undone, or asked about, after that. A process that has died has no threads; one that lives may go on
with the run, under the same key: what is at work is known by that.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import ParamSpec, TypeVar

from pydantic_ai import Agent
from typing_extensions import override

from outlast.agents.internals import thread_executor
from outlast.agents.tools.effects import ToolCall, function_of

P = ParamSpec("P")
T = TypeVar("T")


_lock = threading.Lock()  # functions end on their threads
_at_work: dict[str, set[Future[object]]] = {}


class ToolThreads(Executor):
    """Runs one call of a tool, and knows when its function has ended.

    It runs where the agent's own executor says, if it has one, and else on a thread of its own,
    which does not keep the process from ending.
    """

    def __init__(self, key: str) -> None:
        self._key = key
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
        with _lock:
            _at_work.setdefault(self._key, set()).add(known)
        known.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[object]) -> None:
        with _lock:
            running = _at_work[self._key]
            running.discard(future)
            if not running:
                del _at_work[self._key]

    def used(self) -> AbstractContextManager[None]:
        """Have pydantic-ai call plain functions by it."""
        self._inner = thread_executor()
        return Agent.using_thread_executor(self)

    def _one_at_work(self) -> Future[object] | None:
        with _lock:
            return next(iter(_at_work.get(self._key, ())), None)

    async def ended(self) -> None:
        """Wait until no function of the call runs any more in this process."""
        loop = asyncio.get_running_loop()
        while (running := self._one_at_work()) is not None:
            over: asyncio.Future[None] = loop.create_future()
            running.add_done_callback(partial(_tell, loop, over))
            await over


def _tell(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None], _: Future[object]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(_release, over)


def _release(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def _run(
    future: Future[T], fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001  # as executors have it
        future.set_exception(error)


def threads_of(call: ToolCall, key: str) -> ToolThreads | None:
    """Return what runs a call of a plain function, under its key; None for other tools."""
    function = function_of(call.tool)
    is_plain = inspect.isfunction(function) and not inspect.iscoroutinefunction(function)
    return ToolThreads(key) if is_plain else None
