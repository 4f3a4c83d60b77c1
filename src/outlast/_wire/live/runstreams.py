"""The streams of runs, to any number of clients: encoded once, and exact across every reconnection.

A client reads the stored stream until it has come to its end, and from there on the tail, which all
clients of the stream share. Who falls behind the tail reads the store again.

An event's id says which past it is of (an id may be started anew; a run that is retried keeps its
past) and where to go on: `MARK-OFFSET`, and `MARK-end.OFFSET` for the last.

Invariants:
  * the events behind an id are the same whenever they are asked for, but for what was retracted
    before a client that begins anew came: that it is not shown;
  * a stream's tail is read once, however many clients it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass

import msgspec

from outlast import limits
from outlast._engine.reading.declared import adapter_json
from outlast._engine.reading.reader import Reader
from outlast._store.decisions import life_of
from outlast._store.rows import RunRow, StreamRow
from outlast._store.stream_values import values_in
from outlast._wire.formats.conversions import Conversions
from outlast._wire.live.eventstream import event
from outlast._wire.live.tails import Follower, Tail
from outlast._world import World
from outlast.errors import OutlastError
from outlast.types import CLOSED_STATUSES, RunId

_json = msgspec.json.Encoder().encode
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StreamCursor:
    """Where a client begins in a stream; `is_new` when it has seen nothing of it."""

    run: RunId
    name: str
    offset: int
    is_new: bool
    life: str
    mark: str  # of the run's past: an id that was started anew has another


def cursor_of(
    row: RunRow, name: str, offset: int, last_id: str, mark: str
) -> tuple[StreamCursor, bool]:
    """Return where a client goes on, and whether it has seen an end of the stream there."""
    known, _, at = last_id.partition("-")
    number = at.removeprefix("end.")
    if known == mark and number.isascii() and number.isdigit():
        cursor = StreamCursor(row.id, name, int(number[:18]), False, life_of(row), mark)
        return cursor, at.startswith("end")
    return StreamCursor(row.id, name, offset, offset == 0, life_of(row), mark), False


_Key = tuple[RunId, str, str]  # a run that lives again, or is started anew, has other tails


def _key_of(cursor: StreamCursor) -> _Key:
    return cursor.run, cursor.name, cursor.life


class RunStreams:
    """All streams of one server."""

    def __init__(self, world: World, reader: Reader, conversions: Conversions) -> None:
        self._world = world
        self._reader = reader
        self._conversions = conversions
        self._reads = asyncio.Semaphore(limits.SSE_READS_MAX)
        self._reads_by: dict[str, asyncio.Semaphore] = {}
        self._readers_by: Counter[str] = Counter()
        self.tails: dict[_Key, Tail] = {}

    def open(self, cursor: StreamCursor, holder: str) -> StreamOfRun:
        """Return the source of one client, which counts as one of `holder`'s."""
        return StreamOfRun(self, self._reader, cursor, holder)

    @asynccontextmanager
    async def reading(self, holder: str) -> AsyncGenerator[None]:
        """Hold one of the places of those who read the store, until what was read is taken."""
        most = max(1, int(limits.SSE_READS_MAX * limits.HTTP_TOKEN_SHARE_MAX))
        own = self._reads_by.setdefault(holder, asyncio.Semaphore(most))
        self._readers_by[holder] += 1
        try:
            async with own, self._reads:
                yield
        finally:
            self._readers_by[holder] -= 1
            if not self._readers_by[holder]:
                del self._readers_by[holder], self._reads_by[holder]

    async def join(self, cursor: StreamCursor, offset: int) -> Tail:
        """Return the stream's tail, which begins at `offset` unless others read it already.

        Who asks for what lies beyond the stream's end has a tail of its own: others begin before.
        """
        is_ahead = not await self._reaches(cursor, offset)
        key = _key_of(cursor)
        tail = None if is_ahead else self.tails.get(key)
        if tail is None or tail.is_over:
            tail = Tail(offset)
            work = self._grow(tail, cursor, offset)
            # Of no client: whoever came first may go, and has but its own turns.
            tail.task = self._world.spawn(
                work, name=f"outlast-tail of {cursor.run}", context=Context()
            )
            if not is_ahead:
                self.tails[key] = tail
        tail.readers += 1
        return tail

    async def _reaches(self, cursor: StreamCursor, offset: int) -> bool:
        """Whether a stream has all that is below an offset."""
        tail = self.tails.get(_key_of(cursor))
        if tail is not None and tail.end >= offset:
            return True
        return not offset or bool(
            await self._reader.streams.page(cursor.run, cursor.name, offset - 1, 1)
        )

    def leave(self, cursor: StreamCursor, tail: Tail) -> None:
        """One client fewer: the last one ends the tail."""
        tail.readers -= 1
        if not tail.readers:
            key = _key_of(cursor)
            if self.tails.get(key) is tail:
                del self.tails[key]
            if tail.task is not None:
                tail.task.cancel()

    async def _grow(self, tail: Tail, cursor: StreamCursor, offset: int) -> None:
        try:
            async for rows in self._reader.streams.rows(cursor.run, cursor.name, offset):
                for row in rows:
                    tail.append(await self.encoded(row, cursor), row.offset + row.count)
            tail.has_ended = True
        except OutlastError as error:
            tail.error = error  # the run is gone, or the store: every client hears of it
        finally:
            tail.ring.wake()

    async def encoded(self, row: StreamRow, cursor: StreamCursor, begin: int = 0) -> bytes:
        """Return a row as an event, without values below the offset `begin`."""
        # As a stream's, not as a client's: all that follow it get what is made here.
        return await self._conversions.of(
            f"stream {cursor.run}", len(row.body), lambda: self._event_of(row, cursor, begin)
        )

    def _event_of(self, row: StreamRow, cursor: StreamCursor, begin: int) -> bytes:
        event_id = f"{cursor.mark}-{row.offset + row.count}"
        if row.kind == "retract":
            return event("retract", _json({"writer": row.writer}), event_id)
        first = max(row.offset, begin)
        values = [
            adapter_json(self._reader.registry, "stream", row.name, value)
            for value in values_in(row)[first - row.offset :]
        ]
        data = {"offset": first, "writer": row.writer, "values": values}
        return event("data", _json(data), event_id)

    async def end_event(self, cursor: StreamCursor, offset: int) -> bytes:
        """Return the last event of a stream."""
        row = await self._reader.row(cursor.run)
        is_same = life_of(row) == cursor.life and row.status in CLOSED_STATUSES
        status = row.status if is_same else "replaced"
        return event("end", _json({"status": status}), f"{cursor.mark}-end.{offset}")


