"""The streams of runs in the protocols of web pages, to any number of clients.

A client's stream is translated from its beginning up to what the store has, without sending what
the client has already. From there on its translation becomes that of a tail, which all clients
share that are in the same view of the same stream in the same protocol.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from contextvars import Context
from dataclasses import dataclass, replace

import msgspec

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
    def join(self, cursor: PageCursor, translation: Translation, at: int) -> PageTail | None:
        """Return the tail of a view, which goes on with this translation unless it is there.

        None if there is one that has left the offset behind: the store has more by now.
        """
        key = (cursor.run, cursor.name, cursor.life, cursor.protocol, translation.view)
        found = self.tails.get(key)
        if found is None or found.tail.is_over:
            found = self.tails[key] = PageTail(key, Tail(at), translation)
            # Of no client: whoever came first may go, and has but its own turns.
            found.tail.task = self._world.spawn(
                self._grow(found, cursor, at),
                name=f"outlast-tail of {cursor.run}",
                context=Context(),
                then=translation.close,
            )
        tail = found.tail
        if at < tail.end and tail.numbers.get(at, -1) < tail.ring.begin:
            return None
        tail.readers += 1
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

    async def _grow(self, grown: PageTail, cursor: PageCursor, at: int) -> None:
        tail, translation = grown.tail, grown.translation
        try:
            async for rows in self.reader.streams.rows(cursor.run, cursor.name, at):
                for row in rows:
                    at = row.offset + row.count
                    data = b""
                    async with aclosing(self.events_of(row, translation)) as batches:
                        async for _, events in batches:
                            data += b"".join(events)
                    tail.append(data, at)
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
        self._follower = Follower(0)
        self._joined: PageTail | None = None

    def wake(self) -> None:
        """Let `pieces` look up."""
        self._follower.awake.set()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the stream's events until its end, or until the client must begin anew."""
        has_sent = False
        while True:
            translation = await self._streams.translation(self._cursor, self._place.view)
            self._place = replace(self._place, view=translation.view)
            async with aclosing(self._told(translation)) as told:
                async for piece in told:
                    has_sent = has_sent or bool(piece)
                    yield piece
            joined, self._joined = self._joined, None
            if (translation if joined is None else joined.translation).is_superseded:
                if has_sent:
                    return  # what it was sent cannot be taken back in this answer
                self._place = Place()
            elif joined is None or self._follower.position == joined.tail.end:
                return
            else:
                self._place = Place(translation.view, self._follower.position)  # it fell behind

    async def _told(self, translation: Translation) -> AsyncGenerator[bytes, None]:
        """Iterate over what is stored, then over the tail; `_joined` is that tail, if any."""
        try:
            async with aclosing(self._stored(translation)) as stored:
                async for piece in stored:
                    yield piece
        finally:
            if self._joined is None or self._joined.translation is not translation:
                translation.close()
        if self._joined is None:
            return
        tail = self._joined.tail
        try:
            async with aclosing(self._follower.pieces(tail)) as live:
                async for piece in live:
                    yield piece
            if tail.error is not None:
                raise tail.error
        finally:
            self._streams.leave(self._joined)

    async def _stored(self, translation: Translation) -> AsyncGenerator[bytes, None]:
        """Iterate over what the store has by now, up to the end of the run or to a tail."""
        cursor, follower = self._cursor, self._follower
        follower.position = 0
        yield self._rest(0, translation.begin())
        while not translation.is_over:
            # Held while the client takes it: clients that take nothing hold no more than these.
            async with self._streams.streams.reading(self._holder):
                row = await self._reader.row(cursor.run)
                rows = await self._reader.streams.page(cursor.run, cursor.name, follower.position)
                async with aclosing(self._page(rows, translation)) as pieces:
                    async for piece in pieces:
                        yield piece
            if rows or translation.is_over:
                continue
            if life_of(row) != cursor.life or row.status in CLOSED_STATUSES:
                break
            self._joined = self._streams.join(cursor, translation, follower.position)
            if self._joined is not None:
                return
        if not translation.is_superseded:
            end = await self._streams.end_of(cursor, translation, follower.position)
            yield b"".join(end[self._place.number if self._place.is_at_end else 0 :])

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
