"""The runs that are in memory: how they come, what they are fed, how they go.

The scheduler is the engine as its runs see it (`RunHost`) and as the bodies of their steps see it
(`BodySink`). Who comes and goes when is decided beside it: `recovery` after a start, `residency`
when memory is short, `messages` when something arrives.

Invariants:
  * a run is in `residents` at most once, and only while this engine holds its shard's lease;
  * a run in `held` (recovery has not looked at it yet, or it is a suspect whose turn has not
    come) is brought into memory only by recovery;
  * what a run appended reaches it again only when it is durable;
  * a run that lost its lease is dropped without another word to anyone.
"""

from __future__ import annotations

import logging
from functools import partial
from zlib import crc32

import msgspec
from typing_extensions import override

from outlast._engine.scheduling.acknowledgements import Acknowledgements
from outlast._engine.scheduling.known_keys import KnownKeys
from outlast._engine.scheduling.observers import (
    MessageEnded,
    Observers,
    RowChanged,
)
from outlast._engine.scheduling.parts import Parts
from outlast._engine.scheduling.run_locks import RunLocks
from outlast._events import Events
from outlast._execution.actors.actor_memory import Activation, ActorMemory
from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.bodies.running import Bodies
from outlast._execution.calls.host import ActorHost
from outlast._execution.calls.operations import ErrorTypes, KnownErrors, StepOperation, failure_in
from outlast._execution.calls.steps import HEARTBEAT
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._journal.slices import Slices
from outlast._journal.writer import Writer
from outlast._records import Record, attach
from outlast._registry import Registry
from outlast._store.contract import Store
from outlast._store.decisions import carry_audit
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import (
    CommitResult,
    Effects,
    Fenced,
    Receipt,
    StartRun,
    Transaction,
)
from outlast._world import Timer, World
from outlast.errors import EngineClosed, OutlastError, UnknownWorkflow
from outlast.types import CLOSED_STATUSES, Lease, RunId

log = logging.getLogger("outlast.engine")


