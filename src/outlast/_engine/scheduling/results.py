"""Waiting for runs to end.

A run of this engine gives its row to those who wait as soon as its last record is durable; the
store is asked only about a run that is not in memory. A run that another engine owns is looked up
again and again, since its end is not announced here.
"""

from __future__ import annotations

from asyncio import Future

from outlast import limits
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._store.decisions import life_of
from outlast._store.rows import RunRow
from outlast.errors import RunNotFound
from outlast.types import CLOSED_STATUSES, RunId


class Results:
    """Who waits for which run."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._store = scheduler.store
        self._waiters: dict[RunId, list[Future[RunRow | None]]] = {}

    def changed(self, run: RunId, ended: RunRow | None = None) -> None:
        """Wake who waits: the run has ended, then this is its row, or stands still."""
        for future in self._waiters.pop(run, ()):
            if not future.done():
                future.set_result(ended)

    def fail_all(self, error: Exception) -> None:
        """The engine cannot go on: tell everyone who waits."""
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self._waiters.clear()

    async def closed(self, run: RunId, *, parked_counts: bool = False, life: str = "") -> RunRow:
        """Return the run's row once it has ended (or, if that counts, is parked).

        With a `life` also once another one has begun under its id.

        Raises:
            RunNotFound: there is no such run.
        """
        has_tried = False
        while True:
            future: Future[RunRow | None] = self._scheduler.world.loop.create_future()
            self._waiters.setdefault(run, []).append(future)
            try:
                # With a `life` it may be another one that is in memory.
                is_here = not life and self._is_here(run)
                row = await future if is_here else None
                if row is not None:
                    return row
                row = await self._store.read_run(run)
                if row is None:
                    raise RunNotFound(run)
                if row.status in CLOSED_STATUSES or (life and life_of(row) != life):
                    return row
                if parked_counts and row.status == "parked":
                    if has_tried or not await self._may_go_on(row):
                        return row
                    has_tried = True
                    continue
                if not is_here:
                    await self._wait(run, future)
            finally:
                self._forget(run, future)

    async def _may_go_on(self, row: RunRow) -> bool:
        return await self._scheduler.parts.inactive_runs.may_go_on(row)

    def _is_here(self, run: RunId) -> bool:
        """Whether the run is in memory and goes on: its end will be told."""
        live = self._scheduler.residents.get(run)
        return isinstance(live, LiveWorkflow) and live.state in ("replaying", "live", "ending")

    async def _wait(self, run: RunId, future: Future[RunRow | None]) -> None:
        if self._scheduler.owns(run):
            await future
            return
        timer = self._scheduler.world.call_later(limits.RECONCILE_SECONDS, self.changed, run)
        try:
            await future
        finally:
            timer.cancel()

    def _forget(self, run: RunId, future: Future[RunRow | None]) -> None:
        waiting = self._waiters.get(run)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiters[run]
