"""Runs whose process died again and again while it was running them: each has its chance alone.

So a poisonous one cannot keep the process in a crash loop, and innocent ones are not blamed. A
suspect is alone for a few seconds; then the next one begins, and its death is no proof any more.
One that takes longer to kill its process is alone for twice as long the next time.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec

from outlast import limits
from outlast._engine.residency.inactive_runs import InactiveRuns
from outlast._engine.residency.poison_messages import bury_begun
from outlast._engine.scheduling.scheduler import Scheduler, is_open_here, row_outside_memory
from outlast._engine.verbs.messages import Messages
from outlast._execution.why import is_at_work
from outlast._store.rows import RunRow
from outlast._store.transactions import Effects, Transaction
from outlast._wording.plurals import counted
from outlast.errors import EngineClosed
from outlast.types import RunId

log = logging.getLogger("outlast.engine")
_SECONDS = 3.0  # how long one suspect may keep the next one waiting, at first
_SECONDS_MAX = 600.0
OUTLASTED = "\x00alone"
"""Value: so often a suspect was still at it when its time alone was over."""


class Suspects:
    """Gives each its chance; `admit` brings one into memory, by its row."""

    def __init__(
        self,
        scheduler: Scheduler,
        messages: Messages,
        inactive_runs: InactiveRuns,
        admit: Callable[[RunRow], Awaitable[None]],
    ) -> None:
        self._scheduler = scheduler
        self._store = scheduler.store
        self._world = scheduler.world
        self._messages = messages
        self._inactive_runs = inactive_runs
        self._admit = admit

    async def try_each(self, runs: list[RunId]) -> None:
        """Give each suspect its chance, alone, when all others are at rest."""
        for run in runs:
            try:
                await self._try(run)
            except Exception as error:  # noqa: BLE001  # the next suspect must have its turn
                self._scheduler.held.discard(run)
                await self._messages.could_not_bring(run, error)
            finally:
                self._scheduler.held.discard(run)
            self._scheduler.parts.messages.has_mail(run)  # what came while it waited for its turn

    async def _try(self, run: RunId) -> None:
        row = await self._store.read_run(run)
        if row is None or not is_open_here(row):
            return
        if row.crash_count >= 2 * limits.CRASHES_MAX:
            why = f"the process died {counted(row.crash_count, 'time')} while running it"
            if await bury_begun(self._scheduler, run, why):
                return
            log.error("run %s is parked: %s", run, why)
            await self._inactive_runs.park(run, why, "suspect")
            return
        await _quiet(self._scheduler)
        await self._try_alone(run)

    async def _try_alone(self, run: RunId) -> None:
        scheduler = self._scheduler
        async with scheduler.run_locks.alone_with(run):
            row = await row_outside_memory(scheduler, run)
            lease = scheduler.leases.get(scheduler.shard_of(run))
            is_open = row is not None and is_open_here(row)
            if row is None or lease is None or not is_open or run in scheduler.residents:
                return
            alone = msgspec.structs.replace(row, is_alone=True)
            transaction = Transaction(lease, run, [], Effects(summary=alone))
            scheduler.submit(transaction)
            try:
                await scheduler.acknowledgements.wait_for(transaction)
            except EngineClosed:
                return
            scheduler.held.discard(run)
            if row.kind == "actor":
                self._messages.left_waiting.add(run)
            await self._admit(alone)
        # One that takes its time to kill its process would do so for ever: it is alone for longer
        # each time, so that its deaths count in the end.
        stored = await self._store.read_value(run, OUTLASTED)
        times = 0 if stored is None else int(stored)
        seconds = min(_SECONDS * 2.0 ** min(times, 60), _SECONDS_MAX)
        waited, pause = 0.0, 0.001  # most only wait for something: thousands may do so
        while not (has_moved := self._has_moved(run, alone.last_seq)) and waited < seconds:
            await self._world.sleep(pause)
            waited += pause
            pause = min(2 * pause, 0.05)
        live = scheduler.residents.get(run)
        if live is not None:
            if not has_moved:
                live.journal.transaction().also.values += ((OUTLASTED, b"%d" % (times + 1)),)
            live.summary.not_alone()  # others run from here on: their death is not its fault

    def _has_moved(self, run: RunId, last_seq: int) -> bool:
        live = self._scheduler.residents.get(run)
        if live is None or live.journal.progress_seq > last_seq:
            return True
        return live.state == "live" and not (live.journal.in_flight or is_at_work(live))


async def _quiet(scheduler: Scheduler) -> None:
    """Wait until no other run executes a step, for a while at most."""
    waited = 0.0
    while scheduler.bodies.are_working and waited < _SECONDS:
        await scheduler.world.sleep(0.05)
        waited += 0.05
