"""The last events of a live source, encoded once, for any number of readers.

Invariants:
  * a reader gets every event behind the one where it began, in order, or is told that it is too
    far behind: it is never skipped over silently;
  * what is kept is bounded in bytes, however slow a reader is;
  * readers that stand at the same place get the same bytes object: joining is done once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice


class Ring:
    """Numbered events; `end` is the number that the next one gets."""

    def __init__(self, *, bytes_max: int, events_max: int | None = None) -> None:
        self.begin = 0
        self._events: deque[bytes] = deque()
        self._bytes_max = bytes_max
        self._events_max = events_max or bytes_max
        self._size = 0
        self._readers: dict[asyncio.Event, None] = {}
        self._joined: tuple[int, int, bytes] = (-1, -1, b"")

    @property
    def end(self) -> int:
        """The number that the next event gets."""
        return self.begin + len(self._events)

    def append(self, event: bytes) -> None:
        """Add an event and wake the readers."""
        self._events.append(event)
        self._size += len(event)
        while len(self._events) > 1 and (
            self._size > self._bytes_max or len(self._events) > self._events_max
        ):
            self._size -= len(self._events.popleft())
            self.begin += 1
        self.wake()

    def event(self, number: int) -> bytes | None:
        """Return one event; None when it is gone."""
        return self._events[number - self.begin] if number >= self.begin else None

    def follow(self, awake: asyncio.Event) -> None:
        """Set `awake` whenever something is added."""
        self._readers[awake] = None

    def leave(self, awake: asyncio.Event) -> None:
        """Set it no more."""
        self._readers.pop(awake, None)

    def wake(self) -> None:
        """Let every reader look up."""
        for awake in self._readers:
            awake.set()

    def since(self, number: int) -> bytes | None:
        """Return the events from `number` on as one piece; None when some are gone."""
        if number < self.begin:
            return None
        first, last, data = self._joined
        if (first, last) != (number, self.end):
            data = b"".join(islice(self._events, number - self.begin, None))
            self._joined = (number, self.end, data)
        return data
