"""Overload: how many requests are in work at once, and who is refused.

A server that takes everything answers nothing in time. So only so many requests are in work; the
others wait in a short queue, and when that is full, or a request has waited for too long to be of
use, it is refused with 429. What is in work then ends at the server's best pace.

Invariants:
  * the queue is bounded in length and in time; a refusal costs no work but the check of the token;
  * requests that only wait (for a run's end, for an actor's answer) have places of their own, so
    that they do not keep others out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from outlast import limits
from outlast._wire.problems import Problem
from outlast._world import World


class Admission:
    """Places for requests, and the queue before them."""

    def __init__(self, world: World, *, places: int, queue_max: int) -> None:
        self._world = world
        self._places = places
        self._queue_max = queue_max
        self._queue: deque[asyncio.Future[None]] = deque()
        self.working = 0
        self.refused = 0

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Hold a place for one request.

        Raises:
            Problem: there is none, and the queue is full or did not move in time.
        """
        if self.working < self._places:
            self.working += 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self) -> None:
        if len(self._queue) >= self._queue_max:
            raise self._refusal()
        turn: asyncio.Future[None] = self._world.loop.create_future()
        self._queue.append(turn)
        try:
            await asyncio.wait([turn], timeout=limits.HTTP_QUEUE_SECONDS)
        except asyncio.CancelledError:
            if turn.done():
                self._pass_on()  # its place has come, and nobody takes it
            else:
                self._queue.remove(turn)
            raise
        if not turn.done():
            self._queue.remove(turn)
            raise self._refusal()

    def _pass_on(self) -> None:
        """Give the place to the first in the queue."""
        if self._queue:
            self._queue.popleft().set_result(None)
        else:
            self.working -= 1

    def _refusal(self) -> Problem:
        self.refused += 1
        return Problem(
            429,
            "overloaded",
            f"{self.working} requests are in work, as many as this server does at once; "
            f"nothing was done, try again",
            headers={"Retry-After": "1"},
        )
