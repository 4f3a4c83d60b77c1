"""Copying a run's past: which of its records another life begins with.

A copy ends before the point where it begins anew. Records that only make sense with what came
behind are left out: an operation that had begun there begins again. The records of a copy are
numbered anew, and keep their times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from outlast._codec import Failure
from outlast._execution.calls.operations import (
    AttemptBody,
    ChildBody,
    ClosedBody,
    DiscardedBody,
    SignalBody,
    StartedBody,
    WrittenBody,
    decode_body,
    encode_body,
    failure_in,
)
from outlast._execution.calls.signals import discarded_in
from outlast._execution.calls.tokens import AnswerBody, OpenedBody, row_of, token_id
from outlast._execution.calls.updates import kept_updates
from outlast._execution.journal.given_keys import place_of_key
from outlast._records import VALUE, Kind, Record
from outlast._store.rows import Message, StreamRow, TokenRow
from outlast.errors import UsageError
from outlast.types import RunId

_OUTCOMES: frozenset[Kind] = frozenset(("step_done", "child_done", "timer_fired", "token_answered"))
_BEGINNINGS: frozenset[Kind] = frozenset(("step_intent", "attempt_failed", "child_started"))
_OPENINGS: frozenset[Kind] = frozenset((*_BEGINNINGS, "token_opened"))
_ASKED: frozenset[Kind] = frozenset(("child_started", "token_opened"))
_ASKED_OUTCOMES: frozenset[Kind] = frozenset(("child_done", "token_answered"))
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a copy ends: before the record `seq`; the operation `key`, if any, is done again."""

    seq: int
    key: str = ""


def cut_at(records: Sequence[Record], at: int | str) -> Cut:
    """Return where a fork begins.

    Raises:
        UsageError: there is no such point.
    """
    first = 2 + decode_body(records[0].body, StartedBody).signals
    last = records[-1].seq + (records[-1].kind != "run_closed")
    if isinstance(at, str):
        return _cut_at_key(records, at)
    if isinstance(at, bool) or not isinstance(at, int) or not first <= at <= last:
        raise UsageError(
            f"at= must be a seq from {first} to {last}, or the key or name of a step, not {at!r}"
        )
    return Cut(at, next((r.key for r in records if r.seq == at and r.kind in _OUTCOMES), ""))


def _cut_at_key(records: Sequence[Record], at: str) -> Cut:
    keys = {r.key: None for r in records if r.key and (r.kind in _OUTCOMES | _OPENINGS)}
    found = [key for key in keys if key == at] or [key for key in keys if _is_named(key, at)]
    if not found:
        some = ", ".join(list(keys)[:_NAMES_SHOWN])
        raise UsageError(f"the run has no step {at!r}; it has {some or 'none'}")
    if len(found) > 1:
        some = ", ".join(found[:_NAMES_SHOWN])
        raise UsageError(
            f"the run has {len(found)} operations named {at!r}; give one of their keys: {some}"
        )
    key = found[0]
    mine = [r for r in records if r.key == key]
    outcome = next((r for r in mine if r.kind in _OUTCOMES), mine[0])
    return Cut(outcome.seq, key)


def _is_named(key: str, name: str) -> bool:
    where, _, full = key.partition(":")
    return full == name or full.endswith(f".{name}") or where == place_of_key(name)


def cut_before_failure(records: Sequence[Record]) -> Cut:
    """Return where a run that has ended without completing is taken up again."""
    closing = records[-1]
    body = decode_body(closing.body, ClosedBody)
    if body.status in ("cancelled", "timed_out"):
        asked = (r.seq for r in records if r.kind == "cancel_requested")
        return Cut(next(asked, closing.seq))
    if body.status != "failed":
        return Cut(closing.seq)
    guilty = _guilty_of(records, body)
    # Code that raised by itself has no operation to do again: it goes on from its last record.
    if guilty is None:
        return Cut(closing.seq)
    first = _first_beside(records, guilty)
    return Cut(first.seq, first.key)


def _first_beside(records: Sequence[Record], guilty: Record) -> Record:
    """Return the first of the questions and children that ended badly while this one was open.

    Code that waited for several of them at once would fail by the others in each retry.
    """
    openings = (r.seq for r in records if r.key == guilty.key and r.kind in _ASKED)
    opened = next(openings, guilty.seq)
    beside = [r for r in records if opened < r.seq < guilty.seq and r.kind in _ASKED_OUTCOMES]
    return next((r for r in beside if _has_failed(r) or _has_expired(r)), guilty)


