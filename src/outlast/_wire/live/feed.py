"""`/v1/events`: one live feed of what changes, for dashboards.

Changes are gathered for a tenth of a second and told as rows as they are then: a run that moved a
hundred times is told once. Events are numbered; who was away goes on behind the last number that it
has, or is told to read everything again.

Invariants:
  * nothing is gathered without listeners, and what is gathered is bounded;
  * a client is told of every run that changed after its `hello`, or gets a `reset`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

import msgspec

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._engine.reading.records import info_of
from outlast._engine.scheduling.observers import Fact, RowChanged, TokensChanged
from outlast._store.rows import RunRow
from outlast._wire.live.eventstream import event
from outlast._wire.live.ring import Ring
from outlast._world import Timer
from outlast.types import RunInfo

_json = msgspec.json.Encoder().encode
_RING_BYTES = 4 * 1024 * 1024
_RUNS_MAX = 500  # in one event; the others come with the next
_PENDING_MAX = 20_000  # changed runs that wait to be told; beyond, clients read again


class Feed:
    """The feed of one server."""

    def __init__(self, core: EngineCore) -> None:
        self._core = core
        self._world = core.world
        self.epoch: str = f"{core.world.new_id()[-12:]}"
        self.ring: Ring = Ring(bytes_max=_RING_BYTES, events_max=limits.FEED_EVENTS_MAX)
        self.overview: Callable[[], Mapping[str, object] | None] = lambda: None
        self.clients = 0
        self._runs: dict[str, RunRow] = {}
        self._actors: dict[str, None] = {}
        self._tokens_changed = False
        self._is_observing = False
        self._timer: Timer | None = None
        self._told_overview = b""
        self._overview_due = 0.0

    def open(self, last_id: str) -> FeedClient:
        """Return the source of one client, behind the event that it saw last."""
        epoch, _, number = last_id.rpartition("-")
        is_known = epoch == self.epoch and number.isascii() and number.isdigit()
        return FeedClient(self, int(number[:18]) if is_known else None)

    # ------------------------------------------------------------------------ clients
    def enter(self) -> None:
        """One client more: the first one makes the feed listen."""
        self.clients += 1
        if self.clients == 1:
            self._core.scheduler.observers.add(self._observe)
            self._is_observing = True
            self._tick_later()

    def leave(self) -> None:
        """One client fewer."""
        self.clients -= 1
        if not self.clients:
            self.close()

    def close(self) -> None:
        """Listen no more; who comes back reads everything again."""
        if self._is_observing:
            self._core.scheduler.observers.remove(self._observe)
            self._is_observing = False
        self._runs.clear()
        self._actors.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.epoch = f"{self._world.new_id()[-12:]}"

    # -------------------------------------------------------------------------- facts
    def _changed(self, row: RunRow) -> None:
        if row.kind == "actor":
            self._actors[row.id] = None
        else:
            self._runs[row.id] = row
        if len(self._runs) + len(self._actors) > _PENDING_MAX:
            self._runs.clear()
            self._actors.clear()
            self.tell("reset", {"epoch": self.epoch})

    def _observe(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, RowChanged):
                self._changed(fact.row)
            elif isinstance(fact, TokensChanged):
                self._tokens_changed = True

    # ------------------------------------------------------------------------ telling
    def tell(self, kind: str, data: Mapping[str, object]) -> None:
        """Add an event."""
        number = self.ring.end + 1  # an id says where to go on
        body = _json({"seq": number, **data})
        self.ring.append(event(kind, body, f"{self.epoch}-{number}"))

    def _tick_later(self) -> None:
        self._timer = self._world.call_later(limits.FEED_SECONDS, self._tick)

    def _tick(self) -> None:
        if self._runs:
            told = [self._runs.pop(run) for run in list(self._runs)[:_RUNS_MAX]]
            self.tell("runs", {"runs": [self._info(row) for row in told]})
        if self._actors:
            ids = list(self._actors)[:_RUNS_MAX]
            for actor in ids:
                del self._actors[actor]
            self.tell("actors", {"ids": ids})
        if self._tokens_changed:
            self._tokens_changed = False
            self.tell("tokens", {})
        now = self._world.monotonic()
        if now >= self._overview_due:
            self._overview_due = now + 1.0
            self._tell_overview()
        self._tick_later()

    def _info(self, row: RunRow) -> RunInfo:
        return info_of(self._core.reader.refreshed(row))

    def _tell_overview(self) -> None:
        overview = self.overview()
        data = b"" if overview is None else _json(overview)
        if overview is not None and data != self._told_overview:
            self._told_overview = data
            self.tell("overview", overview)


class FeedClient:
    """One client of the feed."""

    def __init__(self, feed: Feed, number: int | None) -> None:
        self._feed = feed
        self._number = number
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Let `pieces` look up."""
        self._awake.set()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over events for as long as the client is there."""
        feed = self._feed
        feed.enter()
        feed.ring.follow(self._awake)
        try:
            number = self._number
            if number is None or not feed.ring.begin <= number <= feed.ring.end:
                kind = "hello" if number is None else "reset"
                number = feed.ring.end
                yield self._summary(kind, number)
            while True:
                data = feed.ring.since(number)
                if data is None:
                    number = feed.ring.end
                    yield self._summary("reset", number)
                    continue
                number = feed.ring.end
                if data:
                    yield data
                    continue
                await self._awake.wait()
                self._awake.clear()
                if number == feed.ring.end:
                    yield b""
        finally:
            feed.ring.leave(self._awake)
            feed.leave()

    def _summary(self, kind: str, number: int) -> bytes:
        """Return the event after which a client reads everything, then follows."""
        epoch = self._feed.epoch
        body = _json({"epoch": epoch, "seq": number})
        return event(kind, body, f"{epoch}-{number}")
