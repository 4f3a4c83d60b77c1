"""What is large is turned into values, and back into JSON, beside the loop.

A thread of ours that executes Python gives way to the loop every five milliseconds, and what it
does in C is bounded: by the nodes of a body (`HTTP_NODES_MAX`), the bytes of a value. One thread,
so that the loop has to share the interpreter with one other only; callers take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from outlast import limits
from outlast._world import World

T = TypeVar("T")


class Conversions:
    """The conversions of one server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="outlast-convert")
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._is_busy = False

    async def of(self, caller: str, size: int, work: Callable[[], T]) -> T:
        """Return what `work` does with so many bytes: at once if they are few."""
        if size <= limits.HTTP_INLINE_BYTES:
            return work()
        await self._turn(caller)
        try:
            return await self._world.run_blocking(work, pool=self._pool)
        finally:
            self._pass_on()

    async def _turn(self, caller: str) -> None:
        if not self._is_busy:
            self._is_busy = True
            return
        turn: asyncio.Future[None] = self._world.loop.create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it arrived, but the receiver has gone
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            caller = next(iter(self._waiting))
            line = self._waiting.pop(caller)
            turn = line.popleft()
            if line:
                self._waiting[caller] = line  # to the end, for its next turn
            if not turn.done():
                turn.set_result(None)
                return
        self._is_busy = False

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
