"""The threads of `def` steps: so many at once, more when those that there are do not come back.

A thread cannot be killed. A body that was abandoned, or that never returns, keeps its thread. When
all are taken and bodies wait in the queue, the bound rises step by step, up to a second one, and a
warning names what holds them.

Invariants:
  * a thread counts as taken from the time it is given to a body until that body returns, or is
    cancelled before the thread has begun it;
  * bodies get threads in the order in which they asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from outlast import limits
from outlast._wording.durations import text_of
from outlast._world import Timer, World

T = TypeVar("T")

log = logging.getLogger("outlast.steps")


class Holder(Protocol):
    """What has a thread: one attempt of a step."""

    @property
    def began_at(self) -> int:
        """When it was asked for, in microseconds since 1970."""
        ...

    def __str__(self) -> str:
        """The step and its run, for people."""
        ...


class Threads:
    """Threads of one engine; all but `work` itself is called on the host loop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pool: ThreadPoolExecutor | None = None
        self._max = limits.THREADS_MAX
        self._taken: dict[Holder, int] = {}  # since when, oldest first
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._grow_timer: Timer | None = None

    async def run(self, holder: Holder, work: Callable[[], T]) -> T:
        """Return what `work` returns on a thread; once begun, it goes on there when cancelled."""
        if len(self._taken) >= self._max:
            await self._turn()
        self._taken[holder] = self._world.now()
        if self._pool is None:
            prefix = "outlast-step"
            self._pool = ThreadPoolExecutor(limits.THREADS_GROWN_MAX, thread_name_prefix=prefix)
        # Emptied once, by whichever comes first: the thread's begin or a cancellation. A cancelled
        # body whose thread has not begun never runs, so that nothing on a thread gives it back.
        not_begun = [holder]

        def work_and_leave() -> T:
            try:
                not_begun.pop()
            except IndexError:
                raise asyncio.CancelledError from None
            try:
                return work()
            finally:
                self._world.call_soon_threadsafe(self._left, holder)

        try:
            return await self._world.run_blocking(work_and_leave, pool=self._pool)
        except asyncio.CancelledError:
            with contextlib.suppress(IndexError):
                self._left(not_begun.pop())
            raise

    async def _turn(self) -> None:
        future: asyncio.Future[None] = self._world.loop.create_future()
        self._waiting.append(future)
        if self._grow_timer is None:
            self._grow_timer = self._world.call_later(limits.THREADS_GROW_SECONDS, self._grow)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._next()
            else:
                self._waiting.remove(future)
            raise

    def _left(self, holder: Holder) -> None:
        self._taken.pop(holder, None)
        self._next()

    def _next(self) -> None:
        free = self._max - len(self._taken)
        for future in self._waiting:
            if free <= 0:
                break
            if not future.done():
                future.set_result(None)
                free -= 1
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()

    def _grow(self) -> None:
        """Bodies have waited for long: let there be more threads, and say what holds the others."""
        self._grow_timer = None
        if not self._waiting or len(self._taken) < self._max:
            return
        if self._max >= limits.THREADS_GROWN_MAX:
            log.warning("%s; this is the maximum number of threads", self.why())
        else:
            self._max = min(self._max + limits.THREADS_GROWN_BY, limits.THREADS_GROWN_MAX)
            log.warning("%s; the maximum is now %d threads", self.why(), self._max)
        self._next()
        if self._waiting:
            self._grow_timer = self._world.call_later(limits.THREADS_GROW_SECONDS, self._grow)

    def why(self) -> str:
        """Return why a body that has no thread yet waits for one."""
        if len(self._taken) < self._max and not self._waiting:
            return "it is about to get a thread"
        now = self._world.now()
        longest = list(self._taken.items())[: limits.THREADS_NAMED]
        named = ", ".join(f"{holder} for {text_of((now - at) / 1e6)}" for holder, at in longest)
        return (
            f"{THREADS_TAKEN} ({len(self._taken)}), {len(self._waiting)} steps wait; held longest "
            f"by {named}"
        )

    def close(self) -> None:
        """Threads that do not return die with the process."""
        if self._grow_timer is not None:
            self._grow_timer.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


THREADS_TAKEN = "all threads for steps are taken"
