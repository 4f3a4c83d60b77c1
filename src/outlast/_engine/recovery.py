"""Going on with what earlier processes left open.

Runs that were in memory come first, then those with mail, then those whose timers came due. Runs
that died with their process again and again are suspects: they go on last, one at a time, so
that a poisonous run cannot keep the process in a crash loop, and innocent ones are not blamed.

Invariants:
  * recovery does not end with the first look: whatever it could not take, it looks at again;
  * how often a run has died is written down before it is given another chance;
  * a store that takes no writes holds up the runs, and not the opening of the engine: the rest of
    the recovery then waits in the background.
"""

from __future__ import annotations

import logging
from asyncio import Future, Task
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec

from outlast import limits
from outlast._engine.residency.inactive_runs import InactiveRuns
from outlast._engine.residency.wake_alarm import WakeAlarm
from outlast._engine.scheduling.scheduler import (
    Scheduler,
    admit_stored,
    is_open_here,
    row_outside_memory,
)
from outlast._engine.suspects import OUTLASTED, Suspects
from outlast._engine.verbs.messages import Messages
from outlast._records import NO_PROGRESS
from outlast._store.contract import TailRun
from outlast._store.rows import RunRow
from outlast._store.transactions import Effects, Transaction
from outlast.errors import StoreError
from outlast.types import Lease, RunId

log = logging.getLogger("outlast.engine")
_BATCH = 200
_AGAIN = 100_000  # microseconds


@dataclass(slots=True)
class _Left:
    """What a recovery has not taken yet, and what it has learned so far."""

    shards: set[int]
    died: set[int]
    tail: Mapping[RunId, TailRun]
    rows: deque[RunRow]
    is_counted: bool = False  # the death of the first of the rows is written down
    suspects: list[RunId] = field(default_factory=list[RunId])
    failed: list[tuple[RunId, Exception]] = field(default_factory=list[tuple[RunId, Exception]])


class _StuckError(Exception):
    """The store does not take the count of a run's deaths now."""

    def __init__(self, written: Future[None]) -> None:
        super().__init__()
        self.written = written


