"""One run in full: what a page about it shows beside its row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

from outlast import limits
from outlast._codec import stored_json
from outlast._engine.reading.declared import DeclaredTypes
from outlast._engine.reading.reader import Reader
from outlast._engine.reading.records import info_of, moment
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.calls.operations import (
    StartedBody,
    StepOperation,
    decode_body,
    failure_in,
)
from outlast._registry import Registry
from outlast._shapes import is_dict
from outlast._store.contract import Cursor, RunFilter, Store
from outlast._store.pages import is_last
from outlast._store.rows import RunRow
from outlast.errors import DecodingError, UnknownWorkflow
from outlast.types import CLOSED_STATUSES, RunId, RunInfo, Status, TokenKind

Action = Literal["cancel", "terminate", "pause", "resume", "discard", "retry", "fork", "signal"]


@dataclass(frozen=True, slots=True)
class FailureInfo:
    """What a failed run raised: the type's name, its message, the traceback as text."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """A child run; `error` says in one line how it failed, or why it is parked."""

    id: str
    workflow: str
    status: Status
    error: str | None


@dataclass(frozen=True, slots=True)
class AskInfo:
    """A token that waits for an answer, most often an approval."""

    id: str
    kind: TokenKind
    title: str


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step whose attempt is at work, or stands in the queue; its record comes when it ends.

    `began_at` is None while it is queued.
    """

    key: str
    name: str
    place: str
    attempt: int
    queued_at: datetime
    began_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run's row and what belongs to it, but for its input and its result."""

    info: RunInfo
    why: str
    failure: FailureInfo | None
    running: tuple[RunningStep, ...]
    asks: tuple[AskInfo, ...]
    children: tuple[ChildInfo, ...]
    streams: tuple[str, ...]
    declared_streams: tuple[str, ...]
    values: tuple[str, ...]
    last_seq: int
    actions: tuple[Action, ...]
    has_code: bool


@dataclass(frozen=True, slots=True)
class StoredValues:
    """What a run was started with and what it gave, encoded: to make JSON of it takes long."""

    workflow: str
    input: bytes
    result: bytes


