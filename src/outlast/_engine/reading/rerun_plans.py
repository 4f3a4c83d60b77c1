"""What a fork or a retry would keep of a run, and what it would run again: worked out, not done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import msgspec

from outlast._engine.reading.reader import Reader
from outlast._execution.calls.children import child_id
from outlast._execution.calls.operations import StepOperation, decode_body, failure_in
from outlast._execution.calls.tokens import OpenedBody
from outlast._records import Record
from outlast._store.decisions import another_life, stays
from outlast._store.rows import RunRow
from outlast.errors import RunNotFound
from outlast.types import (
    CLOSED_STATUSES,
    ChildAction,
    RerunChild,
    RerunPlan,
    RerunSignal,
    RerunStep,
    RerunToken,
    RunId,
)

Outcome = Literal["completed", "failed", "unfinished"]


def rerun_plan(
    run: RunId,
    records: Sequence[Record],
    kept: Sequence[Record],
    *,
    seq: int,
    keys_of: str | None,
    in_flight: Iterable[StepOperation] = (),
) -> RerunPlan:
    """Return what is not in `kept`, the records that the new life begins with.

    `keys_of` is the run whose idempotency keys the steps will have, None when it has no id yet.
    """
    ended = {r.key for r in kept if r.kind in ("step_done", "child_done", "token_answered")}
    return RerunPlan(
        run_id=run,
        seq=seq,
        records_kept=len(kept),
        steps_kept=sum(r.kind == "step_done" for r in kept),
        steps=tuple(
            RerunStep(key, name, outcome, None if keys_of is None else f"{keys_of}/{key}", place)
            for key, (name, outcome, place) in _steps_of(records, in_flight).items()
            if key not in ended
        ),
        children=tuple(
            RerunChild(r.key, r.name)
            for r in records
            if r.kind == "child_started" and r.key not in ended
        ),
        tokens=tuple(
            _token_of(r) for r in records if r.kind == "token_opened" and r.key not in ended
        ),
    )


async def with_children(
    reader: Reader, plan: RerunPlan, retried: RunRow | None = None
) -> RerunPlan:
    """Return the plan with what becomes of each child.

    `retried` is the run that is retried, None when the plan is that of a fork.
    """
    children: list[RerunChild] = []
    for child in plan.children:
        try:
            row = await reader.row(RunId(child.id))
        except RunNotFound:
            children.append(child)
            continue
        action = _of_fork(row, child) if retried is None else _of_retry(row, child, retried)
        children.append(RerunChild(child.key, child.id, action, row.status))
    return replace(plan, children=tuple(children))


def _of_fork(row: RunRow, child: RerunChild) -> ChildAction:
    # An id that the code has chosen is in use; one that is made of the parent's id is a new one.
    return "start" if _is_derived(row, child) else "refuse"


def _of_retry(row: RunRow, child: RerunChild, retried: RunRow) -> ChildAction:
    is_closed = row.status in CLOSED_STATUSES
    if (row.parent, row.parent_key) != (retried.id, child.key):
        return "start" if is_closed and child.id == child_id(retried.id, child.key) else "refuse"
    # The start that the next life makes, if its code gives the child the same input.
    start = msgspec.structs.replace(row, request=another_life(retried.request, ""))
    if retried.status == "parked" or stays(row, start):
        return "attach"
    if is_closed:
        return "start"
    return "refuse" if row.on_parent_close == "abandon" else "wait"


def _is_derived(row: RunRow, child: RerunChild) -> bool:
    return row.parent is not None and child.id == child_id(row.parent, child.key)


def told(signals: Iterable[Record]) -> tuple[RerunSignal, ...]:
    """Return signals as plans show them."""
    return tuple(RerunSignal(r.name, r.seq or None) for r in signals)


def _steps_of(
    records: Sequence[Record], in_flight: Iterable[StepOperation]
) -> dict[str, tuple[str, Outcome, str]]:
    """Return each step that a run has begun, by its key: its name, how it ended, its place."""
    found: dict[str, tuple[str, Outcome, str]] = {}
    for record in records:
        if record.kind == "step_done":
            has_failed = failure_in(record.body) is not None
            outcome: Outcome = "failed" if has_failed else "completed"
            found[record.key] = (record.name, outcome, record.place)
        elif record.kind in ("step_intent", "attempt_failed"):
            found[record.key] = (record.name, "unfinished", record.place)
    for operation in in_flight:
        if operation.is_started:
            found.setdefault(operation.key, (operation.name, "unfinished", operation.place))
    return found


def _token_of(record: Record) -> RerunToken:
    body = decode_body(record.body, OpenedBody)
    return RerunToken(record.key, body.kind, body.title)
