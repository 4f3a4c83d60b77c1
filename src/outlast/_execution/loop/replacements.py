"""Our own `wait_for`, `as_completed` and future of `gather`, used while a run's loop is running.

CPython's differ between minors in ways that a journal would notice: `wait_for` makes a child task
on 3.11 and awaits inline from 3.12 on; `as_completed` over bare coroutines iterates a set of them
in address order. These two ask for the same operations in the same order everywhere. The future
that `gather` returns is made without asking the loop; ours hashes by the run.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Generic, TypeVar

from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.executing import running_loop

T = TypeVar("T")

_stock_wait_for = asyncio.wait_for
_stock_as_completed = asyncio.as_completed


async def wait_for(fut: Awaitable[T], timeout: float | None) -> T:
    """Wait for `fut`, at most `timeout` seconds; then cancel it and raise TimeoutError."""
    loop = running_loop()
    if loop is None:
        return await _stock_wait_for(fut, timeout)
    if timeout is not None and timeout <= 0:
        future = loop.own(fut)
        if future.done():
            return future.result()
        future.cancel()
        try:
            await future
        except asyncio.CancelledError as error:
            raise TimeoutError from error
        raise TimeoutError
    async with asyncio.timeout(timeout):
        return await fut


class _Completions(Generic[T]):
    """Both faces of `as_completed`: plain iteration gives awaitables, async iteration futures."""

    def __init__(
        self, loop: RunLoop, awaitables: Iterable[Awaitable[T]], timeout: float | None
    ) -> None:
        self._todo: dict[Future[T], None] = {}
        self._done: deque[Future[T]] = deque()
        self._waiter: Future[None] | None = None
        self._is_late = False
        unique: dict[int, Awaitable[T]] = {id(a): a for a in awaitables}
        for awaitable in unique.values():
            self._todo[loop.own(awaitable)] = None
        self._left = len(self._todo)
        self._timer = None
        if timeout is not None and self._todo:
            self._timer = loop.call_later(timeout, self._expire)
        for future in list(self._todo):
            future.add_done_callback(self._finished)

    def _finished(self, future: Future[T]) -> None:
        if future not in self._todo:
            return
        del self._todo[future]
        self._done.append(future)
        if not self._todo and self._timer is not None:
            self._timer.cancel()
        self._wake()

    def _expire(self) -> None:
        for future in self._todo:
            future.remove_done_callback(self._finished)
        self._todo.clear()
        self._is_late = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _next_future(self) -> Future[T]:
        while not self._done:
            if self._is_late:
                raise TimeoutError
            if self._waiter is None or self._waiter.done():
                self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiter)
        return self._done.popleft()

    async def _next_result(self) -> T:
        future = await self._next_future()
        return future.result()

    def __iter__(self) -> Iterator[Coroutine[object, object, T]]:
        return self

    def __next__(self) -> Coroutine[object, object, T]:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._next_result()

    def __aiter__(self) -> AsyncIterator[Future[T]]:
        return self

    async def __anext__(self) -> Future[T]:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._next_future()


def as_completed(
    fs: Iterable[Awaitable[T]], *, timeout: float | None = None
) -> Iterator[Coroutine[object, object, T]]:
    """Iterate over awaitables in the order in which they end."""
    loop = running_loop()
    if loop is None:
        stock: Iterator[Coroutine[object, object, T]] = iter(
            _stock_as_completed(fs, timeout=timeout)  # type: ignore[arg-type]  # per minor
        )
        return stock
    return _Completions(loop, fs, timeout)


def _let_gathered_hash_by_run() -> None:
    """Give the future that `gather` makes, without asking its loop, a hash of the run's."""
    gathered: type[Future[object]] = getattr(asyncio.tasks, "_GatheringFuture")  # noqa: B009
    begin: Callable[..., None] = vars(gathered)["__init__"]

    def init(self: Future[object], children: object, *, loop: AbstractEventLoop) -> None:
        begin(self, children, loop=loop)
        ordinal = loop.next_future_hash() if isinstance(loop, RunLoop) else id(self) >> 4
        setattr(self, "ordinal", ordinal)  # noqa: B010  # the class is asyncio's

    def ordinal_of(self: object) -> int:
        ordinal: int = getattr(self, "ordinal")  # noqa: B009
        return ordinal

    setattr(gathered, "__init__", init)  # noqa: B010
    setattr(gathered, "__hash__", ordinal_of)  # noqa: B010


def install_replacements() -> None:
    """Put ours in asyncio's place; outside a run they call the stock ones."""
    _let_gathered_hash_by_run()
    for module in (asyncio, asyncio.tasks):
        setattr(module, "wait_for", wait_for)  # noqa: B010  # type checkers refuse the plain form
        setattr(module, "as_completed", as_completed)  # noqa: B010
