"""Signals of one run: buffered from delivery until the code receives them, first in, first out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from outlast._execution.loop import RunLoop


class Inbox:
    """What was delivered and not yet received, by name; and who waits for it."""

    __slots__ = ("_buffers", "_loop", "_waiters", "coming", "dedups", "unread")

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self._buffers: dict[str, deque[bytes]] = {}
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}
        self.dedups: dict[str, tuple[str, bytes]] = {}
        self.unread: int = 0
        self.coming: int = 0  # appended, and not delivered yet

    @property
    def held(self) -> int:
        """How many are unread, those on their way to the disk included."""
        return self.unread + self.coming

    def deliver(self, name: str, payload: bytes) -> None:
        """Buffer a signal and wake the longest waiting receiver of its name."""
        self._buffers.setdefault(name, deque()).append(payload)
        self.unread += 1
        self._wake_next(name)

    def take(self, name: str) -> bytes | None:
        """Return the oldest unread payload of this name, None when there is none."""
        buffer = self._buffers.get(name)
        if not buffer:
            return None
        self.unread -= 1
        return buffer.popleft()

    async def receive(self, name: str) -> bytes:
        """Wait for the next payload of this name."""
        while True:
            waiters = self._waiters.setdefault(name, deque())
            if not waiters and (payload := self.take(name)) is not None:
                return payload
            future: asyncio.Future[None] = self._loop.create_future()
            waiters.append(future)
            if self._buffers.get(name):
                self._wake_next(name)
            try:
                await future
            except asyncio.CancelledError:
                # Woken and cancelled in one turn: the wake-up belongs to the next in line.
                if future.done() and not future.cancelled():
                    waiters.remove(future)
                    self._wake_next(name)
                elif future in waiters:
                    waiters.remove(future)
                raise
            waiters.remove(future)
            payload = self.take(name)
            if self._buffers.get(name):
                self._wake_next(name)
            if payload is not None:
                return payload

    def waiting_names(self) -> Mapping[str, int]:
        """Return the names that code is waiting for, with how many wait."""
        return {name: len(waiters) for name, waiters in self._waiters.items() if waiters}

    def _wake_next(self, name: str) -> None:
        for future in self._waiters.get(name, ()):
            if not future.done():
                future.set_result(None)
                return