class Scheduler(ActorHost):
    """Runs in memory, their leases, and the writer they share."""

    def __init__(
        self,
        world: World,
        store: Store,
        registry: Registry,
        writer: Writer,
        events: Events,
        acknowledgements: Acknowledgements,
    ) -> None:
        self.world: World = world
        self.only_replays: bool = False
        self.registry: Registry = registry
        self.store = store
        self.writer = writer
        self.events = events
        self.bodies: Bodies
        self.run_locks: RunLocks = RunLocks()
        self.known_keys: KnownKeys = KnownKeys()
        self.residents: dict[RunId, LiveRun] = {}
        self._beginnings: Slices[LiveRun] = Slices(world, self._begin)
        self.leases: dict[int, Lease] = {}
        self.held: set[RunId] = set()
        self.last_position: int = 0
        self.is_closing = False
        self.executes = True
        self.parts: Parts  # of the engine around it, there when the first run comes
        self.observers: Observers = Observers(world)
        self.acknowledgements = acknowledgements
        self._error_types = ErrorTypes(registry)

    # --------------------------------------------------------------- the run's host
    @property
    @override
    def known_errors(self) -> KnownErrors:
        return self._error_types.current()

    @override
    def submit(self, transaction: Transaction) -> None:
        self.writer.submit(transaction, self._committed)

    @override
    def start_body(self, run: RunId, operation: StepOperation, *, fence: int) -> None:
        if self.is_closing:
            operation.is_started = False
            return
        if operation.attempt or operation.is_resumed:
            work = self._start_again(run, operation, fence)
            self.world.spawn(work, name=f"heartbeat of {operation.key}")
        else:
            self.bodies.start(run, operation, fence=fence, last_heartbeat=None)

    async def _start_again(self, run: RunId, operation: StepOperation, fence: int) -> None:
        """An earlier attempt may have left a heartbeat: read it first."""
        details = await self.store.read_value(run, HEARTBEAT + operation.key)
        live = self.residents.get(run)
        if self.is_closing:
            operation.is_started = False  # the drain has waited for bodies by now, or soon has
        elif live is not None and live.steps.pending.get(operation.key) is operation:
            operation.queued_at = self.world.now()
            self.bodies.start(run, operation, fence=fence, last_heartbeat=details)

    @override
    def stop_body(self, run: RunId, key: str) -> None:
        self.bodies.stop(run, key)

    @override
    def attempt_failed(self, run: RunId, operation: StepOperation, failure: bytes) -> None:
        _tell_attempt_failed(self.events, run, operation, failure)

    @override
    def why_queued(self) -> str:
        return self.bodies.threads.why()

    @override
    def call_at(self, run: RunId, at: int) -> Timer:
        return self.world.call_later(max(0.0, (at - self.world.now()) / 1e6), self._wake, run)

    def _wake(self, run: RunId) -> None:
        if (live := self.residents.get(run)) is not None:
            live.wake()

    @override
    def run_changed(self, run: RunId) -> None:
        if (live := self.residents.get(run)) is not None:
            self.parts.residency.changed(live)

    @override
    def replayed(self, run: RunId) -> None:
        """Runs of an engine go on."""

    @override
    def run_closed(self, run: RunId) -> None:
        live = self.residents.get(run)
        _tell_end(self.events, live)
        self._remove(run)
        if live is not None:
            self.parts.ended(run, live.summary.row)
        self.parts.streams.changed(run)

    @override
    def run_parked(self, run: RunId, reason: str, error: OutlastError | None = None) -> None:
        live = self.residents.get(run)
        if live is None or live.state == "left" or live.journal.has_closed:
            return
        log.warning("run %s is parked: %s", run, reason, extra={"outlast_run": run})
        self.events.runs_parked += 1
        live.leave()
        self.bodies.stop_run(run)
        live.summary.park(reason, error)
        # It stays resident until this is durable: its journal may not be read before.

    @override
    def answered(self, message: Message, outcome: bytes) -> None:
        if message.kind == "update":
            self.parts.updates.updated(message, outcome)
        else:
            self.parts.actors.answered(message, outcome)
            if self.observers.are_any:
                self.observers.tell(MessageEnded(message, outcome))

    @override
    def actor_reads_on(self, actor: RunId) -> None:
        self.parts.messages.has_mail(actor)

    @override
    def actor_start(self, actor: RunId) -> StartRun | None:
        return self.parts.idle_actors.start_of(actor)

    @override
    def actor_rests(self, actor: RunId) -> None:
        live = self.residents.get(actor)
        if isinstance(live, LiveActor) and live.can_leave and not live.row.resident:
            self.events.runs_passivated += live.handling.current is not None
            live.leave()
            self._remove(actor)
            self.parts.idle_actors.rested(live)
            self.parts.recovery.passivated(live.row)

    @override
    def shard_of(self, run: RunId) -> int:
        return crc32(run.encode()) % self.store.shards_count

    # ------------------------------------------------------------------- coming in
    def owns(self, run: RunId) -> bool:
        """Whether this engine holds the lease for a run."""
        return self.shard_of(run) in self.leases

    def admit(
        self, row: RunRow, records: list[Record], memory: ActorMemory | None = None
    ) -> LiveRun | None:
        """Let an open run, or an actor with its memory, into memory: the only way in.

        Returns the one that is there already; None when this engine may not execute it, or has no
        code for it.
        """
        known = self.residents.get(row.id)
        if known is not None:
            return known
        lease = self.leases.get(row.shard)
        if lease is None or not self.executes or self.is_closing or row.id in self.held:
            return None
        live = _live_run(self, row, lease, records, memory)
        if live is not None:
            self.residents[row.id] = live
            self.events.runs_activated += 1
        return live

    def begin(self, live: LiveRun) -> None:
        """Let an admitted run replay and go on; its mail, if it has any, is in its hands."""
        self._beginnings.add(live)

    def _begin(self, live: LiveRun) -> None:
        if self.residents.get(live.id) is live:
            live.begin()
            self.parts.residency.changed(live)

    # -------------------------------------------------------------- records durable
    def _committed(self, transaction: Transaction, result: CommitResult) -> None:
        live = self.residents.get(transaction.run)
        if isinstance(result, Fenced):
            self._fenced(transaction)
            return
        if result.position and transaction.records:
            self.last_position = result.position + len(transaction.records) - 1
        effects = transaction.effects
        if self.acknowledgements.waiting:
            self.acknowledgements.made(transaction)
        if live is not None:
            is_own = transaction.origin is live.journal
            live.committed(transaction, result)
            written = None if effects is None else effects.summary
            if live.state == "left" or (is_own and written is not None):
                self._after_commit(live, written)
        if self.observers.are_any:
            self.observers.committed(transaction, None if live is None else live.row)
        if effects is not None:
            if effects.streams or _has_ended(effects.summary):
                self.parts.streams.changed(transaction.run)
            _deliver_effects(self, effects, result)

    def _after_commit(self, live: LiveRun, written: RunRow | None) -> None:
        if live.state == "left" and not live.journal.in_flight:
            self._remove(live.id)
            self.parts.results.changed(live.id)
            self.parts.actors.stopped(live.row)
            if live.row.status in ("parked", "paused"):
                self.parts.messages.has_mail(live.id)  # requests to go on may be there already
        elif written is not None and not written.resident:
            if isinstance(live, LiveActor):
                self.actor_rests(live.id)
            else:
                self._passivated(live, written)

    def _passivated(self, live: LiveRun, written: RunRow) -> None:
        """Its passivation, that row, is durable: let it go, unless it has something to do again."""
        if live.state in ("ended", "left"):
            return
        if live.can_leave:
            live.leave()
            self.events.runs_passivated += 1
            self._remove(live.id)
            self.parts.recovery.passivated(live.row)
        elif live.row is written:  # a newer one has the last word: it may say "paused"
            live.summary.write("running")

    def started(self, row: RunRow, records: list[Record]) -> None:
        """A start is durable: run it, if it is ours and due."""
        self.events.runs_started += 1
        if self.observers.are_any:
            self.observers.tell(RowChanged(row))
        if row.resident and self.owns(row.id):
            is_copy = any(record.kind == "stream_written" for record in records)
            if is_copy or self.run_locks.is_held(row.id):
                # Who is alone with it may have read this very start, and be about to close it; of
                # a copy it must be read where its streams end.
                self.parts.messages.has_mail(row.id)
            elif (live := self.admit(row, records)) is not None:
                live.steps.is_first_life = True
                self.begin(live)
        elif row.kind == "actor":
            self.parts.idle_actors.created(row)
        elif self.owns(row.id):
            self.parts.recovery.passivated(row)

    def deliver(self, message: Message, number: int) -> None:
        """A message is safe in its mailbox: hand it to its run, or have the run brought in."""
        live = self.residents.get(message.run)
        # In a shared store another engine may have taken an earlier message of the same sender:
        # there the mailbox itself says what comes first.
        numbered = msgspec.structs.replace(message, number=number)
        if live is not None and not self.store.is_shared:
            live.accept(numbered)
        elif self.parts.idle_actors.wake(numbered):
            return
        elif self.owns(message.run):
            self.parts.messages.has_mail(message.run)

    async def written(self, transaction: Transaction) -> None:
        """Commit what no run in memory depends on; raise why when the store refuses it."""
        carry_audit(transaction, self.world.now())
        refused = partial(self.acknowledgements.refused, transaction)
        self.writer.submit(transaction, self._committed, refused=refused)
        await self.acknowledgements.wait_for(transaction)

    # -------------------------------------------------------------------- going out
    def _remove(self, run: RunId) -> None:
        if self.residents.pop(run, None) is not None:
            self.parts.residency.gone(run)
            self.bodies.held.release(run)

    def _fenced(self, transaction: Transaction) -> None:
        self.events.fenced += 1
        error = EngineClosed("another engine now owns this run. Nothing was written; try again")
        self.acknowledgements.refused(transaction, error)
        if transaction.lease is not None:
            self.lose_shard(transaction.lease.shard, transaction.lease.epoch)

    def lose_shard(self, shard: int, epoch: int) -> None:
        """Drop every run of a shard whose lease is gone, silently."""
        if (lease := self.leases.get(shard)) is None or lease.epoch != epoch:
            return
        del self.leases[shard]
        log.warning("lost the lease of shard %d (epoch %d); dropping its runs", shard, epoch)
        for live in [live for live in self.residents.values() if live.row.shard == shard]:
            self.bodies.stop_run(live.id)
            live.leave()
            self._remove(live.id)


