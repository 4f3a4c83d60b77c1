"""Streams as server-sent events for a web application of one's own: what `Engine.sse` loads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._engine.reading.details import Details
from outlast._wire.formats.conversions import Conversions
from outlast._wire.live.eventstream import HEARTBEAT, Source
from outlast._wire.live.pagestreams import PageStreams
from outlast._wire.live.runstreams import RunStreams, cursor_of
from outlast._wire.live.translation import place_at, place_of
from outlast._world import Timer
from outlast.errors import EngineClosed
from outlast.types import RunId


class DirectStreams:
    """The streams of one engine that are not asked for over HTTP."""

    def __init__(self, core: EngineCore) -> None:
        self.core: EngineCore = core
        conversions = Conversions(core.world)
        self._streams = RunStreams(core.world, core.reader, conversions)
        self.pages: PageStreams = PageStreams(core.world, core.reader, conversions, self._streams)
        self._details = Details(core.store, core.reader, core.registry, core.scheduler)

    async def events(
        self, run: RunId, name: str, protocol: str, offset: int, last_id: str
    ) -> AsyncGenerator[bytes, None]:
        """Iterate over a stream's events, from an offset or behind an event.

        Raises:
            RunNotFound: there is no such run.
        """
        source = await self._source(run, name, protocol, offset, last_id)
        if source is None:
            return
        yield HEARTBEAT  # now, so that the client knows that it is connected
        beat = Beat(self.core, source)
        try:
            async with aclosing(source.pieces()) as pieces:
                async for piece in pieces:
                    if not piece and self._is_closed():
                        return  # nothing more will come from it: the page comes again
                    yield piece or HEARTBEAT
        finally:
            beat.stop()

    def _is_closed(self) -> bool:
        try:
            self.core.check()
        except EngineClosed:
            return True
        return False

    async def _source(
        self, run: RunId, name: str, protocol: str, offset: int, last_id: str
    ) -> Source | None:
        """Return where the events come from; None if the client has all that will ever come."""
        row = await self.core.reader.row(run)
        mark = await self._details.mark(row)
        holder = f"run {run}"
        if protocol == "raw":
            at, _ = cursor_of(row, name, offset, last_id, mark)
            return self._streams.open(at, holder)
        place = place_of(last_id, mark) if last_id else place_at(offset)
        cursor = await self.pages.cursor(row, name, protocol, mark, place)
        return None if cursor is None else self.pages.open(cursor, holder)


class Beat:
    """Wakes a source every few seconds, so that it shows its client that it lives."""

    def __init__(self, core: EngineCore, source: Source) -> None:
        self._world = core.world
        self._source = source
        self._timer: Timer = self._later()

    def _later(self) -> Timer:
        return self._world.call_later(limits.SSE_HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        self._source.wake()
        self._timer = self._later()

    def stop(self) -> None:
        """Wake it no more."""
        self._timer.cancel()
