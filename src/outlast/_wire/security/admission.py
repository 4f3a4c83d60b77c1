"""Overload: how many requests are in work at once, and who is refused.

A server that takes everything answers nothing in time. So only so many requests are in work; the
others wait in a short queue, and when that is full, or a request has waited for too long to be of
use, it is refused with 429. What is in work then ends at the server's best pace.

Invariants:
  * the queue is bounded in length and in time; a refusal costs no work but the check of the token;
  * requests that only wait (for a run's end, for an actor's answer) have places of their own, so
    that they do not keep others out;
  * no token and no address has more than its share of places, nor of the queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from outlast import limits
from outlast._wire.formats.problems import Problem
from outlast._world import World


class Shares:
    """How many of some things callers hold, each by its token and by its address, in this order."""

    def __init__(self, all_max: int) -> None:
        shares = (limits.HTTP_TOKEN_SHARE_MAX, limits.HTTP_SHARE_MAX)
        self.each_max: tuple[int, ...] = tuple(max(1, int(all_max * share)) for share in shares)
        self._held: Counter[str] = Counter()

    def has_room(self, holders: Sequence[str]) -> bool:
        """Whether these may take one more."""
        return all(
            self._held[holder] < most for holder, most in zip(holders, self.each_max, strict=False)
        )

    def take(self, holders: Sequence[str], count: int = 1) -> None:
        """Count some more."""
        for holder in holders:
            self._held[holder] += count

    def give(self, holders: Sequence[str], count: int = 1) -> None:
        """Count some fewer."""
        for holder in holders:
            self._held[holder] -= count
            if self._held[holder] <= 0:
                del self._held[holder]


class Admission:
    """Places for requests, and the queue before them.

    A place is held by `holders`: the names of a token and of an address.
    """

    def __init__(self, world: World, *, places: int, queue_max: int) -> None:
        self._world = world
        self._places = places
        self._queue_max = queue_max
        self._queue: dict[asyncio.Future[None], Sequence[str]] = {}
        self._shares = Shares(places)
        self._queue_shares = Shares(queue_max)
        self.working = 0
        self.refused = 0

    @asynccontextmanager
    async def place(self, holders: Sequence[str] = ()) -> AsyncGenerator[None]:
        """Hold a place for one request.

        Raises:
            Problem: there is none, and the queue is full or did not move in time.
        """
        if self.working < self._places and self._shares.has_room(holders):
            self._take(holders)
        else:
            await self._wait(holders)
        try:
            yield
        finally:
            self._give(holders)

    def _take(self, holders: Sequence[str]) -> None:
        self.working += 1
        self._shares.take(holders)

    def _give(self, holders: Sequence[str]) -> None:
        """Give a place back, and to the first in the queue who may have it."""
        self.working -= 1
        self._shares.give(holders)
        for turn, waiting in self._queue.items():
            if self._shares.has_room(waiting):
                del self._queue[turn]
                self._take(waiting)
                turn.set_result(None)
                return

    async def _wait(self, holders: Sequence[str]) -> None:
        if len(self._queue) >= self._queue_max:
            raise self._refusal("the limit of this server")
        if not self._queue_shares.has_room(holders):
            raise self._refusal("and your share of the queue is full")
        turn: asyncio.Future[None] = self._world.loop.create_future()
        self._queue[turn] = holders
        self._queue_shares.take(holders)
        try:
            await asyncio.wait([turn], timeout=limits.HTTP_QUEUE_SECONDS)
        except asyncio.CancelledError:
            if turn.done():
                self._give(holders)  # its turn came after it had gone
            raise
        finally:
            self._queue.pop(turn, None)
            self._queue_shares.give(holders)
        if not turn.done():
            raise self._refusal("the limit of this server or of one caller")

    def _refusal(self, why: str) -> Problem:
        self.refused += 1
        return Problem(
            429,
            "overloaded",
            f"{self.working} requests are in progress, {why}; nothing was changed, try again",
            headers={"Retry-After": "1"},
        )
