"""The end of a stream as it grows: encoded once, followed by any number of clients.

A follower takes what the tail's ring has behind its position, and waits for more. One that has
fallen behind what the ring keeps is told so by the end of its pieces, and reads the store again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from outlast import limits
from outlast._wire.live.ring import Ring
from outlast.errors import OutlastError


class Tail:
    """The end of one stream as it grows.

    `numbers` says which number of the ring begins at an offset.
    """

    def __init__(self, begin: int, bytes_max: int | None = None) -> None:
        self.ring: Ring = Ring(bytes_max=bytes_max or limits.SSE_RING_BYTES)
        self.numbers: dict[int, int] = {begin: 0}
        self.end = begin
        self.error: OutlastError | None = None
        self.has_ended = False
        self.readers = 0
        self.task: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.has_ended or self.error is not None

    def append(self, data: bytes, end: int) -> None:
        """Add an encoded row that ends at an offset."""
        self.end = end
        self.numbers[end] = self.ring.end + 1
        self.ring.append(data)
        if len(self.numbers) > 2 * (self.ring.end - self.ring.begin) + 16:
            kept = {o: number for o, number in self.numbers.items() if number >= self.ring.begin}
            self.numbers = kept


class Follower:
    """One client of a stream: `position` is the offset up to which it has all."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.awake: asyncio.Event = asyncio.Event()

    async def pieces(self, tail: Tail) -> AsyncGenerator[bytes, None]:
        """Iterate over what comes; ends with the stream, or when the client is too far behind.

        The ring wakes those that follow it: `tail.ring.follow(follower.awake)`, before.
        """
        while tail.end < self.position and not tail.is_over:
            await self.look_up()  # the store was read further than the tail has come
            yield b""
        number = tail.numbers.get(self.position, -1)
        while (data := tail.ring.since(number)) is not None:
            # Set before the client takes it: meanwhile the tail grows.
            number, self.position = tail.ring.end, tail.end
            if data:
                yield data
            elif tail.is_over:
                return
            else:
                await self.look_up()
                if number == tail.ring.end and not tail.is_over:
                    yield b""

    async def look_up(self) -> None:
        """Wait until there may be more, or the client is to be shown that its stream lives."""
        await self.awake.wait()
        self.awake.clear()
