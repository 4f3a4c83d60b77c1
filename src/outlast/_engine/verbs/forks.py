"""Runs made of another one's past: forks under new ids, and retries under the same.

Invariant: a copy is created whole, with its records, streams, values, tokens and blobs, in one
commit; or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from outlast import limits
from outlast._codec import Bound, SignatureCodec, is_json
from outlast._engine.reading.reader import Reader
from outlast._engine.reading.rerun_plans import rerun_plan, told, with_children
from outlast._engine.residency.inactive_runs import mail_of
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.verbs.messages import Messages
from outlast._execution.runs.copying import (
    Cut,
    StreamsPast,
    appended,
    before,
    before_and_heard,
    chance_renewed,
    cut_at,
    cut_before_failure,
    keys_of,
    life_began_at,
    renewed,
    signals_behind,
    tokens_of,
    up_to_its_end,
    values_of,
)
from outlast._records import Blob, Record, attach, detach
from outlast._registry import Registry
from outlast._store.attributes import merged_attributes
from outlast._store.auditing import rows_of_fork
from outlast._store.decisions import another_life
from outlast._store.rows import Message, RunRow, StreamRow
from outlast._store.transactions import Effects, Receipt, StartRun, Transaction
from outlast.errors import (
    DecodingError,
    EncodingError,
    RunClosed,
    RunExists,
    RunNotFound,
    UsageError,
)
from outlast.types import CLOSED_STATUSES, ForkKeys, ForkSignals, RerunPlan, RunId


@dataclass(frozen=True, slots=True)
class ForkInput:
    """Other arguments of a fork, encoded."""

    data: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """Which run to fork, and how.

    `keys` says whose idempotency keys the steps of the fork have: the original run's or its own;
    `signals` what becomes of those that the original run was sent behind the point. `id` is that
    of the fork, for callers that must know it before its code goes on; by default a new one.
    """

    run: RunId
    at: int | str
    input: Mapping[str, object] | ForkInput | None = None
    keys: ForkKeys = "same"
    signals: ForkSignals = "leave"
    id: RunId | None = None

    def __post_init__(self) -> None:
        if self.keys not in ("same", "new"):
            raise UsageError(f"keys= is 'same' or 'new', not {self.keys!r}")
        if self.signals not in ("leave", "copy"):
            raise UsageError(f"signals= is 'leave' or 'copy', not {self.signals!r}")


@dataclass(frozen=True, slots=True)
class _Past:
    """What a fork is made of."""

    row: RunRow
    records: Sequence[Record]
    cut: Cut
    kept: list[Record]
    keys_of: str
    signals: list[Record]


class Forks:
    """Copies runs of one store."""

    def __init__(self, scheduler: Scheduler, messages: Messages, reader: Reader) -> None:
        self._scheduler = scheduler
        self._reader = reader
        self._store = scheduler.store.lookups
        self._messages = messages

    async def fork(self, request: ForkRequest) -> RunId:
        """Start a run from another one's past; return its id.

        Raises:
            RunNotFound; UsageError: there is no such point.
            UnknownWorkflow, DecodingError, EncodingError: the input cannot be checked, or used.
        """
        scheduler = self._scheduler
        past = await self._past(request)
        row, world = past.row, scheduler.world
        made = request.id or RunId(world.new_id())
        given = request.input
        if given is not None and not isinstance(given, ForkInput):
            given = fork_input(scheduler.registry, row.workflow, given)
        same = request.keys == "same"
        data = None if given is None else given.data
        copied = renewed(past.kept, run=made, input_=data, keys_of=past.keys_of if same else "")
        if not same:
            copied.append(chance_renewed(copied[-1], world.new_seed()))
        if request.signals == "copy":
            copied = appended(copied, past.signals)
        forked = msgspec.structs.replace(
            row,
            id=made,
            shard=scheduler.shard_of(made),
            parent=None,
            parent_key="",
            attributes=merged_attributes(row.attributes, {"forked_from": request.run}),
            digest=row.digest if given is None else given.digest,
        )
        began_at = life_began_at(past.records, row.created_at)
        await self._start(row, forked, copied, timeout=_timeout(row, began_at))
        return made

    async def fork_plan(self, request: ForkRequest) -> RerunPlan:
        """Return what `fork` would keep and run again, and do nothing.

        Raises:
            RunNotFound; UsageError: there is no such point.
        """
        past = await self._past(request)
        live = self._scheduler.residents.get(request.run)
        plan = rerun_plan(
            request.run,
            past.records,
            past.kept,
            seq=past.cut.seq,
            keys_of=past.keys_of if request.keys == "same" else None,
            in_flight=() if live is None else live.steps.pending.values(),
        )
        plan = await with_children(self._reader, plan)
        signals = told(past.signals)
        if request.signals == "copy":
            return replace(plan, signals_copied=signals)
        return replace(plan, signals_left=signals)

    async def _past(self, request: ForkRequest) -> _Past:
        """Read a run, and cut its records where a fork of it begins."""
        scheduler, run = self._scheduler, request.run
        row = await self._row(run)
        if row.kind == "actor":
            raise UsageError(f"{run} is an actor: only workflow runs can be forked")
        if run in scheduler.residents and scheduler.writer.trouble is None:
            await scheduler.writer.flushed()  # a point that its code has seen is a point for us
        mail = await mail_of(self._store, run, "signal")
        while True:
            records = up_to_its_end(await self._store.read_journal(run))
            left = await mail_of(self._store, run, "signal")
            if [m.number for m in left] == [m.number for m in mail]:
                break  # none of them has gone from there into the journal meanwhile
            mail = left
        cut = cut_at(records, request.at)
        signals = signals_behind(records, cut, mail)
        return _Past(row, records, cut, before(records, cut), keys_of(records, run), signals)

    async def retry(self, run: RunId) -> None:
        """Resume a parked run; have one that has ended live again.

        Raises:
            RunNotFound; RunClosed: it has completed; UsageError: it is open and not parked.
        """
        row = await self._retried(run)
        if row.status == "parked":
            now = self._scheduler.world.now()
            await self._messages.send(Message(run=run, kind="resume", at=now))
            return
        async with self._scheduler.run_locks.alone_with(run):
            row = await self._row(run)  # somebody else may have had it done again meanwhile
            records = up_to_its_end(await self._store.read_journal(run))
            if row.status == "completed":
                raise RunClosed(run, row.status, "be retried")
            if row.status not in CLOSED_STATUSES or records[-1].kind != "run_closed":
                raise UsageError(
                    f"run {run!r} is {row.status}: another caller has already retried it"
                )
            kept = before_and_heard(records, cut_before_failure(records))
            timeout = _timeout(row, life_began_at(records, row.created_at))
            again = renewed(kept, run=run, retried_at=self._scheduler.world.now())
            await self._start(row, row, again, timeout=timeout)

    async def retry_plan(self, run: RunId) -> RerunPlan:
        """Return what `retry` would keep and run again, and do nothing.

        Raises:
            RunNotFound; RunClosed: it has completed; UsageError: it is open and not parked.
        """
        row = await self._retried(run)
        records = up_to_its_end(await self._store.read_journal(run))
        if row.status == "parked":
            kept: Sequence[Record] = records
            seq = records[-1].seq + 1
        else:
            if not records or records[-1].kind != "run_closed":
                raise UsageError(
                    f"run {run!r} was retried or started anew while the plan was made: ask again"
                )
            cut = cut_before_failure(records)
            kept, seq = before_and_heard(records, cut), cut.seq
        plan = rerun_plan(run, records, kept, seq=seq, keys_of=keys_of(records, run))
        return await with_children(self._reader, plan, row)

    async def _retried(self, run: RunId) -> RunRow:
        """Return the row of a run that can be retried."""
        row = await self._row(run)
        if row.kind == "actor":
            raise UsageError(f"{run} is an actor: use `resume` for a parked actor")
        if row.status not in CLOSED_STATUSES and await self._was_told_to_end(run):
            row = await self._row(run)
        if row.status == "completed":
            raise RunClosed(run, row.status, "be retried")
        if row.status not in CLOSED_STATUSES and row.status != "parked":
            raise UsageError(
                f"run {run!r} is {row.status}: it has not failed, so there is nothing to retry"
            )
        return row

    async def _was_told_to_end(self, run: RunId) -> bool:
        """Whether a request to terminate was on its way to a run of ours; it has had its effect.

        That request was acknowledged when it was safe, and whoever made it may retry the run next.
        """
        scheduler = self._scheduler
        if not scheduler.owns(run) or not await mail_of(self._store, run, "terminate"):
            return False
        live = await self._messages.bring(run)
        if live is not None and live.journal.has_closed:
            await scheduler.writer.flushed(limits.RECONCILE_SECONDS)
        return True

    async def _row(self, run: RunId) -> RunRow:
        row = await self._store.read_run(run)
        if row is None:
            raise RunNotFound(run)
        return row

    async def _start(
        self, old: RunRow, new: RunRow, records: list[Record], *, timeout: int | None
    ) -> None:
        """Create the copy and let it run."""
        scheduler, is_retried = self._scheduler, old.id == new.id
        now, life = scheduler.world.now(), scheduler.world.new_id()
        bodies = [detach(record.body) for record in records]
        stored = [
            msgspec.structs.replace(record, body=body)
            for record, (body, _) in zip(records, bodies, strict=True)
        ]
        blobs: list[Blob] = [blob for _, blob in bodies if blob is not None]
        row = msgspec.structs.replace(
            new,
            status="pending",
            created_at=old.created_at if is_retried else now,
            started_at=None,
            closed_at=None,
            wake_at=None,
            timeout_at=None if timeout is None else now + timeout,
            steps=sum(record.kind == "step_done" for record in records),
            crash_count=0,
            is_alone=False,
            parked_as="" if scheduler.executes else "code",
            resident=scheduler.executes,
            last_seq=len(records),
            packed_seq=0,
            started_position=0,
            request=another_life(old.request, life) if is_retried else life,
            output=None,
            error=None,
            waiting_for="",
        )
        start = StartRun(
            row,
            tuple(stored),
            "if_failed" if is_retried else "never",
            streams=await self._streams(old.id, row.id, records),
            values=values_of(records),
            tokens=tokens_of(records, run=row.id, workflow=row.workflow),
        )

        def made(receipt: Receipt) -> None:
            if row.id not in receipt.existing:
                scheduler.started(row, attach(stored, blobs))

        audit = () if is_retried else rows_of_fork(now, old.id, row.id)
        transaction = Transaction(
            None, row.id, [], Effects(starts=(start,), blobs=tuple(blobs), audit=audit)
        )
        receipt = await scheduler.writer.commit(transaction, made)
        existing = receipt.existing.get(row.id)
        if existing is not None and is_retried:
            raise UsageError(
                f"run {row.id!r} was retried or started anew meanwhile and is {existing.status}: "
                f"nothing was done"
            )
        if existing is not None:
            raise RunExists(row.id, existing.status)

    async def _streams(self, old: RunId, new: RunId, records: Sequence[Record]) -> list[StreamRow]:
        """Return what the copied part of the past has written to streams."""
        copied: list[StreamRow] = []
        past = StreamsPast.read(records)
        for name in past.ends:
            rows: list[StreamRow] = []
            position = kept = 0
            page = await self._store.read_stream(old, name, 0, limits.STREAM_READ_MAX)
            while page:
                position = page[-1].offset + page[-1].count
                for row in page:
                    if row.writer not in past.writers:
                        continue  # of a step that begins again
                    rows.append(msgspec.structs.replace(row, run=new))
                    if past.has(row):
                        kept = len(rows)
                if past.is_over(page[-1]):
                    break
                page = await self._store.read_stream(old, name, position, limits.STREAM_READ_MAX)
            copied += rows[:kept]
        return copied


def fork_input(registry: Registry, workflow: str, given: Mapping[str, object]) -> ForkInput:
    """Encode other arguments, given as JSON data or as values of their types.

    Raises:
        UnknownWorkflow, DecodingError, EncodingError: they cannot be checked, or used.
    """
    signature = registry.find_workflow(workflow).signature
    bound = _bound(signature, given)
    return ForkInput(signature.encode(bound), signature.digest(bound))


def _timeout(row: RunRow, began_at: int) -> int | None:
    """Return how long each life of a run may take."""
    return None if row.timeout_at is None else max(0, row.timeout_at - began_at)


def _bound(signature: SignatureCodec, given: Mapping[str, object]) -> Bound:
    if not isinstance(given, Mapping):
        raise UsageError(f"input= is a mapping of arguments by name, not {given!r}")
    try:
        return signature.from_json(dict(given))
    except DecodingError as as_json:
        if is_json(given):
            raise
        try:
            bound = signature.bind((), given)
            signature.encode(bound)
        except (TypeError, EncodingError):
            raise as_json from None
        return bound