def _live_run(
    scheduler: Scheduler,
    row: RunRow,
    lease: Lease,
    records: list[Record],
    memory: ActorMemory | None,
) -> LiveRun | None:
    if memory is not None:
        kind = scheduler.registry.actors.get(row.workflow)
        if kind is None:
            return None
        scheduler.parts.idle_actors.forget(row.id)
        return LiveActor(scheduler, Activation(kind, row, lease, records, memory))
    try:
        definition = scheduler.registry.find_workflow(row.workflow)
    except UnknownWorkflow:
        scheduler.parts.inactive_runs.no_code(row, records)
        return None
    return LiveWorkflow(scheduler, definition, row, lease, records)


def _deliver_effects(scheduler: Scheduler, effects: Effects, receipt: Receipt) -> None:
    """Hand what a durable transaction has started, posted and answered to whom it is for."""
    for start in effects.starts:
        if start.row.id not in receipt.existing:
            scheduler.started(start.row, attach(start.records, effects.blobs))
    posts = zip(effects.posts, receipt.posts, receipt.numbers, strict=True)
    for message, result, number in posts:
        if result == "accepted":
            scheduler.deliver(message, number)
    for answer, answered in zip(effects.answers, receipt.answers, strict=True):
        if answered.number:
            scheduler.deliver(answer.message, answered.number)


