"""Signals of one run: buffered from delivery until the code receives them, first in, first out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from outlast import limits
from outlast._codec import Adapter
from outlast._execution.calls.operations import SignalBody, decode_body
from outlast._execution.calls.unreadable import Culprit, read_in_run
from outlast._execution.loop.event_loop import RunLoop
from outlast._messages.payloads import read_payload
from outlast._records import Record
from outlast._wording.durations import text_of
from outlast._world import within


class Unread(NamedTuple):
    """A signal that the code has not received: its payload, and the seq of its record."""

    payload: bytes
    seq: int


class Known(NamedTuple):
    """What is known of a signal whose dedup key has come: of a long payload its hash only."""

    name: str
    payload: bytes | None
    digest: bytes

    @staticmethod
    def of(name: str, payload: bytes) -> Known:
        """Return what to know of a signal."""
        if len(payload) <= limits.DEDUP_PAYLOAD_BYTES:
            return Known(name, payload, b"")
        return Known(name, None, sha256(payload).digest())


class Inbox:
    """What was delivered and not yet received, by name; and who waits for it."""

    __slots__ = (
        "_buffers",
        "_coming_bytes",
        "_discarded",
        "_loop",
        "_unread_bytes",
        "_waiters",
        "coming",
        "dedups",
        "unread",
    )

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self._buffers: dict[str, deque[Unread]] = {}
        self._discarded: Collection[int] = ()
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self.dedups: dict[str, Known] = {}
        self.unread: int = 0
        self.coming: int = 0  # appended, and not delivered yet
        self._unread_bytes = 0
        self._coming_bytes = 0

    @property
    def held(self) -> int:
        """How many are unread, those on their way to the disk included."""
        return self.unread + self.coming

    @property
    def bytes_held(self) -> int:
        """How many bytes these have."""
        return self._unread_bytes + self._coming_bytes

    def room_for(self, size: int) -> int:
        """Return how many more may wait, 0 when one of so many bytes is too much."""
        if self.held and self.bytes_held + size > limits.SIGNALS_BUFFERED_BYTES:
            return 0
        return max(0, limits.SIGNALS_BUFFERED_MAX - self.held)

    def expect(self, size: int) -> None:
        """A signal was appended, and is not delivered yet."""
        self.coming += 1
        self._coming_bytes += size

    def discard(self, seqs: Iterable[int]) -> None:
        """Pass over the signals of these records: an operator has made them dead letters."""
        self._discarded = frozenset(seqs)

    def deliver(self, record: Record) -> None:
        """Buffer a recorded signal and wake the longest waiting receiver of its name."""
        body = decode_body(record.body, SignalBody)
        if body.dedup and body.dedup not in self.dedups:
            self.dedups[body.dedup] = Known.of(record.name, body.payload)
        name, signal = record.name, Unread(body.payload, record.seq)
        self.coming = max(0, self.coming - 1)
        self._coming_bytes = max(0, self._coming_bytes - len(signal.payload)) if self.coming else 0
        if signal.seq in self._discarded:
            return
        self._buffers.setdefault(name, deque()).append(signal)
        self.unread += 1
        self._unread_bytes += len(signal.payload)
        self._wake_next(name)

    def take(self, name: str) -> Unread | None:
        """Return the oldest unread signal of this name, None when there is none."""
        buffer = self._buffers.get(name)
        if not buffer:
            return None
        signal = buffer.popleft()
        self.unread -= 1
        self._unread_bytes -= len(signal.payload)
        return signal

    async def receive(self, name: str) -> Unread:
        """Wait for the next signal of this name."""
        while True:
            waiters = self._waiters.setdefault(name, [])
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

    async def receive_value(self, name: str, adapter: Adapter, seconds: float | None) -> object:
        """Wait for the next signal of this name, and return its value.

        Raises:
            WaitTimeout: none came in time; nothing is lost by that.
        """
        signal = await self._receive_within(name, seconds)
        return await read_in_run(
            self._loop,
            f"signal {name!r} (record {signal.seq})",
            lambda: read_payload(adapter, signal.payload),
            Culprit(seq=signal.seq),
        )

    async def _receive_within(self, name: str, seconds: float | None) -> Unread:
        if seconds is None:
            return await self.receive(name)
        if seconds <= 0 and (ready := self.take(name)) is not None:
            return ready
        message = f"no signal {name!r} came within {text_of(seconds)}"
        return await within(self.receive(name), seconds, message)

    def waiting_names(self) -> Mapping[str, int]:
        """Return the names that code is waiting for, with how many wait."""
        return {name: len(waiters) for name, waiters in self._waiters.items() if waiters}

    def _wake_next(self, name: str) -> None:
        for future in self._waiters.get(name, ()):
            if not future.done():
                future.set_result(None)
                return
