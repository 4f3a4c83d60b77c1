"""The streams of runs in the protocols of web pages, to any number of clients.

A tail translates a stream from its beginning, for all clients that are in the same view of the same
stream in the same protocol. A client whose place the tail's ring does not have any more translates
the stream itself, up to what the store has, without sending what the client has; then it follows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from contextvars import Context
from dataclasses import dataclass, replace

import msgspec

from outlast import limits
from outlast._engine.reading.declared import adapter_json
from outlast._engine.reading.reader import Reader
from outlast._store.decisions import life_of
from outlast._store.rows import RunRow, StreamRow
from outlast._store.stream_values import values_in
from outlast._wire.formats.conversions import Conversions
from outlast._wire.live.protocols import Encode, MakeEncoder, encoding_of
from outlast._wire.live.runstreams import RunStreams
from outlast._wire.live.tails import Follower, Tail
from outlast._wire.live.translation import Place, Translation
from outlast._world import World
from outlast.errors import OutlastError
from outlast.types import CLOSED_STATUSES, RunId

_json = msgspec.json.Encoder().encode
_PIECE_BYTES = 64 * 1024
_SLICE_VALUES = 32  # a few milliseconds: others have their turn then


@dataclass(frozen=True, slots=True)
class PageCursor:
    """Which stream a client follows, in which protocol, and the last event that it has."""

    run: RunId
    name: str
    protocol: str
    life: str
    mark: str
    place: Place


_Key = tuple[RunId, str, str, str, int]


@dataclass(frozen=True, slots=True)
class PageTail:
    """A tail, and the translation that goes on in it."""

    key: _Key
    tail: Tail
    translation: Translation


class PageStreams:
    """All such streams of one server."""

    def __init__(
        self, world: World, reader: Reader, conversions: Conversions, streams: RunStreams
    ) -> None:
        self._world = world
        self._conversions = conversions
        self.reader: Reader = reader
        self.streams: RunStreams = streams
        self.tails: dict[_Key, PageTail] = {}
        self._makers: dict[str, MakeEncoder] = {}

    async def cursor(
        self, row: RunRow, name: str, protocol: str, mark: str, place: Place
    ) -> PageCursor | None:
        """Return where a client goes on; None if it has all of a run that has ended.

        Raises:
            UsageError: the protocol is not known here.
        """
        await self._load(protocol)
        if place.is_at_end:
            rest = await self.reader.streams.page(row.id, name, place.batch, 1)
            if rest or row.status not in CLOSED_STATUSES:
                place = Place()  # it was retried: what the client has has ended
            elif place.has_all:
                return None
        return PageCursor(row.id, name, protocol, life_of(row), mark, place)

    async def _load(self, protocol: str) -> None:
        load = encoding_of(protocol).load
        if protocol not in self._makers:
            # Imports of a third of a second: others have their turn meanwhile.
            self._makers[protocol] = await self._world.run_blocking(load)

    def open(self, cursor: PageCursor, holder: str) -> PageStream:
        """Return the source of one client, which counts as one of `holder`'s."""
        return PageStream(self, cursor, holder)

    async def translation(self, cursor: PageCursor, view: int | None) -> Translation:
        """Return a translation that has not begun: in a view, or as the stream is now."""
        retracted = await self.reader.streams.retracted(cursor.run, cursor.name, 0)
        if view is None:
            view = max(retracted.values(), default=-1) + 1
        encoder = self._makers[cursor.protocol](cursor.run, cursor.mark)
        return Translation(encoder, cursor.mark, view, retracted)

    async def events_of(
        self, row: StreamRow, translation: Translation
    ) -> AsyncGenerator[tuple[int, list[bytes]], None]:
        """Iterate over what a row becomes: batches, each with its number."""
        if translation.hides(row):
            return
        if row.kind == "retract":
            yield row.offset + 1, translation.retract(row)
            return
        try:
            for number, encode in enumerate(await self._parsed(row, translation)):
                if number % _SLICE_VALUES == _SLICE_VALUES - 1:
                    await self._world.pass_turn()
                offset = row.offset + number
                yield offset + 1, translation.encode(offset, row.writer, encode)
        except ValueError:
            translation.is_broken = True

    async def _parsed(self, row: StreamRow, translation: Translation) -> Sequence[Encode]:
        registry = self.reader.registry

        def parse() -> list[Encode]:
            return [
                translation.parse(_json(adapter_json(registry, "stream", row.name, value)))
                for value in values_in(row)
            ]

        return await self._conversions.of(f"stream {row.run}", len(row.body), parse)

    async def end_of(self, cursor: PageCursor, translation: Translation, at: int) -> list[bytes]:
        """Return the last events of a stream that ends at an offset."""
        row = await self.reader.row(cursor.run)
        is_same = life_of(row) == cursor.life and row.status in CLOSED_STATUSES
        return translation.end(at, row.status if is_same else None)

    # -------------------------------------------------------------------------- tails
    def join(self, cursor: PageCursor, translation: Translation) -> PageTail:
        """Return the tail of a view, which takes this translation unless it has one."""
        key = (cursor.run, cursor.name, cursor.life, cursor.protocol, translation.view)
        found = self.tails.get(key)
        if found is None or found.tail.error is not None:
            tail = Tail(-1, limits.SSE_PAGE_RING_BYTES)
            found = self.tails[key] = PageTail(key, tail, translation)
            # Of no client: whoever came first may go, and has but its own turns.
            tail.task = self._world.spawn(
                self._grow(found, cursor),
                name=f"outlast-tail of {cursor.run}",
                context=Context(),
                then=translation.close,
            )
        found.tail.readers += 1
        return found

    def leave(self, joined: PageTail) -> None:
        """One client fewer: the last one ends the tail."""
        tail = joined.tail
        tail.readers -= 1
        if not tail.readers:
            if self.tails.get(joined.key) is joined:
                del self.tails[joined.key]
            if tail.task is not None:
                tail.task.cancel()

    async def _grow(self, grown: PageTail, cursor: PageCursor) -> None:
        tail, translation, at = grown.tail, grown.translation, 0
        tail.append(b"".join(translation.begin()), 0)
        try:
            async for rows in self.reader.streams.rows(cursor.run, cursor.name, 0):
                for row in rows:
                    at = row.offset + row.count
                    async with aclosing(self.events_of(row, translation)) as batches:
                        async for batch, events in batches:
                            tail.append(b"".join(events), batch)
                    if tail.end < at:
                        tail.append(b"", at)  # all of it is hidden
                    if translation.is_over:
                        break
                if translation.is_over:
                    break
            if not translation.is_superseded:
                tail.append(b"".join(await self.end_of(cursor, translation, at)), at + 1)
            tail.has_ended = True
        except OutlastError as error:
            tail.error = error  # the run is gone, or the store: every client hears of it
        finally:
            tail.ring.wake()


