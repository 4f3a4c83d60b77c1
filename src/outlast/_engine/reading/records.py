"""Rows and records as people and tools read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import overload

import msgspec

from outlast._codec import Adapter, adapter_for, stored_json
from outlast._engine.reading.declared import UNDECLARED, DeclaredTypes
from outlast._execution.calls.operations import (
    AttemptBody,
    BeganBody,
    CancelBody,
    ChildBody,
    ClosedBody,
    SignalBody,
    StartedBody,
    WrittenBody,
    decode_body,
    failure_in,
)
from outlast._execution.calls.tokens import AnswerBody, OpenedBody
from outlast._execution.calls.updates import UpdateBody
from outlast._execution.journal.step_inputs import StepInput, decode_input
from outlast._records import BLOB, input_of, outcome_of
from outlast._records import Record as StoredRecord
from outlast._store.rows import RunRow
from outlast.types import RunInfo


@dataclass(frozen=True, slots=True)
class LargeArgument:
    """An argument of a step that its record does not write out.

    `seq` is of the record of the same run whose value it is: 1 for a part of the run's own input,
    0 when no record has it.
    """

    seq: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a journal as people and tools read it; `value` is JSON-like data.

    `waited` is how many seconds a step stood in the queue, `took` how long its body ran. The first
    record of a step has its `input`, with larger arguments in `large_input`. `traceback` is that
    of the attempt. `stored` is the record as the journal has it, which replaying it in a test
    needs.
    """

    seq: int
    key: str
    kind: str
    name: str
    at: datetime
    epoch: int
    attempt: int
    value: object
    error: str | None
    place: str = ""
    waited: float | None = None
    took: float | None = None
    input: Mapping[str, object] | None = None
    large_input: Mapping[str, LargeArgument] = field(default_factory=dict[str, LargeArgument])
    traceback: str = ""
    stored: StoredRecord | None = field(default=None, repr=False, compare=False)


_CALENDAR_END = int(datetime.max.replace(tzinfo=UTC).timestamp()) * 1_000_000


@overload
def moment(at: int) -> datetime: ...
@overload
def moment(at: int | None) -> datetime | None: ...
def moment(at: int | None) -> datetime | None:
    """Return microseconds since 1970 as a time with zone; the last there is, where it is later."""
    if at is None:
        return None
    return (
        datetime.fromtimestamp(at / 1e6, UTC)
        if at < _CALENDAR_END
        else datetime.max.replace(tzinfo=UTC)
    )


def info_of(row: RunRow) -> RunInfo:
    """Return a row as users see it."""
    return RunInfo(
        id=row.id,
        workflow=row.workflow,
        version=row.version,
        status=row.status,
        created_at=moment(row.created_at),
        started_at=moment(row.started_at),
        closed_at=moment(row.closed_at),
        wake_at=moment(row.wake_at),
        parent=row.parent,
        attributes=json.loads(row.attributes),
        steps=row.steps,
        crash_count=row.crash_count,
        error=row.waiting_for if row.status == "parked" else row.error,
    )


def readable(record: StoredRecord, types: DeclaredTypes = UNDECLARED) -> Record:
    """Return a record with its body as JSON-like data."""
    value, error = _body_of(record, types)
    given = _input_of(record)
    return Record(
        seq=record.seq,
        key=record.key,
        kind=record.kind,
        name=record.name,
        at=moment(record.at),
        epoch=record.epoch,
        attempt=record.attempt,
        value=value,
        error=error,
        place=record.place,
        waited=record.waited / 1e6 if _is_attempt(record) else None,
        took=record.took / 1e6 if _is_attempt(record) else None,
        input=None if given is None else types.step_arguments(record.name, given.small),
        large_input={} if given is None else {n: LargeArgument(*a) for n, a in given.large.items()},
        traceback=_traceback_of(record),
        stored=record,
    )


def _is_attempt(record: StoredRecord) -> bool:
    return record.kind in ("step_done", "attempt_failed") and bool(record.attempt)


def _input_of(record: StoredRecord) -> StepInput | None:
    if record.kind == "attempt_failed":
        return decode_input(decode_body(record.body, AttemptBody).given)
    return decode_input(input_of(record.body)) if record.kind == "step_done" else None