class Recovery:
    """Brings open runs into memory: after a start, a take-over, a wake-up time."""

    def __init__(
        self, scheduler: Scheduler, messages: Messages, dormant: InactiveRuns, *, live_runs_max: int
    ) -> None:
        self._scheduler = scheduler
        self._store = scheduler.store
        self._world = scheduler.world
        self._messages = messages
        self._inactive_runs = dormant
        self._live_runs_max = live_runs_max
        self._suspects = Suspects(scheduler, messages, dormant, partial(self._admit, tail=None))
        self._alarm = WakeAlarm(scheduler, self._wake)
        self._is_waking = False
        self._waiting: Task[None] | None = None  # for a store that takes no writes now

    async def recover(self, leases: list[Lease]) -> None:
        """Take over the runs of newly acquired shards.

        While the store takes no writes it returns before all of them are in memory; the others
        follow when the store accepts writes again.
        """
        shards = {lease.shard for lease in leases}
        died = {lease.shard for lease in leases if lease.was_left}
        tail = await self._store.read_tail(shards)
        rows = await self._store.resident_runs(shards)
        # Those that come first may send to the others: that must not bring a suspect in.
        self._scheduler.held.update(row.id for row in rows)
        left = _Left(shards, died, tail, deque(rows))
        written = await self._take_rows(left)
        if written is None:
            await self._end(left)
            return
        log.warning(
            "%d runs will be recovered when the store accepts writes again, because their crash "
            "counts must be recorded first",
            len(left.rows),
        )
        self._waiting = self._world.spawn(self._go_on(left, written), name="outlast-recover")

    async def _go_on(self, left: _Left, written: Future[None] | None) -> None:
        """Go on with a recovery each time when the store has taken what it refused."""
        while written is not None:
            await written
            left.is_counted = True
            try:
                written = await self._take_rows(left)
            except BaseException:
                self._scheduler.held.difference_update(row.id for row in left.rows)
                raise
        try:
            await self._end(left)
        except StoreError as error:
            log.warning("cannot read the runs to recover, retrying: %s", error)
            await self._world.sleep(limits.RECONCILE_SECONDS)
            await self._bring_others(left.shards, left.died, None)
            await self.wake_due()

    async def _take_rows(self, left: _Left) -> Future[None] | None:
        """Bring runs into memory, as long as the store takes what must be written for it.

        Returns None when that was all, else a future that is done when it is to be called again.
        """
        taken = 0
        while left.rows:
            row = left.rows[0]
            has_died = row.shard in left.died
            tail = left.tail.get(row.id)
            try:
                if await self._take(row.id, tail, has_died=has_died, is_counted=left.is_counted):
                    left.suspects.append(row.id)
                else:
                    self._scheduler.held.discard(row.id)
            except _StuckError as stuck:
                return stuck.written
            except Exception as error:  # noqa: BLE001  # must not cost the others
                self._scheduler.held.discard(row.id)
                left.failed.append((row.id, error))
            left.rows.popleft()
            left.is_counted = False
            taken += 1
            if not taken % _BATCH:
                await self._world.pass_turn()
        return None

    async def _end(self, left: _Left) -> None:
        """Look after all that is not brought in by its row."""
        shards, died = left.shards, left.died
        for run, trouble in left.failed:
            await self._messages.could_not_bring(run, trouble)
        for run, damage in self._store.damaged_runs.items():
            if self._scheduler.shard_of(run) in shards:
                await self._messages.could_not_bring(run, damage)
        last = await self._bring_mailed(shards, died, None)
        if last is not None:
            self._world.spawn(self._bring_others(shards, died, last), name="outlast-mail")
        self._scheduler.parts.messages.has_mail(RunId(""))
        if left.suspects:
            self._world.spawn(self._suspects.try_each(left.suspects), name="outlast-suspects")
        await self.wake_due()

    async def _bring_mailed(
        self, shards: set[int], died: set[int], after: RunId | None
    ) -> RunId | None:
        """Bring in a page of the runs with mail; return the last of it, None if no more come."""
        runs = await self._store.runs_with_mail(shards, limits.MAILBOX_READ_MAX, after)
        for run in runs:
            if self._scheduler.shard_of(run) in died:
                self._messages.left_waiting.add(run)
            self._scheduler.parts.messages.has_mail(run)
        return runs[-1] if len(runs) == limits.MAILBOX_READ_MAX else None

    async def _bring_others(self, shards: set[int], died: set[int], after: RunId | None) -> None:
        """Bring in the pages behind `after`, each when the one before it is in memory."""
        last, is_done = after, False
        while not is_done and not self._scheduler.is_closing:
            await self._messages.all_brought()
            try:
                last = await self._bring_mailed(shards, died, last)
                is_done = last is None
            except StoreError as error:
                log.warning("cannot read the mailboxes, retrying: %s", error)
                await self._world.sleep(limits.RECONCILE_SECONDS)

    async def _take(
        self, run: RunId, tail: TailRun | None, *, has_died: bool, is_counted: bool
    ) -> bool:
        """Bring an open run into memory; return whether it is a suspect and must wait.

        Raises:
            _StuckError: the store does not take now that its process died; when it has, the run
                is to be taken again.
        """
        scheduler = self._scheduler
        if run in scheduler.residents:
            return False
        async with scheduler.run_locks.alone_with(run):
            row = await row_outside_memory(scheduler, run)
            if row is None or run in scheduler.residents or not is_open_here(row):
                return False
            row = await _count_death(scheduler, row, tail, has_died and not is_counted)
            if row.crash_count >= limits.CRASHES_MAX:
                return True
            scheduler.held.discard(run)
            if has_died and row.kind == "actor":
                self._messages.left_waiting.add(run)
            await self._admit(row, tail=tail)
            return False

    async def _admit(self, row: RunRow, *, tail: TailRun | None) -> None:
        scheduler = self._scheduler
        if row.kind == "actor":
            await self._admit_actor(row)
            return
        if row.packed_seq or tail is None:
            records = await self._store.read_journal(row.id)
        else:
            records = tail.records
        if not records or row.id in scheduler.residents:
            return
        live = await admit_stored(scheduler, row, records)
        if live is None:
            return
        if tail is not None:
            live.journal.position = tail.first_position
        await self._messages.read_mail(live)
        scheduler.begin(live)

    async def _admit_actor(self, row: RunRow) -> None:
        live = await self._messages.activate(row)
        if live is not None:
            await self._messages.read_mail(live)
            self._scheduler.begin(live)

    # ------------------------------------------------------------------ coming due
    async def wake_due(self) -> None:
        """Bring in the passivated runs whose time has come, then sleep until the next."""
        if self._is_waking or self._scheduler.is_closing:
            return
        self._is_waking = True
        self._alarm.begin_look()
        try:
            self._alarm.end_look(await self._bring_due())
        except StoreError as error:
            log.warning("cannot read the due timers, retrying: %s", error)
            self._alarm.end_look(self._world.now() + int(limits.RECONCILE_SECONDS * 1e6))
        finally:
            self._is_waking = False

    async def _bring_due(self) -> int | None:
        """Bring in what is due, each once; return when to look again."""
        residents = self._scheduler.residents
        due: list[RunRow] = []
        tried: set[RunId] = set()
        now = self._world.now()
        passed_over = 0  # they come first, and those behind them must be seen too
        while not self._scheduler.is_closing:
            shards = list(self._scheduler.leases)
            # Some go beyond the limit, and others leave for them.
            beyond = 1 + self._live_runs_max // 10
            room = min(_BATCH, max(beyond, self._live_runs_max - len(residents)))
            now = self._world.now()
            wanted = room + passed_over
            due = await self._store.due_runs(shards, now, wanted)
            tried.intersection_update(row.id for row in due)
            fresh = [row.id for row in due if row.id not in residents and row.id not in tried]
            passed_over = len(due) - len(fresh)
            if not fresh:
                if len(due) < wanted:
                    break
                continue
            for run in fresh:
                await self._messages.try_to_bring(run)
            tried.update(run for run in fresh if run not in residents)
            await self._world.pass_turn()
        at = await self._store.next_wake(list(self._scheduler.leases), now)
        if not due:
            return at
        # What is due but already in memory has its new row on the way: look again soon.
        again = self._world.now() + _AGAIN
        return again if at is None else min(at, again)

    def passivated(self, row: RunRow) -> None:
        """A run has left memory, or never came: be there when it is due."""
        if row.wake_at is not None:
            self.expect(row.wake_at)

    def expect(self, at: int) -> None:
        """A run is due at `at`: be there in time."""
        self._alarm.expect(at)

    def _wake(self) -> None:
        self._world.spawn(self.wake_due(), name="outlast-wake")

    def stop(self) -> None:
        """Bring in nothing more."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._alarm.cancel()


async def _count_death(
    scheduler: Scheduler, row: RunRow, tail: TailRun | None, has_died: bool
) -> RunRow:
    """Write down, before the run gets another chance, that its process died under it."""
    if not has_died:
        return row
    moved = [r for r in tail.records if r.seq > row.last_seq] if tail is not None else []
    has_moved = any(r.kind not in NO_PROGRESS for r in moved)
    if row.crash_count >= limits.CRASHES_MAX and not has_moved and not row.is_alone:
        return row  # others ran beside it: this death proves nothing about it
    deaths = 1 if has_moved else row.crash_count + 1
    last = max([row.last_seq, *(r.seq for r in moved)])
    counted = msgspec.structs.replace(row, crash_count=deaths, last_seq=last, is_alone=False)
    values = ((OUTLASTED, None),) if deaths == limits.CRASHES_MAX else ()
    lease = scheduler.leases.get(row.shard)
    if lease is not None:
        transaction = Transaction(lease, row.id, [], Effects(summary=counted, values=values))
        scheduler.submit(transaction)
        written = await scheduler.acknowledgements.made_or_stuck(transaction)
        if written is not None:
            raise _StuckError(written)
    return counted


class Reconciler:
    """Looks again at a shared store: hints may be lost, shards may fall free."""

    def __init__(
        self, scheduler: Scheduler, recovery: Recovery, owner: str, changed: Callable[[RunId], None]
    ) -> None:
        self._scheduler = scheduler
        self._recovery = recovery
        self._owner = owner
        self._changed = changed
        self._hint: Future[None] | None = None
        self._mailed_to: RunId | None = None  # the next look goes on behind this one
        self.shards_max = scheduler.store.shards_count
        scheduler.store.watch(self.hint)

    def hint(self, runs: Collection[RunId] = ()) -> None:
        """Somebody wrote: look soon, and have those look who wait for one of these runs."""
        for run in runs:
            self._changed(run)
        # Who has no shard finds nothing by looking, unless one has fallen free.
        is_of_use = not runs or self._scheduler.leases
        if is_of_use and self._hint is not None and not self._hint.done():
            self._hint.set_result(None)

    async def run(self) -> None:
        """Look after each hint, and every second without one, while others may write."""
        world, store = self._scheduler.world, self._scheduler.store
        while store.is_shared or not self._scheduler.leases:
            self._hint = world.loop.create_future()
            timer = world.call_later(limits.RECONCILE_SECONDS, self.hint)
            await self._hint
            timer.cancel()
            try:
                await self.look()
            except StoreError as error:
                log.warning("cannot read the store, retrying: %s", error)

    async def look(self) -> None:
        """Take free shards, and bring in runs that others left for us."""
        scheduler = self._scheduler
        missing = set(range(scheduler.store.shards_count)) - set(scheduler.leases)
        if missing:
            taken = await scheduler.store.acquire_leases(self._owner, missing)
            for lease in taken:
                scheduler.leases[lease.shard] = lease
            if taken:
                await self._recovery.recover(taken)
        shards = list(scheduler.leases)
        for row in await scheduler.store.resident_runs(shards):
            if row.id not in scheduler.residents and is_open_here(row):
                scheduler.parts.messages.has_mail(row.id)
        page_max = limits.MAILBOX_READ_MAX
        runs = await scheduler.store.runs_with_mail(shards, page_max, self._mailed_to)
        self._mailed_to = runs[-1] if len(runs) == page_max else None
        for run in runs:
            scheduler.parts.messages.has_mail(run)
        await self._recovery.wake_due()
