"""Reading streams: what is stored, and what comes, until the run ends."""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from outlast import limits
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._store.contract import Lookups
from outlast._store.decisions import life_of
from outlast._store.rows import RunRow, StreamRow
from outlast._store.stream_values import values_in
from outlast._world import World
from outlast.types import CLOSED_STATUSES, RunId


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event of a stream, its value still encoded."""

    offset: int
    kind: Literal["data", "retract", "end"]
    writer: str
    value: bytes = b""


class StreamReader:
    """Follows streams of runs."""

    def __init__(
        self,
        store: Lookups,
        world: World,
        row: Callable[[RunId], Awaitable[RunRow]],
        *,
        scheduler: Scheduler | None = None,
    ) -> None:
        self._store = store
        self._world = world
        self._row = row
        self._scheduler = scheduler
        self._followers: dict[RunId, list[Future[None]]] = {}

    async def events(self, run: RunId, name: str, offset: int) -> AsyncIterator[RawEvent]:
        """Iterate over a stream from an offset, live, until the run ends.

        What was retracted before is not shown to who comes later; who may have seen it gets the
        retraction.
        """
        retracted = await self.retracted(run, name, offset)
        position = offset
        shown: set[str] = set()
        async for rows in self.rows(run, name, offset):
            for row in rows:
                for event in _events_of(row, position, retracted, shown, offset > 0):
                    yield event
                position = row.offset + row.count
        yield RawEvent(position, "end", "")

    async def rows(self, run: RunId, name: str, offset: int) -> AsyncIterator[list[StreamRow]]:
        """Iterate over a stream's rows from an offset, live, until the run ends or is replaced."""
        position = offset
        life = ""
        while True:
            future: Future[None] = self._world.loop.create_future()
            self._followers.setdefault(run, []).append(future)
            try:
                row = await self._row(run)
                life = life or life_of(row)
                if life_of(row) != life:
                    return
                rows = await self.page(run, name, position)
                if rows:
                    yield rows
                    position = rows[-1].offset + rows[-1].count
                elif row.status in CLOSED_STATUSES:
                    return
                else:
                    await self._more(run, future)
            finally:
                self._forget(run, future)

    async def page(
        self, run: RunId, name: str, offset: int, size: int = limits.STREAM_READ_MAX
    ) -> list[StreamRow]:
        """Return stored rows of a stream from an offset on."""
        return await self._store.read_stream(run, name, offset, size)

    async def retracted(self, run: RunId, name: str, offset: int) -> dict[str, int]:
        """Return the writers that are taken back from an offset on, and where."""
        # What was taken back before that was not written behind it.
        return await self._store.read_retractions(run, name, offset)

    async def _more(self, run: RunId, future: Future[None]) -> None:
        if self._scheduler is not None and self._scheduler.owns(run):
            await future
            return
        timer = self._world.call_later(limits.SUMMARY_SECONDS, self.changed, run)
        try:
            await future
        finally:
            timer.cancel()

    def changed(self, run: RunId) -> None:
        """A stream of this run has grown, or the run has ended: wake who follows."""
        for future in self._followers.pop(run, ()):
            if not future.done():
                future.set_result(None)

    def _forget(self, run: RunId, future: Future[None]) -> None:
        waiting = self._followers.get(run)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._followers[run]


def _events_of(
    row: StreamRow, position: int, retracted: dict[str, int], shown: set[str], is_resumed: bool
) -> list[RawEvent]:
    if row.kind == "retract":
        if row.writer in shown or (is_resumed and row.offset >= position):
            return [RawEvent(row.offset, "retract", row.writer)]
        return []
    if retracted.get(row.writer, -1) > row.offset:
        return []
    shown.add(row.writer)
    return [
        RawEvent(offset, "data", row.writer, value)
        for offset, value in enumerate(values_in(row), start=row.offset)
        if offset >= position
    ]