def _guilty_of(records: Sequence[Record], closed: ClosedBody) -> Record | None:
    """Return the operation whose failure ended the run, as far as can be told."""
    ended_by = failure_in(closed.outcome)
    if ended_by is None:
        return None
    failed = [r for r in records if _has_failed(r)]
    for record in reversed(failed):
        if record.kind == "child_done":
            is_taken = decode_body(record.body, ChildBody).status == "taken"
            if ended_by.qualname == ("RunExists" if is_taken else "ChildFailed"):
                return record
        failure = failure_in(record.body) if record.kind == "step_done" else None
        if failure is None:
            continue
        is_same = (failure.qualname, failure.message) == (ended_by.qualname, ended_by.message)
        if is_same or ended_by.message == f"{failure.qualname}: {failure.message}":
            return record
    expired = [r for r in records if _has_expired(r)]
    # A group of errors is like none of those in it.
    if ended_by.qualname.endswith("ExceptionGroup"):
        return next(reversed(failed or expired), None) or _ran_out(records)
    return _unanswered(records, expired, ended_by)


def _unanswered(
    records: Sequence[Record], expired: Sequence[Record], ended_by: Failure
) -> Record | None:
    """Return the expiry of the token whose lack of an answer ended the run, if that did."""
    started = decode_body(records[0].body, StartedBody)
    for record in reversed(expired):
        # Waiting for it raises an error that names it; code may have put that in one of its own.
        if repr(token_id(started.salt, RunId(started.id), record.key)) in ended_by.message:
            return record
    # Approvals give no error: the code that asked made its own. Nor do scopes and `asyncio.timeout`
    # name their timers. The last time to run out tells, if nothing has ended after it: what has may
    # not be done again.
    return _ran_out(records) if ended_by.qualname in ("WaitTimeout", "TimeoutError") else None


def _ran_out(records: Sequence[Record]) -> Record | None:
    """Return the last outcome, if it is that a time ran out."""
    last = next((r for r in reversed(records) if r.kind in _OUTCOMES), None)
    has_run_out = last is not None and (last.kind == "timer_fired" or _has_expired(last))
    return last if has_run_out else None


def _has_expired(record: Record) -> bool:
    if record.kind != "token_answered":
        return False
    return decode_body(record.body, AnswerBody).value is None


def _has_failed(record: Record) -> bool:
    if record.kind == "child_done":
        return decode_body(record.body, ChildBody).status != "completed"
    return record.kind == "step_done" and failure_in(record.body) is not None


def before(records: Sequence[Record], cut: Cut) -> list[Record]:
    """Return what a fork begins with: all before the cut, of operations that had ended there."""
    kept = [r for r in records if r.seq < cut.seq and r.kind != "step_late"]
    ended = {r.key for r in kept if r.kind in _OUTCOMES}
    return [r for r in kept if r.kind not in _OPENINGS or r.key in ended]


def before_and_heard(records: Sequence[Record], cut: Cut) -> list[Record]:
    """Return what another life of the same run begins with.

    Beside what is before the cut that is what the world has told the run behind it: signals, the
    good ends of what had begun before, and updates, whose handlers run again.
    """
    kept = [r for r in records if r.seq < cut.seq and not _is_begun_again(r, cut)]
    kept = [r for r in kept if r.kind != "step_late"]
    begun = {r.key for r in kept if r.kind in _OPENINGS}
    ended = {r.key for r in kept if r.kind in _OUTCOMES}
    for record in records[cut.seq - 1 :]:
        is_end = record.kind in ("step_done", "child_done", "token_answered")
        is_news = record.key in begun and record.key not in ended and record.key != cut.key
        if record.kind in ("signal", "update_accepted") or (
            is_end and is_news and not _has_failed(record) and not _has_expired(record)
        ):
            kept.append(record)
            ended.add(record.key)
    # Its questions were taken back when it closed: those without an answer are asked anew. Children
    # without an end are asked for again: the store says which of them stay (`decide.stays`).
    kept = [r for r in kept if r.kind not in ("child_started", "token_opened") or r.key in ended]
    spent = _spent(kept) - ended
    return [r for r in kept if r.kind not in _BEGINNINGS or r.key not in spent]


def _spent(records: Iterable[Record]) -> set[str]:
    """Return the steps that have spent their attempts, and whose run was parked for that."""
    last = {r.key: r for r in records if r.kind == "attempt_failed"}
    return {key for key, r in last.items() if not decode_body(r.body, AttemptBody).next_at}


def _is_begun_again(record: Record, cut: Cut) -> bool:
    return bool(cut.key) and record.key == cut.key and record.kind in _BEGINNINGS


def renewed(
    records: Iterable[Record],
    *,
    run: RunId,
    input_: bytes | None = None,
    keys_of: str | None = None,
    retried_at: int = 0,
) -> list[Record]:
    """Return records as the first of a new life, of the run `run`.

    `keys_of` is the run whose idempotency keys its steps have from here on, "" for its own; None
    changes nothing about that. `retried_at` is the time of a retry, 0 for a fork.
    """
    fresh: list[Record] = []
    numbers: dict[int, int] = {}
    for seq, record in enumerate(records, start=1):
        body = record.body
        numbers[record.seq] = seq
        if record.kind == "run_started":
            started = decode_body(body, StartedBody)
            keys = started.keys_of if keys_of is None else keys_of
            data = started.input if input_ is None else input_
            made = msgspec.structs.replace(
                started, id=run, input=data, keys_of=keys, retried_at=retried_at
            )
            body = encode_body(made)
        elif record.kind == "signal_discarded":
            discarded = decode_body(body, DiscardedBody)
            body = encode_body(DiscardedBody(numbers.get(discarded.seq, 0)))
        fresh.append(msgspec.structs.replace(record, seq=seq, epoch=0, body=body))
    return fresh