def _has_ended(summary: RunRow | None) -> bool:
    return summary is not None and summary.closed_at is not None


def is_open_here(row: RunRow) -> bool:
    """Whether an engine could run it now."""
    return row.status not in CLOSED_STATUSES and row.status not in ("parked", "paused")


async def admit_stored(scheduler: Scheduler, row: RunRow, records: list[Record]) -> LiveRun | None:
    """Let a workflow run of an earlier life into memory; the caller is alone with it.

    Its streams go on where their rows end: the records say only where writers began.
    """
    wrote = any(record.kind == "stream_written" for record in records)
    ends = await scheduler.store.read_stream_ends(row.id) if wrote else {}
    known = scheduler.residents.get(row.id)
    live = known or scheduler.admit(row, records)
    if ends and live is not None and live is not known:
        live.steps.streams.offsets.update(ends)
    return live


async def row_outside_memory(scheduler: Scheduler, run: RunId) -> RunRow | None:
    """Return the row of a run that is not in memory; None for one that is, or that is not there.

    The caller is alone with the run. It was out of memory before its row is asked for: the row of a
    run that leaves while the store answers may be older than what the run has written last.
    """
    return None if run in scheduler.residents else await scheduler.store.read_run(run)


def _tell_attempt_failed(
    events: Events, run: RunId, operation: StepOperation, failure: bytes
) -> None:
    events.attempts_failed += 1
    told = failure_in(failure)
    if told is not None:
        what = f"{told.qualname}: {told.message}"
        number = operation.attempt + 1
        text = "step %s of run %s failed, attempt %d: %s"
        log.warning(text, operation.name, run, number, what, extra={"outlast_run": run})


def _tell_end(events: Events, live: LiveRun | None) -> None:
    if live is None:
        return
    events.run_closed(live.row.workflow, live.row.status)
    if live.row.status != "failed" or not live.row.output:
        return
    failure = failure_in(live.row.output)
    if failure is not None:
        what = f"{failure.qualname}: {failure.message}"
        log.error("run %s failed: %s", live.id, what, extra={"outlast_run": live.id})
