"""Threads that work on a database for the host loop.

Invariants:
  * a connection is used by the one thread that it was given to;
  * jobs of one `Workers` begin in the order they were asked for.
"""

from __future__ import annotations

import logging
import threading
from asyncio import Future
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from outlast._world import World

log = logging.getLogger("outlast.store")

C = TypeVar("C")
T = TypeVar("T")
V = TypeVar("V")
_Then: TypeAlias = Callable[[Future[T]], None] | None


class Workers(Generic[C]):
    """One thread for each of `tools`, taking jobs from one queue.

    `while_idle` is a time in seconds and what is done whenever no job came for so long.
    """

    def __init__(
        self,
        world: World,
        tools: Sequence[C],
        *,
        name: str,
        after_job: Callable[[C], None],
        explain: Callable[[Exception, C], Exception],
        while_idle: tuple[float, Callable[[C], None]] | None = None,
    ) -> None:
        self._world = world
        self._after_job = self._while_idle = after_job
        self._explain = explain
        self._idle_seconds: float | None = None
        if while_idle is not None:
            self._idle_seconds, self._while_idle = while_idle
        self._queue: SimpleQueue[Callable[[C], None] | None] = SimpleQueue()
        # Daemons: a program that forgets to close its engine must still end. Nothing is lost
        # with them, for what was acknowledged is on disk.
        self._threads = [
            threading.Thread(target=self._run, args=(tool,), name=f"{name}-{n}", daemon=True)
            for n, tool in enumerate(tools, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def call(self, job: Callable[[C], T], then: _Then[T] = None) -> Future[T]:
        """Run `job` with one of the tools; `then` is called where the future is done."""
        future: Future[T] = self._world.loop.create_future()

        def work(tool: C) -> None:
            try:
                result = job(tool)
            except Exception as error:  # noqa: BLE001  # it belongs to whoever asked
                self._tell(_set_error, future, self._explain(error, tool), then)
            else:
                self._tell(_set_result, future, result, then)

        self._queue.put(work)
        return future

    def close(self) -> None:
        """Do what was asked for, then end the threads. Blocks."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _tell(
        self,
        how: Callable[[Future[T], V, _Then[T]], None],
        future: Future[T],
        what: V,
        then: _Then[T],
    ) -> None:
        try:
            self._world.call_soon_threadsafe(how, future, what, then)
        except RuntimeError:
            pass  # the loop is closed, and nothing waits

    def _run(self, tool: C) -> None:
        after_job = self._after_job
        while True:
            try:
                work = self._queue.get(timeout=self._idle_seconds)
            except Empty:
                self._look_after(tool)
                continue
            if work is None:
                return
            work(tool)
            # Kept, the job's closure would hold its future and batch until the next one.
            del work
            try:  # as `_look_after` does it, without a call
                after_job(tool)
            except Exception as error:  # noqa: BLE001  # without its thread later jobs would hang
                self._say_failed(error, tool)

    def _look_after(self, tool: C) -> None:
        try:
            self._while_idle(tool)
        except Exception as error:  # noqa: BLE001  # without its thread every later job would hang
            self._say_failed(error, tool)

    def _say_failed(self, error: Exception, tool: C) -> None:
        log.error("upkeep of the database failed: %s", self._explain(error, tool))


def _set_result(future: Future[T], result: T, then: _Then[T]) -> None:
    if not future.done():
        future.set_result(result)
    if then is not None:
        then(future)


def _set_error(future: Future[T], error: Exception, then: _Then[T]) -> None:
    if not future.done():
        future.set_exception(error)
    if then is not None:
        then(future)