class Details:
    """Reads runs in full."""

    def __init__(
        self, store: Store, reader: Reader, registry: Registry, scheduler: Scheduler
    ) -> None:
        self._store = store.lookups
        self._reader = reader
        self._registry = registry
        self._scheduler = scheduler

    async def of(self, run: RunId) -> tuple[RunDetails, StoredValues]:
        """Return one run in full, and its input and result.

        Raises:
            RunNotFound: there is none.
        """
        row = await self._reader.row(run)
        values = await self._store.read_value_names(run)
        details = RunDetails(
            info=info_of(row),
            why=await self._reader.why(run),
            failure=failure_of(row),
            running=self._running(row),
            asks=await self._asks(row),
            children=await self._children(row),
            streams=tuple(await self._store.read_stream_ends(run)),
            declared_streams=self._reader.declared_streams(row),
            values=tuple(name for name in values if not name.startswith("\x00")),
            last_seq=await self.last_seq(run),
            actions=actions_of(row),
            has_code=self._has_code(row),
        )
        return details, StoredValues(row.workflow, await self._input(row), result_in(row))

    async def last_seq(self, run: RunId) -> int:
        """Return the number of a run's last record.

        Raises:
            RunNotFound: there is no such run.
        """
        live = self._scheduler.residents.get(run)
        return (await self._reader.row(run)).last_seq if live is None else live.journal.last_seq

    async def mark(self, row: RunRow) -> str:
        """Return what tells a run's past from that of another one that was started under its id.

        A retried run has the past of the one before, so it is the same.
        """
        records = await self._store.read_journal(row.id, 0, 1)
        secret = row.created_at
        if records and records[0].kind == "run_started":
            secret = decode_body(records[0].body, StartedBody).salt
        return hashlib.sha256(f"stream {secret}".encode()).hexdigest()[:12]

    def _has_code(self, row: RunRow) -> bool:
        try:
            self._registry.find_workflow(row.workflow)
        except UnknownWorkflow:
            return False
        return True

    async def _input(self, row: RunRow) -> bytes:
        records = await self._store.read_journal(row.id, 0, 1)
        if not records or records[0].kind != "run_started":
            return b""
        return decode_body(records[0].body, StartedBody).input

    def input_json(self, stored: StoredValues) -> Mapping[str, object]:
        """Return what a run was started with as JSON data, by name."""
        data = stored.input
        if not data:
            return {}
        shown = DeclaredTypes(self._registry, stored.workflow).arguments_to_edit(data)
        return {f"{k}": v for k, v in shown.items()} if is_dict(shown) else {"": shown}

    def result_json(self, workflow: str, data: bytes) -> object:
        """Return a completed run's result as JSON data."""
        if not data:
            return None
        definition = self._registry.workflows.get(workflow)
        if definition is not None:
            try:
                returns = definition.signature.returns
                return returns.to_json(returns.decode(data))
            except DecodingError:
                pass  # as above
        return stored_json(data)

    def _running(self, row: RunRow) -> tuple[RunningStep, ...]:
        """Return the steps at work now, as far as this engine executes the run."""
        live = self._scheduler.residents.get(row.id)
        if live is None or row.status in CLOSED_STATUSES:
            return ()
        started = (op for op in live.steps.pending.values() if op.is_started and op.queued_at)
        return tuple(_running_step(op) for op in islice(started, limits.HTTP_PAGE_MAX))

    async def _asks(self, row: RunRow) -> tuple[AskInfo, ...]:
        if row.status in CLOSED_STATUSES:
            return ()
        asked = await self._store.list_tokens(None, limits.PAGE_ROWS, open_only=True, run=row.id)
        return tuple(AskInfo(token.id, token.kind, token.title) for token in asked)

    async def _children(self, row: RunRow) -> tuple[ChildInfo, ...]:
        which, after = RunFilter(parent=row.id), None
        rows: list[RunRow] = []
        while len(rows) < limits.HTTP_PAGE_MAX:
            page = await self._store.list_runs(which, after, limits.PAGE_ROWS)
            rows += page
            if is_last(page, limits.PAGE_ROWS):
                break
            after = Cursor(page[-1].created_at, page[-1].id)
        infos = (info_of(r) for r in rows)
        return tuple(ChildInfo(i.id, i.workflow, i.status, i.error) for i in infos)


def _running_step(operation: StepOperation) -> RunningStep:
    return RunningStep(
        key=operation.key,
        name=operation.name,
        place=operation.place,
        attempt=operation.attempt + 1,
        queued_at=moment(operation.queued_at),
        began_at=moment(operation.ran_at) if operation.ran_at else None,
    )


def result_in(row: RunRow) -> bytes:
    """Return a completed run's result, encoded; nothing of others."""
    if row.status != "completed" or row.output is None or row.kind == "actor":
        return b""
    return row.output[1:]


def failure_of(row: RunRow) -> FailureInfo | None:
    """Return what a failed run raised."""
    failure = failure_in(row.output) if row.status == "failed" and row.output else None
    if failure is None:
        return None
    return FailureInfo(failure.qualname, failure.message, failure.traceback)


def actions_of(row: RunRow) -> tuple[Action, ...]:
    """Return what may be asked of a run as it stands."""
    match row.status:
        case "completed":
            return ("fork",)
        case "failed" | "cancelled" | "terminated" | "timed_out":
            return ("retry", "fork")
        case "parked" if row.parked_as == "unreadable":
            return ("resume", "discard", "cancel", "terminate", "signal", "fork")
        case "parked":
            return ("resume", "cancel", "terminate", "signal", "fork")
        case "paused" if row.parked_as == "unreadable":
            return ("resume", "discard", "cancel", "terminate", "signal", "fork")
        case "paused":
            return ("resume", "cancel", "terminate", "signal", "fork")
        case "pending" | "running" | "waiting":
            return ("signal", "pause", "cancel", "terminate", "fork")
