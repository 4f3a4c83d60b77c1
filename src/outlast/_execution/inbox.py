"""Signals of one run: buffered from delivery until the code receives them, first in, first out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from outlast._execution.loop import RunLoop


class Unread(NamedTuple):
    """A signal that the code has not received: its payload, and the seq of its record."""

    payload: bytes
    seq: int


class Inbox:
    """What was delivered and not yet received, by name; and who waits for it."""

    __slots__ = ("_buffers", "_discarded", "_loop", "_waiters", "coming", "dedups", "unread")

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self._buffers: dict[str, deque[Unread]] = {}
        self._discarded: frozenset[int] = frozenset()
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}
        self.dedups: dict[str, tuple[str, bytes]] = {}
        self.unread: int = 0
        self.coming: int = 0  # appended, and not delivered yet

    @property
    def held(self) -> int:
        """How many are unread, those on their way to the disk included."""
        return self.unread + self.coming

    def discard(self, seqs: Iterable[int]) -> None:
        """Pass over the signals of these records: an operator has made them dead letters."""
        self._discarded = frozenset(seqs)

    def deliver(self, name: str, signal: Unread) -> None:
        """Buffer a signal and wake the longest waiting receiver of its name."""
        if signal.seq in self._discarded:
            return
        self._buffers.setdefault(name, deque()).append(signal)
        self.unread += 1
        self._wake_next(name)

    def take(self, name: str) -> Unread | None:
        """Return the oldest unread signal of this name, None when there is none."""
        buffer = self._buffers.get(name)
        if not buffer:
            return None
        self.unread -= 1
        return buffer.popleft()

    async def receive(self, name: str) -> Unread:
        """Wait for the next signal of this name."""
        while True:
            waiters = self._waiters.setdefault(name, deque())
            if not waiters and (signal := self.take(name)) is not None:
                return signal
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
            signal = self.take(name)
            if self._buffers.get(name):
                self._wake_next(name)
            if signal is not None:
                return signal

    def waiting_names(self) -> Mapping[str, int]:
        """Return the names that code is waiting for, with how many wait."""
        return {name: len(waiters) for name, waiters in self._waiters.items() if waiters}

    def _wake_next(self, name: str) -> None:
        for future in self._waiters.get(name, ()):
            if not future.done():
                future.set_result(None)
                return