class StreamOfRun:
    """One client of one stream."""

    def __init__(
        self, streams: RunStreams, reader: Reader, cursor: StreamCursor, holder: str
    ) -> None:
        self._streams = streams
        self._holder = holder
        self._reader = reader
        self._cursor = cursor
        self._follower = Follower(cursor.offset)
        self._is_new = cursor.is_new
        self._retracted: dict[str, int] = {}
        self._writers: set[str] = set()  # whose values it was shown

    def wake(self) -> None:
        """Let `pieces` look up."""
        self._follower.awake.set()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the stream's events until its end."""
        cursor, follower = self._cursor, self._follower
        self._retracted = await self._reader.streams.retracted(
            cursor.run, cursor.name, follower.position
        )
        while True:
            async with aclosing(self._stored()) as stored:
                async for piece in stored:
                    yield piece
            tail = await self._streams.join(cursor, follower.position)
            tail.ring.follow(follower.awake)
            try:
                async with aclosing(follower.pieces(tail)) as live:
                    async for piece in live:
                        yield piece
                if tail.error is not None:
                    raise tail.error
                if tail.has_ended and follower.position == tail.end:
                    yield await self._streams.end_event(cursor, follower.position)
                    return
            finally:
                tail.ring.leave(follower.awake)
                self._streams.leave(cursor, tail)
            self._is_new = False  # it fell behind: what it was shown is not known any more

    async def _stored(self) -> AsyncGenerator[bytes, None]:
        """Iterate over what the store has by now."""
        has_more = True
        while has_more:
            # Held while the client takes it: clients that take nothing hold no more than these.
            async with self._streams.reading(self._holder), aclosing(self._page()) as pieces:
                has_more = False
                async for piece in pieces:
                    has_more = True
                    yield piece

    async def _page(self) -> AsyncGenerator[bytes, None]:
        cursor, follower = self._cursor, self._follower
        rows = await self._reader.streams.page(cursor.run, cursor.name, follower.position)
        piece = b""
        for row in rows:
            if self._shows(row):
                piece += await self._streams.encoded(row, cursor, follower.position)
            follower.position = row.offset + row.count
            if len(piece) >= _PIECE_BYTES:
                yield piece
                piece = b""
        if rows:
            yield piece

    def _shows(self, row: StreamRow) -> bool:
        if row.kind == "retract":
            return not self._is_new or row.writer in self._writers
        if self._retracted.get(row.writer, -1) > row.offset:
            return False
        self._writers.add(row.writer)
        return True