def _traceback_of(record: StoredRecord) -> str:
    match record.kind:
        case "attempt_failed":
            failure = failure_in(decode_body(record.body, AttemptBody).failure)
        case "step_done":
            failure = failure_in(record.body)
        case _:
            return ""
    return "" if failure is None else failure.traceback


def _body_of(record: StoredRecord, types: DeclaredTypes) -> tuple[object, str | None]:
    body = outcome_of(record.body)
    if not body or body[:1] == BLOB:
        return None, None
    match record.kind:
        case "chance_renewed":
            return None, None  # a seed means nothing to a reader
        case "run_started":
            started = decode_body(body, StartedBody)
            return {"input": types.arguments(started.input), "version": started.version}, None
        case "run_began":
            return {"waited": decode_body(body, BeganBody).waited / 1e6}, None
        case "signal":
            payload = decode_body(body, SignalBody).payload
            return payload_json(payload, types, record.name), None
        case "value_set":
            return types.value(record.name, body[1:]), None
        case "attempt_failed":
            attempt = decode_body(body, AttemptBody)
            next_at = moment(attempt.next_at or None)
            return {"next_at": next_at and next_at.isoformat()}, _error_in(attempt.failure)
        case "cancel_requested":
            cancel = decode_body(body, CancelBody)
            return {"reason": cancel.reason, "grace": cancel.grace_seconds}, None
        case "stream_written" | "stream_retracted":
            written = decode_body(body, WrittenBody)
            return msgspec.to_builtins(written), None
        case "token_opened":
            opened = decode_body(body, OpenedBody)
            return {"kind": opened.kind, "detail": json.loads(opened.detail)}, None
        case "token_answered":
            return _answer_of(decode_body(body, AnswerBody)), None
        case "update_accepted":
            update = decode_body(body, UpdateBody)
            return {"id": update.id, "value": payload_json(update.payload)}, None
        case "child_done":
            child = decode_body(body, ChildBody)
            return _outcome_of(child.status, child.outcome, types, record.name)
        case "run_closed":
            closed = decode_body(body, ClosedBody)
            return _outcome_of(closed.status, closed.outcome, types)
        case _:
            error = _error_in(body)
            return (None, error) if error is not None else _value_of(record, body[1:], types)


_ANSWERS: dict[str, Adapter] = {
    "outlast.ask_actor": adapter_for(bytes),
    "outlast.update_run": adapter_for(tuple[str, bytes]),
    "outlast.wait_for_run": adapter_for(tuple[str, str, bytes, str]),
}


def _value_of(record: StoredRecord, data: bytes, types: DeclaredTypes) -> tuple[object, str | None]:
    """Return the value that a record holds; of what another run answered, what is in it."""
    adapter = _ANSWERS.get(record.name)
    match None if adapter is None else adapter.decode(data):
        case bytes(answer):
            return stored_json(answer), None
        case (str(status), bytes(outcome)) | (str(), str(status), bytes(outcome), str()):
            return _outcome_of(status, outcome)
        case _:
            is_update = record.kind == "update_done"
            return (types.update if is_update else types.step)(record.name, data), None


def payload_json(payload: bytes, types: DeclaredTypes = UNDECLARED, signal: str = "") -> object:
    """Return what a signal or an update brought as JSON data."""
    return json.loads(payload[1:]) if payload[:1] == b"j" else types.signal(signal, payload[1:])


def _answer_of(answer: AnswerBody) -> object:
    if answer.value is None:
        return {"expired": True}
    value = stored_json(answer.value[1:])
    return {"value": value, "by": answer.by, "reason": answer.reason}


def _outcome_of(
    status: str, outcome: bytes, types: DeclaredTypes = UNDECLARED, workflow: str = ""
) -> tuple[object, str | None]:
    error = _error_in(outcome) if outcome else None
    result = types.result(outcome[1:], workflow) if outcome and error is None else None
    return {"status": status, "result": result}, error


def _error_in(body: bytes) -> str | None:
    failure = failure_in(body)
    return None if failure is None else f"{failure.qualname}: {failure.message}"