def life_began_at(records: Sequence[Record], created_at: int) -> int:
    """Return when the present life of a run was to begin; its timeout is counted from there."""
    first = records[0]
    retried_at = decode_body(first.body, StartedBody).retried_at
    return max(created_at, first.at, retried_at)


def keys_of(records: Sequence[Record], run: RunId) -> str:
    """Return the run whose idempotency keys the steps of a run with these records have."""
    return decode_body(records[0].body, StartedBody).keys_of or run


def chance_renewed(after: Record, seed: bytes) -> Record:
    """Return the record behind `after` from which on a run draws from another seed."""
    return Record(after.seq + 1, "chance_renewed", "", "", after.at, 0, body=VALUE + seed)


def signals_behind(records: Sequence[Record], cut: Cut, mail: Iterable[Message]) -> list[Record]:
    """Return the signals that a run was sent behind the cut, those in its mailbox last.

    The latter have no `seq`: it is 0. Signals that an operator has made dead letters are left out.
    """
    discarded = set(discarded_in(records))
    found = [r for r in records if r.kind == "signal" and r.seq >= cut.seq]
    found = [r for r in found if r.seq not in discarded]
    for message in mail:
        body = encode_body(SignalBody(message.body, message.dedup))
        found.append(Record(0, "signal", "", message.name, message.at, 0, body=body))
    return found


def appended(records: Sequence[Record], more: Iterable[Record]) -> list[Record]:
    """Return the records of a copy with more behind them, in order of number and time."""
    made = list(records)
    for record in more:
        last = made[-1]
        made.append(msgspec.structs.replace(record, seq=last.seq + 1, at=max(last.at, record.at)))
    return made


def up_to_its_end(records: Sequence[Record]) -> Sequence[Record]:
    """Return a run's records without the late outcomes of steps that stand behind its end."""
    last = len(records)
    while last and records[last - 1].kind == "step_late":
        last -= 1
    return records[:last] if last and records[last - 1].kind == "run_closed" else records


@dataclass(frozen=True, slots=True)
class StreamsPast:
    """What a run's records say of its streams: `ends` by name, as far as records count.

    Behind that stand rows of writers that have a record, and of these only the steps that have an
    outcome have had their say.
    """

    ends: Mapping[str, int]
    writers: frozenset[str]
    done: frozenset[str]

    @classmethod
    def read(cls, records: Iterable[Record]) -> StreamsPast:
        """Return it from records."""
        ends: dict[str, int] = {}
        writers: dict[str, list[str]] = {}  # by the key of their step
        done: list[str] = []
        for record in records:
            if record.kind in ("stream_written", "stream_retracted"):
                body = decode_body(record.body, WrittenBody)
                ends[record.name] = max(ends.get(record.name, 0), body.offset + body.count)
                writers.setdefault(record.key, []).append(body.writer)
            elif record.kind == "step_done" and record.key in writers:
                done += writers[record.key]
        known = frozenset(writer for of_key in writers.values() for writer in of_key)
        return cls(ends, known, frozenset(done))

    def has(self, row: StreamRow) -> bool:
        """Whether a row of a stream, and all before it, were there by then."""
        return row.offset < self.ends[row.name] or row.writer in self.done

    def is_over(self, row: StreamRow) -> bool:
        """Whether none of the rows behind this one was there."""
        return row.offset >= self.ends[row.name] and row.writer not in self.writers


def values_of(records: Sequence[Record]) -> list[tuple[str, bytes]]:
    """Return the values that these records leave set, with what is kept of updates."""
    values = {r.name: r.body[1:] for r in records if r.kind == "value_set"}
    return [*values.items(), *kept_updates(records)]


def tokens_of(records: Sequence[Record], *, run: RunId, workflow: str) -> list[TokenRow]:
    """Return the tokens that a run with these records has asked for, as they stand."""
    salt = decode_body(records[0].body, StartedBody).salt
    answers = {r.key: r for r in records if r.kind == "token_answered"}
    rows: list[TokenRow] = []
    for record in records:
        if record.kind != "token_opened":
            continue
        body = decode_body(record.body, OpenedBody)
        token = token_id(salt, run, record.key)
        row = row_of(record, body, token, run=run, workflow=workflow)
        answer = answers.get(record.key)
        rows.append(row if answer is None else _answered(row, answer))
    return rows


def _answered(row: TokenRow, record: Record) -> TokenRow:
    body = decode_body(record.body, AnswerBody)
    return msgspec.structs.replace(
        row,
        status="expired" if body.value is None else "answered",
        value=body.value,
        by=body.by,
        reason=body.reason,
        answered_at=record.at,
    )
