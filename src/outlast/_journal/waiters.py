"""Futures of those who wait for the writer: for room in its queue, or for its end."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque

from outlast._world import World


class Waiters:
    """Waits on the host loop, ended in the order in which they began."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting: deque[Future[None]] = deque()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until released, or until the time is over."""
        future: Future[None] = self._world.loop.create_future()
        self.waiting.append(future)
        await asyncio.wait([future], timeout=seconds)

    def release(self) -> None:
        """Release whoever has waited longest."""
        future = self.waiting.popleft()
        if not future.done():
            future.set_result(None)

    def release_all(self) -> None:
        """Release all of them."""
        while self.waiting:
            self.release()
