"""What came of a step after its run stopped waiting for it: kept for people, seen by no code.

A sibling in a `TaskGroup` fails, a timeout runs out, `wf.first` has a winner: the body of a step
that was cancelled may go on, on its thread or against its cancellation, and have its effect. Its
late outcome is a record `step_late` in the run's journal. It may even come after the run's end:
then it stands behind the last record, and changes nothing of what the run is.
"""

from __future__ import annotations

import logging

import msgspec

from outlast._engine.scheduling.scheduler import Scheduler, row_outside_memory
from outlast._execution.bodies.body import Body
from outlast._execution.calls.operations import failure_body
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._records import FAILURE, VALUE, Record, detach, pack_records
from outlast._store.decisions import life_of
from outlast._store.transactions import Effects, Segment, Transaction
from outlast.errors import EncodingError, OutlastError, StoreDamaged

log = logging.getLogger("outlast.steps")


class LateOutcomes:
    """Appends late outcomes of one engine's steps."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def ended(self, body: Body, value: object, error: BaseException | None) -> None:
        """An abandoned body has returned or raised; called on the host loop."""
        if body.definition.is_wait:
            return
        outcome = _outcome(body, value, error)
        live = self._scheduler.residents.get(body.run)
        if live is None or live.state in ("left", "ended") or live.journal.has_closed:
            work = self._append(body, outcome)
            self._scheduler.world.spawn(work, name=f"late outcome of {body.key}")
        elif isinstance(live, LiveWorkflow) and _is_of(body, live.summary.started_at):
            self._append_live(live, body, outcome)

    def _append_live(self, live: LiveRun, body: Body, outcome: bytes) -> None:
        now = self._scheduler.world.now()
        live.journal.append(
            "step_late",
            at=now,
            key=body.key,
            name=body.definition.name,
            body=outcome,
            attempt=body.attempt,
            times=_times(body, now),
        )
        self._scheduler.run_changed(live.id)

    async def _append(self, body: Body, outcome: bytes) -> None:
        """Append to a run that is not in memory: it has ended, or left memory meanwhile."""
        try:
            await self._append_dormant(body, outcome)
        except OutlastError as error:  # an engine that closes, a store that has trouble
            log.warning("the late outcome of %s is not recorded: %s", body, error)

    async def _append_dormant(self, body: Body, outcome: bytes) -> None:
        scheduler, run = self._scheduler, body.run
        async with scheduler.run_locks.alone_with(run):
            row = await row_outside_memory(scheduler, run)
            lease = scheduler.leases.get(scheduler.shard_of(run))
            is_there = run in scheduler.residents
            if row is None or lease is None or is_there or row.kind != "workflow":
                return
            try:
                records = await scheduler.store.read_journal(run, row.packed_seq)
            except StoreDamaged:
                again = await scheduler.store.read_run(run)
                if again is None or life_of(again) != life_of(row):
                    return  # it was started anew between these two reads
                raise
            if records or not _is_of(body, row.started_at):
                return  # another life of the run, or one that has not been put away
            now = scheduler.world.now()
            stored, blob = detach(outcome)
            record = Record(
                row.last_seq + 1,
                "step_late",
                body.key,
                body.definition.name,
                max(now, row.closed_at or 0),
                lease.epoch,
                body.attempt,
                "",
                stored,
                *_times(body, now),
            )
            summary = msgspec.structs.replace(row, last_seq=record.seq, packed_seq=record.seq)
            # A run that has ended may be started anew at any moment.
            made = Transaction(lease, run, [record], Effects(summary=summary, of_life=life_of(row)))
            made.also.segments = (Segment(run, record.seq, record.seq, pack_records([record])),)
            made.also.blobs = () if blob is None else (blob,)
            scheduler.submit(made)
            await scheduler.acknowledgements.wait_for(made)


def _is_of(body: Body, started_at: int | None) -> bool:
    """Whether a life of a run is the one that started this body, and no later one under its id."""
    return started_at is not None and started_at <= body.began_at


def _times(body: Body, now: int) -> tuple[int, int]:
    return (0, 0) if body.operation is None else body.operation.times(now)


def _outcome(body: Body, value: object, error: BaseException | None) -> bytes:
    if error is None:
        try:
            data, _ = body.definition.signature.returns.roundtrip(value)
        except EncodingError as unfit:
            error = unfit
        else:
            return VALUE + data
    return failure_body(error)


def late_in_words(record: Record) -> str:
    """Return what is said of a late outcome where a run is explained."""
    how = "raised" if record.body[:1] == FAILURE else "returned"
    return f"step {record.name} ({record.key}) {how} after its run stopped waiting for it"