class PageStream:
    """One client of one stream."""

    def __init__(self, streams: PageStreams, cursor: PageCursor, holder: str) -> None:
        self._streams = streams
        self._reader = streams.reader
        self._cursor = cursor
        self._holder = holder
        self._place = cursor.place
        self._follower = Follower(cursor.place.batch)  # batches, where raw streams have offsets
        self._is_over = False

    def wake(self) -> None:
        """Let `pieces` look up."""
        self._follower.awake.set()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the stream's events until its end, or until the client must begin anew."""
        has_sent = False
        while True:
            translation = await self._streams.translation(self._cursor, self._place.view)
            self._place = replace(self._place, view=translation.view)
            joined = self._streams.join(self._cursor, translation)
            if joined.translation is not translation:
                translation.close()
            tail = joined.tail
            tail.ring.follow(self._follower.awake)
            try:
                # Again when it falls behind. It stays joined: the tail goes on meanwhile.
                while not self._has_all_of(tail):
                    async with aclosing(self._told(joined)) as told:
                        async for piece in told:
                            has_sent = has_sent or bool(piece)
                            yield piece
            finally:
                tail.ring.leave(self._follower.awake)
                self._streams.leave(joined)
            if tail.error is not None:
                raise tail.error
            if has_sent or not joined.translation.is_superseded:
                return  # what it was sent cannot be taken back in this answer
            self._place, self._follower.position = Place(), -1

    def _has_all_of(self, tail: Tail) -> bool:
        at_end = tail.has_ended and self._follower.position == tail.end
        return self._is_over or at_end or tail.error is not None

    async def _told(self, joined: PageTail) -> AsyncGenerator[bytes, None]:
        """Iterate over what the tail has, after what it has no more."""
        tail, follower, view = joined.tail, self._follower, joined.translation.view
        if not self._is_within(tail):
            translation = await self._streams.translation(self._cursor, view)
            try:
                async with aclosing(self._stored(translation)) as stored:
                    async for piece in stored:
                        yield piece
            finally:
                translation.close()
            self._place = Place(view, follower.position)
            if self._is_over:
                return
        while tail.end < follower.position and not tail.is_over:
            await follower.look_up()  # it is on its way
            yield b""
        if not self._place.has_whole_batch:
            begun = tail.ring.event(tail.numbers.get(follower.position, 0) - 1)
            if begun is None:
                return
            rest = _events_in(begun)[self._place.number :]
            self._place = Place(view, follower.position)
            yield b"".join(rest)
        async with aclosing(follower.pieces(tail)) as live:
            async for piece in live:
                self._place = Place(view, follower.position)
                yield piece

    def _is_within(self, tail: Tail) -> bool:
        """Whether a tail has what follows the client's place, or will have it."""
        at, place = self._follower.position, self._place
        if place.is_at_end:
            return False
        if tail.end < at:
            return not tail.is_over
        return tail.numbers.get(at, -1) - (not place.has_whole_batch) >= tail.ring.begin

    async def _stored(self, translation: Translation) -> AsyncGenerator[bytes, None]:
        """Iterate over what the store has by now, but for what the client has."""
        cursor, follower = self._cursor, self._follower
        follower.position = 0
        yield self._rest(0, translation.begin())
        has_more = True
        while has_more and not translation.is_over:
            # Held while the client takes it: clients that take nothing hold no more than these.
            async with self._streams.streams.reading(self._holder):
                rows = await self._reader.streams.page(cursor.run, cursor.name, follower.position)
                async with aclosing(self._page(rows, translation)) as pieces:
                    async for piece in pieces:
                        yield piece
            has_more = bool(rows)
        if self._place.is_at_end:
            end = await self._streams.end_of(cursor, translation, follower.position)
            self._is_over = True
            yield b"".join(end[self._place.number :])

    async def _page(
        self, rows: Sequence[StreamRow], translation: Translation
    ) -> AsyncGenerator[bytes, None]:
        data = b""
        for row in rows:
            async with aclosing(self._streams.events_of(row, translation)) as batches:
                async for batch, events in batches:
                    data += self._rest(batch, events)
                    if len(data) >= _PIECE_BYTES:
                        yield data
                        data = b""
            self._follower.position = row.offset + row.count
            if translation.is_over:
                break
        if data:
            yield data

    def _rest(self, batch: int, events: Sequence[bytes]) -> bytes:
        """Return the events of a batch that the client does not have."""
        place = self._place
        if batch > place.batch:
            return b"".join(events)
        if batch < place.batch or place.is_at_end:
            return b""
        return b"".join(events[place.number :])


def _events_in(data: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in data.split(b"\n\n") if event]
