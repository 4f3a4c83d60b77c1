"""Reading what a store knows, with or without an engine that runs it.

With a scheduler, what is in memory is fresher than the rows and wins; without one (another
process's store, opened for reading) the rows are at most a second old.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from contextvars import Context

import msgspec

from outlast import limits
from outlast._engine.reading.declared import DeclaredTypes
from outlast._engine.reading.queries import parse_query
from outlast._engine.reading.records import Record, info_of, readable
from outlast._engine.reading.stream_reader import StreamReader
from outlast._engine.residency.inactive_runs import WAITS_FOR_ENGINE, cancel_waits, mail_of
from outlast._engine.residency.passivation import Residency
from outlast._engine.scheduling.late_outcomes import late_in_words
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.runs.run import LiveRun
from outlast._execution.why import why_of, with_lengths
from outlast._records import Record as StoredRecord
from outlast._registry import Registry
from outlast._store.asking import TooLong
from outlast._store.contract import Cursor, RunFilter, Store
from outlast._store.damaged import RowDamaged
from outlast._store.glimpses import WHOLE, Part, RunGlance
from outlast._store.pages import is_last
from outlast._store.rows import RunRow
from outlast._wording.durations import text_of
from outlast._wording.plurals import counted
from outlast._world import World
from outlast.errors import QueryTooWide, RunNotFound, StoreDamaged
from outlast.types import CLOSED_STATUSES, RunId, RunInfo, Status

_COUNTS_SECONDS = 0.5
_CANCELS = Part(kinds=frozenset(("cancel_requested",)))
_LATE = Part(kinds=frozenset(("step_late",)))


class Reader:
    """Answers questions about runs."""

    def __init__(
        self,
        store: Store,
        world: World,
        registry: Registry,
        *,
        scheduler: Scheduler | None = None,
        residency: Residency | None = None,
    ) -> None:
        self._store = store.lookups
        self._world = world
        self.registry = registry
        self._scheduler = scheduler
        self._residency = residency
        self.streams: StreamReader = StreamReader(
            store.lookups, world, self.row, scheduler=scheduler
        )
        self._counts: dict[Status, int] = {}
        self._counts_due = 0.0
        self._counting: asyncio.Task[dict[Status, int]] | None = None

    # ------------------------------------------------------------------------ runs
    async def row(self, run: RunId) -> RunRow:
        """Return the run's row, as fresh as can be.

        Raises:
            RunNotFound: there is none.
        """
        was_live = self._scheduler is not None and run in self._scheduler.residents
        row = await self._store.read_run(run)
        if was_live and self._scheduler is not None and run not in self._scheduler.residents:
            # It left memory meanwhile, and may have said why in a later row than this one.
            row = await self._store.read_run(run)
        if row is None:
            raise RunNotFound(run)
        return self.refreshed(row)

    def refreshed(self, row: RunRow) -> RunRow:
        """Return a row as it would be if it were written now."""
        live = self._live(row)
        if live is None or self._residency is None:
            return row
        status, why = self._residency.status_of(live)
        return msgspec.structs.replace(
            row,
            status=status,
            waiting_for=why,
            started_at=live.summary.started_at,
            wake_at=live.clock.next_wake(),
            steps=live.journal.steps,
            attributes=live.summary.attributes,
            crash_count=live.row.crash_count,
        )

    def _live(self, row: RunRow) -> LiveRun | None:
        """Return the run in memory if it knows more than its row."""
        # The end is in the store a moment before the loop hears of it.
        if self._scheduler is None or row.status in CLOSED_STATUSES:
            return None
        live = self._scheduler.residents.get(row.id)
        return None if live is None or live.state in ("left", "ended") else live

    async def closed(self, run: RunId, *, parked_counts: bool) -> RunRow:
        """Return the run's row once it has ended, by looking at the store again and again."""
        while True:
            row = await self.row(run)
            if row.status in CLOSED_STATUSES or (parked_counts and row.status == "parked"):
                return row
            await self._world.sleep(limits.SUMMARY_SECONDS)

    async def info(self, run: RunId) -> RunInfo:
        """Return what is known of a run."""
        return info_of(await self.row(run))

    async def why(self, run: RunId) -> str:
        """Return why a run is not further, in one line."""
        try:
            row = await self.row(run)
        except RowDamaged as error:
            return f"damaged: {error}"
        why = self._why(row)
        is_standing = row.status in ("parked", "paused") and row.kind == "workflow"
        if is_standing and await self._has_cancel(run):
            why += f"; {cancel_waits(run)}"
        late = await self._late_in(row)
        return f"{why}; {late}" if late else why

    async def _has_cancel(self, run: RunId) -> bool:
        """Whether a request to cancel waits for a run to go on, in its mailbox or its journal."""
        if await mail_of(self._store, run, "cancel"):
            return True
        try:
            return bool(await self._store.read_journal(run, part=_CANCELS))
        except StoreDamaged:
            return False  # `_late_in` says so

    async def _late_in(self, row: RunRow) -> str:
        """Return which steps had their effect after the run had stopped waiting for them."""
        if row.kind != "workflow":
            return ""
        try:
            records = await self._store.read_journal(row.id, part=_LATE)
        except StoreDamaged as error:
            return "" if row.parked_as == "damaged" else f"its journal is damaged: {error}"
        return "; ".join(late_in_words(r) for r in records)

    def _why(self, row: RunRow) -> str:
        live = self._live(row)
        if live is not None:
            return why_of(live, self._world.now())
        if row.status in CLOSED_STATUSES:
            since = text_of((self._world.now() - (row.closed_at or row.created_at)) / 1e6)
            because = f": {row.error}" if row.error else ""
            return f"{row.status} {since} ago{because}"
        if row.status == "parked":
            return f"parked: {row.waiting_for}"
        if row.status == "paused":
            return f"{row.waiting_for}"
        if self._scheduler is not None and row.id in self._scheduler.held:
            return _waits_for_its_turn(row)
        if row.status == "pending" and row.wake_at is not None:
            left = text_of((row.wake_at - self._world.now()) / 1e6)
            return f"waiting for its start, which is due in {left}"
        if row.kind == "actor" and not row.waiting_for:
            return self._why_actor(row)
        return with_lengths(row.waiting_for, self._world.now()) or WAITS_FOR_ENGINE

    def _why_actor(self, row: RunRow) -> str:
        if row.workflow not in self.registry.actors:
            return "idle, or waiting for an engine that has its class"
        if row.wake_at is None:
            return "idle: waiting for a message"
        due = max(0, row.wake_at - self._world.now())
        return f"idle until a delayed message or a reminder, due in {text_of(due / 1e6)}"

    async def runs(
        self, query: str, page: int = limits.PAGE_ROWS, after: Cursor | None = None
    ) -> AsyncIterator[RunRow]:
        """Iterate over the runs that a query wants, newest first, from behind `after` on.

        Raises:
            QueryError: the query does not parse.
        """
        which = parse_query(query, self._world.now())
        if self._residency is not None and which.statuses is not None:
            self._residency.write_summaries(settled_only=False)
            await self._flushed()
        while True:
            with in_time(query):
                rows = await self._store.list_runs(which, after, page)
            for row in rows:
                fresh = self.refreshed(row)
                if which.statuses is None or fresh.status in which.statuses:
                    yield fresh
            if is_last(rows, page):
                return
            after = Cursor(rows[-1].created_at, rows[-1].id)

    async def page(self, query: str, after: Cursor | None, size: int) -> list[RunRow]:
        """Return up to `size` of the runs that a query wants, from behind `after` on.

        Raises:
            QueryError: the query does not parse.
        """
        found: list[RunRow] = []
        async for row in self.runs(query, min(size, limits.PAGE_ROWS), after):
            found.append(row)
            if len(found) == size:
                break
        return found

    async def counts(self) -> dict[Status, int]:
        """Return how many runs stand how, as their rows have it."""
        if self._world.monotonic() < self._counts_due:
            return self._counts
        if self._counting is None or self._counting.done():
            # Shared by all who ask: it must not end with one of them.
            self._counting = self._world.spawn(
                self._count_again(), name="outlast-count", context=Context()
            )
        return await asyncio.shield(self._counting)

    async def _count_again(self) -> dict[Status, int]:
        began = self._world.monotonic()
        self._counts = await self._store.count_by_status()
        took = self._world.monotonic() - began
        # A large store is looked through no more than a tenth of the time.
        self._counts_due = began + max(_COUNTS_SECONDS, 10 * took)
        return self._counts

    async def count(self, query: str) -> int:
        """Return how many runs a query wants, `limits.COUNT_MAX` at most.

        Raises:
            QueryError: the query does not parse.
        """
        which = parse_query(query, self._world.now())
        if self._residency is not None and which.statuses is not None:
            self._residency.write_summaries(settled_only=False)
            await self._flushed()
        with in_time(query):
            return await self._store.count_runs(which, limits.COUNT_MAX)

    async def glances(self, query: str) -> tuple[RunFilter, list[RunGlance]]:
        """Return the newest runs that a query wants, as statistics need them; as their rows are.

        Raises:
            QueryError: the query does not parse.
        """
        which = parse_query(query, self._world.now())
        with in_time(query):
            return which, await self._store.glance_at_runs(which, limits.STATISTICS_RUNS_MAX)

    async def _flushed(self) -> None:
        if self._scheduler is not None and self._scheduler.writer.trouble is None:
            await self._scheduler.writer.flushed()

    async def journal(self, run: RunId, after: int = 0, upto: int | None = None) -> list[Record]:
        """Return a run's records above `after`, up to `upto`, readable."""
        types = DeclaredTypes(self.registry, (await self.row(run)).workflow)
        return [readable(record, types) for record in await self.stored_journal(run, after, upto)]

    async def stored_journal(
        self, run: RunId, after: int = 0, upto: int | None = None, part: Part = WHOLE
    ) -> list[StoredRecord]:
        """Return the same as they are stored, or a part of them."""
        await self.row(run)
        return await self._store.read_journal(run, after, upto, part)

    # --------------------------------------------------------------------- streams
    async def stream_names(self, run: RunId, *, declared: bool = True) -> tuple[str, ...]:
        """Return the names of a run's streams: written ones, and those that its code declares.

        With `declared=False` only the written ones.

        Raises:
            RunNotFound: there is no such run.
        """
        row = await self.row(run)
        written = await self._store.read_stream_ends(run)
        return tuple(sorted({*written, *(self.declared_streams(row) if declared else ())}))

    def declared_streams(self, row: RunRow) -> tuple[str, ...]:
        """Return the streams that the code around a run's own declares; none if it is not here."""
        known = row.workflow in self.registry.workflows or row.workflow in self.registry.actors
        return tuple(sorted(self.registry.streams)) if known else ()

    # ---------------------------------------------------------------------- values
    async def value(self, run: RunId, name: str) -> bytes | None:
        """Return the last value set under a name, encoded."""
        await self.row(run)
        return await self._store.read_value(run, name)


def _waits_for_its_turn(row: RunRow) -> str:
    if not row.crash_count:
        return "waiting to be recovered"
    died = counted(row.crash_count, "time")
    return f"held back: its process died {died}, and such runs are tried one at a time"


@contextmanager
def in_time(query: str) -> Generator[None]:
    """Say what to do about a query that the store cannot answer in the time a client has."""
    try:
        yield
    except TooLong:
        raise QueryTooWide(
            f"the query {query[:200]!r} has more runs looked at than can be in "
            f"{limits.LOOKUP_SECONDS_MAX:g} seconds; say more of what is wanted: an id, a parent, "
            f"an attribute or a time, as in 'since:1h'"
        ) from None
