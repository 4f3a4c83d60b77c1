"""The engine's verb for streams as server-sent events, for a web application of one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import aclosing

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._engine.reading.details import Details
from outlast._wire.formats.conversions import Conversions
from outlast._wire.live.eventstream import HEARTBEAT, Source
from outlast._wire.live.pagestreams import PageStreams
from outlast._wire.live.protocols import check_protocol, encoding_of
from outlast._wire.live.runstreams import RunStreams, cursor_of
from outlast._wire.live.translation import place_at, place_of
from outlast._world import Timer
from outlast.errors import UsageError
from outlast.types import RunId, StreamProtocol


class DirectStreams:
    """The streams of one engine that are not asked for over HTTP."""

    def __init__(self, core: EngineCore) -> None:
        self.core: EngineCore = core
        conversions = Conversions(core.world)
        self._streams = RunStreams(core.world, core.reader, conversions)
        self.pages: PageStreams = PageStreams(core.world, core.reader, conversions, self._streams)
        self._details = Details(core.store, core.reader, core.registry, core.scheduler)

    async def source(
        self, run: RunId, name: str, protocol: str, offset: int, last_id: str
    ) -> Source | None:
        """Return where the events come from; None if the client has all that will ever come.

        Raises:
            RunNotFound: there is no such run.
        """
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


class StreamVerbs(ABC):
    """What an open engine gives to pages that follow a run."""

    _direct: DirectStreams | None = None

    @property
    @abstractmethod
    def _core(self) -> EngineCore:
        """The engine; StoreReadOnly when the store is open for reading only."""

    def sse(
        self,
        run_id: str,
        *,
        after: int | str | None = None,
        protocol: StreamProtocol = "raw",
        stream: str = "agent_events",
    ) -> AsyncIterator[bytes]:
        """Iterate over a run's stream as server-sent events, live, until the run ends.

        An answer of one's own web application is made of it, with the content type
        `text/event-stream`. In silence, a comment is sent every 10 seconds.

        Args:
            after: the id of the last event that the client has, as its `Last-Event-ID` gives it; or
                the offset from which on it wants values. None or 0: from the beginning.
            protocol: "raw" has the values as JSON, for streams of any type. "ag-ui" and "vercel-ai"
                are for `agent_events`: what AG-UI's clients and the Vercel AI SDK read.
            stream: the stream's name.

        Raises (RunNotFound at the first event):
            UsageError: there is no such protocol, or the program has no agents.
            RunNotFound: there is no such run.
        """
        check_protocol(protocol)
        if protocol != "raw":
            encoding_of(protocol)
        if not isinstance(after, int | str | None) or isinstance(after, bool):
            raise UsageError(f"after= is the id of an event, or an offset, not {after!r}")
        if isinstance(after, int) and after < 0:
            raise UsageError(f"after= must not be negative, and is {after}")
        core = self._core
        core.check()
        if self._direct is None or self._direct.core is not core:
            self._direct = DirectStreams(core)
        offset, last_id = (after, "") if isinstance(after, int) else (0, after or "")
        return _events(self._direct, RunId(run_id), stream, protocol, (offset, last_id))


async def _events(
    streams: DirectStreams, run: RunId, name: str, protocol: str, after: tuple[int, str]
) -> AsyncIterator[bytes]:
    source = await streams.source(run, name, protocol, *after)
    if source is None:
        return
    yield HEARTBEAT  # now, so that the client knows that it is connected
    beat = Beat(streams.core, source)
    try:
        async with aclosing(source.pieces()) as pieces:
            async for piece in pieces:
                yield piece or HEARTBEAT
    finally:
        beat.stop()
