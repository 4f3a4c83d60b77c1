"""Runs whose stored data is damaged: parked, each for itself, and ended without it.

Trying again would find the same, so nothing is tried again. What is damaged is not written over; a
run is parked and closed by its row alone.
"""

from __future__ import annotations

import logging

import msgspec

from outlast import limits
from outlast._engine.scheduling.scheduler import Scheduler, row_outside_memory
from outlast._execution.calls.operations import ChildBody, ClosedBody, encode_body
from outlast._records import Record
from outlast._store.contract import Cursor, RunFilter, Store
from outlast._store.damaged import RowDamaged
from outlast._store.pages import is_last
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import Effects, Transaction
from outlast.errors import EngineClosed, LeaseLost, StoreDamaged, StoreError
from outlast.types import CLOSED_STATUSES, OPEN_STATUSES, RunId, Status

log = logging.getLogger("outlast.engine")


async def park_damaged(scheduler: Scheduler, run: RunId, error: StoreDamaged) -> None:
    """Park a run for what is stored of it, and tell those that wait for its answers."""
    log.critical("run %s is parked: damaged: %s", run, error, extra={"outlast_run": run})
    scheduler.parts.actors.damaged(run, error)
    if run in scheduler.residents:
        scheduler.run_parked(run, damage_text(error), error)
        return
    try:
        await _park(scheduler, run, error)
    except StoreDamaged as other:
        log.critical("run %s stays as it is: %s", run, other, extra={"outlast_run": run})
    except (StoreError, EngineClosed) as other:
        log.warning("run %s is parked later: %s", run, other)
        scheduler.world.call_later(limits.RECONCILE_SECONDS, scheduler.parts.messages.has_mail, run)


async def _park(scheduler: Scheduler, run: RunId, error: StoreDamaged) -> None:
    """Park a run whose stored data is damaged; its journal is not read.

    Raises:
        StoreDamaged: its row is damaged itself: nothing is written over it.
    """
    async with scheduler.run_locks.alone_with(run):
        row = await row_outside_memory(scheduler, run)
        if row is None or row.status in CLOSED_STATUSES:
            return
        lease = scheduler.leases.get(row.shard)
        why = damage_text(error)
        if lease is None or (row.parked_as == "damaged" and row.waiting_for == why):
            return
        summary = msgspec.structs.replace(
            row,
            status="parked",
            resident=False,
            wake_at=None,
            waiting_for=why,
            parked_as="damaged",
        )
        transaction = Transaction(lease, run, [], Effects(summary=summary))
        scheduler.submit(transaction)
        await scheduler.acknowledgements.wait_for(transaction)
        scheduler.parts.results.changed(run)


async def close_damaged(scheduler: Scheduler, row: RunRow, status: Status, reason: str) -> bool:
    """Close a run by its row alone: nothing else of it is read, and its journal gets no end."""
    lease = scheduler.leases.get(row.shard)
    if lease is None:
        raise LeaseLost(f"another engine now owns run {row.id!r}: try again")
    now = scheduler.world.now()
    is_actor = row.kind == "actor"
    closed = msgspec.structs.replace(
        row,
        status="completed" if is_actor else status,
        closed_at=now,
        wake_at=None,
        resident=False,
        parked_as="damaged",
        output=row.output if is_actor else b"",
        error=reason or status,
        waiting_for=row.waiting_for,
    )
    posts: tuple[Message, ...] = ()
    if not is_actor:
        posts = await posts_of(scheduler.store, row, ClosedBody(status, b"", reason), now)
    await scheduler.written(Transaction(lease, row.id, [], Effects(summary=closed, posts=posts)))
    scheduler.held.discard(row.id)
    if is_actor:
        scheduler.parts.actors.stopped(closed)
    else:
        tell_end(scheduler, row, status)
    return True


async def posts_of(store: Store, row: RunRow, body: ClosedBody, now: int) -> tuple[Message, ...]:
    """Return what the end of a run tells its parent and its children."""
    posts: list[Message] = []
    if row.parent is not None and row.parent_key:
        ended = ChildBody(body.status, body.outcome, body.reason, row.request)
        posts.append(
            Message(
                run=row.parent,
                kind="child_done",
                name=row.parent_key,
                body=encode_body(ended),
                dedup=f"{row.id}:{row.parent_key}:{row.request}",
                at=now,
            )
        )
    which = RunFilter(parent=row.id, statuses=OPEN_STATUSES)
    after: Cursor | None = None
    while len(posts) <= limits.OPERATIONS_PENDING_MAX:
        children = await store.list_runs(which, after, limits.PAGE_ROWS)
        for child in children:
            if child.on_parent_close != "abandon":
                kind = child.on_parent_close
                posts.append(Message(run=child.id, kind=kind, name="its parent closed", at=now))
        if is_last(children, limits.PAGE_ROWS):
            break
        after = Cursor(children[-1].created_at, children[-1].id)
    return tuple(posts)


def is_damaged(store: Store, row: RunRow) -> bool:
    """Say whether data of a run is damaged: it cannot clean up, and is ended as it is."""
    return row.parked_as == "damaged" or row.id in store.damaged_runs


async def journal_unless_damaged(store: Store, row: RunRow) -> list[Record] | None:
    """Return a run's records; None when something of the run is damaged."""
    if is_damaged(store, row):
        return None
    try:
        return await store.read_journal(row.id)
    except StoreDamaged:
        return None


def damage_text(error: StoreDamaged) -> str:
    """Return why a run is parked for damage."""
    return f"damaged: {error}"[: limits.ERROR_CHARS_MAX]


async def read_any_run(store: Store, run: RunId) -> RunRow | None:
    """Return a run's row; of one that is damaged, what is known of it."""
    try:
        return await store.read_run(run)
    except RowDamaged as error:
        return error.row


def tell_end(scheduler: Scheduler, row: RunRow, status: Status) -> None:
    """Tell of the end of a run that is not in memory."""
    scheduler.events.run_closed(row.workflow, status)
    scheduler.parts.ended(row.id, None)
