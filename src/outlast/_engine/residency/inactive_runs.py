"""Open runs that are not executed: parked, without code here, or delayed.

They have no code in memory, so what happens to them is written straight to the store.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from outlast import limits
from outlast._engine.residency.begun_lives import end_with_life, order_of_life
from outlast._engine.residency.damage import (
    close_damaged,
    is_damaged,
    journal_unless_damaged,
    posts_of,
    read_any_run,
    tell_end,
)
from outlast._engine.residency.discarding import Discarded, asked_to_discard
from outlast._engine.residency.unfinished import take_back
from outlast._engine.scheduling.scheduler import Scheduler, is_open_here, row_outside_memory
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.operations import ClosedBody, encode_body
from outlast._execution.calls.unreadable import UNREADABLE
from outlast._execution.runs.pausing import PAUSED
from outlast._messages.actor_ids import SUPERVISORS
from outlast._records import Record, pack_records
from outlast._store.contract import Cursor, Lookups, RunFilter, Store
from outlast._store.pages import is_last
from outlast._store.rows import Message, MessageKind, ParkedAs, RunKind, RunRow
from outlast._store.transactions import Effects, Segment, Transaction
from outlast.errors import LeaseLost, UnknownWorkflow
from outlast.types import CLOSED_STATUSES, Lease, RunId, Status

log = logging.getLogger("outlast.engine")

WAITS_FOR_ENGINE = "waiting for an engine that has its workflow"
"""What a run waits for that was started, or resumed, while no engine was running."""


class InactiveRuns:
    """Open runs of this engine's shards that are not in memory."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._store = scheduler.store
        self._world = scheduler.world

    def no_code(self, row: RunRow, records: list[Record]) -> None:
        """Put away a run whose workflow is not registered here."""
        self._world.spawn(self._park_for_code(row), name=f"put {row.id} away")

    async def _park_for_code(self, row: RunRow) -> None:
        why = f"no code here for {row.kind} {row.workflow!r}"
        if await self.park(row.id, why, "code"):
            log.warning(
                "run %s is parked: %s; it resumes when an engine with that code opens the store",
                row.id,
                why,
                extra={"outlast_run": row.id},
            )

    async def park(self, run: RunId, why: str, parked_as: ParkedAs) -> bool:
        """Park an open run that is not in memory; return whether that changed anything."""
        async with self._scheduler.run_locks.alone_with(run):
            row = await row_outside_memory(self._scheduler, run)
            if row is None or row.status in CLOSED_STATUSES:
                return False
            if row.waiting_for == why and row.status == "parked" and not row.resident:
                return False
            await self._put_away(row, status="parked", why=why, parked_as=parked_as)
            return True

    async def pause(self, run: RunId) -> bool:
        """Pause an open run that has been asked to; False when it is in memory, or not ours."""
        scheduler = self._scheduler
        async with scheduler.run_locks.alone_with(run):
            if not scheduler.owns(run) or run in scheduler.residents:
                return False
            row = await row_outside_memory(scheduler, run)
            if row is None or row.status in CLOSED_STATUSES:
                return True
            await self._pause(row, await mail_numbers(self._store, run, "pause"))
        return True

    async def _pause(self, row: RunRow, asked: Sequence[int]) -> None:
        # Paused or not, it cannot read the message that it was parked for, which may be discarded.
        unread = row.parked_as if row.parked_as == "unreadable" else ""
        why = _why_paused(row)
        await self._put_away(row, status="paused", why=why, parked_as=unread, consumed=asked)

    async def _put_away(
        self,
        row: RunRow,
        *,
        status: Status,
        why: str,
        parked_as: ParkedAs = "",
        consumed: Sequence[int] = (),
    ) -> None:
        lease = self._scheduler.leases.get(row.shard)
        if lease is None:
            return
        records = await self._store.read_journal(row.id, row.folded_seq)
        unpacked = [r for r in records if r.seq > row.packed_seq]
        last = records[-1].seq if records else row.last_seq
        summary = msgspec.structs.replace(
            row,
            status=status,
            resident=False,
            wake_at=None,
            waiting_for=why,
            parked_as=parked_as,
            last_seq=last,
            packed_seq=last if unpacked else row.packed_seq,
        )
        effects = Effects(summary=summary, consumed=tuple(consumed))
        if unpacked:
            segment = Segment(row.id, unpacked[0].seq, last, pack_records(unpacked))
            effects.segments = (segment,)
        transaction = Transaction(lease, row.id, [], effects)
        self._scheduler.submit(transaction)
        self._scheduler.parts.idle_actors.forget(row.id)  # what is known of it is old
        await self._scheduler.acknowledgements.wait_for(transaction)
        self._scheduler.parts.results.changed(row.id)

    async def close(self, run: RunId, status: Status, reason: str) -> bool:
        """Close an open run without running its code; its children follow their policies.

        Returns False when its code must be asked: it is in memory, or it has begun before.

        Raises:
            LeaseLost: another engine owns it now.
            StoreFull, StoreUnavailable: nothing was written.
        """
        async with self._scheduler.run_locks.alone_with(run):
            if run in self._scheduler.residents:
                return False
            row = await read_any_run(self._store, run)
            if row is None or row.status in CLOSED_STATUSES:
                return True
            if row.kind == "actor" and not is_damaged(self._store, row):
                return await self._close_actor(row, reason)
            records = await journal_unless_damaged(self._store, row)
            if records is None:
                return await close_damaged(self._scheduler, row, status, reason)
            has_begun = any(r.kind not in ("run_started", "signal") for r in records)
            if status == "cancelled" and has_begun:
                return False  # its row may lag behind: code that has begun gets to clean up
            await self._close(row, records, status, reason)
            return True

    async def _close_actor(self, row: RunRow, reason: str) -> bool:
        """Stop an actor that is not in memory; its state is kept to be looked at.

        Returns False when it must be asked: stopping is not for it alone to decide.
        """
        bonds = Membership.read(await self._store.read_values(row.id, "\x00"))
        # The engine that a command opens has not the class: the request waits for one that has.
        if row.workflow == SUPERVISORS or (bonds.is_kept and is_open_here(row)):
            return False
        lease = self._scheduler.leases.get(row.shard)
        if lease is None:
            raise LeaseLost(f"another engine now owns actor {row.id!r}: try again")
        # What it had begun is over: it must not go on with it when it is started again.
        records = await self._store.read_journal(row.id, row.folded_seq)
        seq = records[-1].seq if records else row.last_seq
        closed = msgspec.structs.replace(
            row,
            status="completed",
            last_seq=seq,
            packed_seq=seq,
            folded_seq=seq,
            closed_at=self._world.now(),
            wake_at=None,
            resident=False,
            parked_as="",
            error=reason or None,
            waiting_for="",
        )
        transaction = Transaction(lease, row.id, [], Effects(summary=closed))
        await take_back(self._store, transaction, records)
        if row.packed_seq > row.folded_seq:
            transaction.also.folded = seq
        orders = await order_of_life(self._store, row.id, bonds)
        bonds.close(transaction, reason, self._world.now(), has_failed=False)
        outcome = end_with_life(transaction, orders)
        await self._scheduler.written(transaction)
        self._scheduler.held.discard(row.id)
        for order in orders:
            self._scheduler.answered(order, outcome)
        self._scheduler.parts.actors.stopped(closed)
        return True

    async def _close(self, row: RunRow, records: list[Record], status: Status, reason: str) -> None:
        lease = self._scheduler.leases.get(row.shard)
        if lease is None:
            raise LeaseLost(f"another engine now owns run {row.id!r}: try again")
        now, body = self._world.now(), ClosedBody(status, b"", reason)
        closing = _closing(records[-1], body, now, lease)
        unpacked = [*(r for r in records if r.seq > row.packed_seq), closing]
        segment = Segment(row.id, unpacked[0].seq, closing.seq, pack_records(unpacked))
        summary = msgspec.structs.replace(
            row,
            status=status,
            closed_at=closing.at,
            wake_at=None,
            resident=False,
            parked_as="",
            last_seq=closing.seq,
            packed_seq=closing.seq,
            output=b"",
            error=reason or status,
            waiting_for="",
        )
        posts = await posts_of(self._store, row, body, now)
        effects = Effects(summary=summary, segments=(segment,), posts=posts)
        await self._scheduler.written(Transaction(lease, row.id, [closing], effects))
        self._scheduler.held.discard(row.id)  # a run that is started under its id is another
        tell_end(self._scheduler, row, status)

    # ------------------------------------------------------------------- going on
    async def consider(self, row: RunRow) -> bool:
        """Do what the mail of a paused or parked run asks for; return whether it is neither now.

        A paused one that is cancelled goes on, so that it can clean up.
        """
        asked = await _requests_of(self._store, row.id)
        paused = [message.number for message in asked["pause"]]
        if asked["terminate"] and row.kind == "workflow":
            records = await self._store.read_journal(row.id)
            await self._close(row, records, "terminated", asked["terminate"][0].name)
        elif asked["resume"]:
            resumed = [message.number for message in asked["resume"]]
            consumed = [*resumed, *(number for number in paused if number < resumed[-1])]
            discard = await asked_to_discard(self._store, row, asked["resume"])
            await self._wake(row, consumed=consumed, is_resumed=True, discarded=discard)
        elif row.status == "paused" and asked["cancel"]:
            await self._wake(row, consumed=paused)
        elif row.status == "parked" and paused:
            await self._pause(row, paused)  # it was asked just when it was parked
            return False
        else:
            return False
        return True

    async def may_go_on(self, row: RunRow) -> bool:
        """Try a parked run again if code is here that may fit it now; say whether it was tried."""
        if can_wake := self._can_wake(row):
            await self.wake(row.id)
        return can_wake

    async def wake(self, run: RunId) -> None:
        """Make a dormant run open again, and bring it into memory."""
        async with self._scheduler.run_locks.alone_with(run):
            row = await row_outside_memory(self._scheduler, run)
            if row is not None and self._can_wake(row):
                await self._wake(row)

    async def _wake(
        self,
        row: RunRow,
        *,
        consumed: Sequence[int] = (),
        is_resumed: bool = False,
        discarded: Discarded | None = None,
    ) -> None:
        lease = self._scheduler.leases.get(row.shard)
        if lease is None:
            return
        known = await self._store.read_journal(row.id, row.folded_seq) if consumed else []
        now = self._world.now()
        # Paused before its time to begin has come, it waits for that again.
        is_early = row.started_at is None and bool(known) and known[0].at > now
        executes = self._scheduler.executes
        summary = msgspec.structs.replace(
            row,
            status=_status_awake(row, executes=executes),
            resident=not is_early,
            wake_at=known[0].at if is_early else None,
            parked_as="",
            crash_count=0,
            is_alone=False,
            waiting_for="" if executes or is_early else WAITS_FOR_ENGINE,
        )
        records: list[Record] = []
        if is_resumed and known and not is_early:
            # A person asked for it: that is part of the run's history, and lets a step that has
            # spent its attempts be tried again on every replay from here on.
            seq, at = known[-1].seq + 1, max(known[-1].at, now)
            records.append(Record(seq, "resumed", "", "", at, lease.epoch))
        made = Transaction(
            lease, row.id, records, Effects(summary=summary, consumed=tuple(consumed))
        )
        if row.parked_as == "unreadable":
            made.also.values = ((UNREADABLE, None),)
        if discarded is not None:
            discarded.add_to(made, known, now)
            if row.kind == "actor":
                bonds = Membership.read(await self._store.read_values(row.id, "\x00"))
                discarded.end_for_actor(made, known, bonds, now)
        self._scheduler.submit(made)
        await self._scheduler.acknowledgements.wait_for(made)
        if is_early:
            self._scheduler.parts.recovery.passivated(summary)
        else:
            self._scheduler.parts.messages.has_mail(row.id)

    async def look_again(self) -> None:
        """Wake the dormant runs that the code registered now may be able to run."""
        await self._look_again_at("workflow")
        await self._look_again_at("actor")

    async def _look_again_at(self, kind: RunKind) -> None:
        which = RunFilter(statuses=frozenset[Status](("pending", "parked")), kind=kind)
        after: Cursor | None = None
        while True:
            rows = await self._store.list_runs(which, after, limits.PAGE_ROWS)
            for row in rows:
                if self._can_wake(row):
                    await self.wake(row.id)
                elif _was_left(self._scheduler, row):
                    await self._park_for_code(row)
            if is_last(rows, limits.PAGE_ROWS):
                return
            after = Cursor(rows[-1].created_at, rows[-1].id)

    def _can_wake(self, row: RunRow) -> bool:
        if row.id in self._scheduler.residents or row.status in (*CLOSED_STATUSES, "paused"):
            return False
        if row.parked_as not in ("code", "unreadable") or not self._scheduler.owns(row.id):
            return False
        registry = self._scheduler.registry
        if row.kind == "actor":
            return row.workflow in registry.actors
        try:
            registry.find_workflow(row.workflow)
        except UnknownWorkflow:
            return False
        return True


def _closing(last: Record, body: ClosedBody, now: int, lease: Lease) -> Record:
    """Return the record of a run's end, behind its last one."""
    at = max(now, last.at)
    data = encode_body(body)
    return Record(last.seq + 1, "run_closed", "", "", at, lease.epoch, body=data)


def _why_paused(row: RunRow) -> str:
    """Return why a run stands still that a person has paused, and perhaps did before."""
    if row.status == "paused":
        return row.waiting_for
    return f"{PAUSED}; it was parked: {row.waiting_for}" if row.status == "parked" else PAUSED


def _status_awake(row: RunRow, *, executes: bool) -> Status:
    """Return how a run stands that is open again, in an engine that executes runs or does not."""
    if row.started_at is None:
        return "pending"
    return "running" if executes else "waiting"


def _was_left(scheduler: Scheduler, row: RunRow) -> bool:
    """Whether a command left this run to an engine that has its code, which this one has not.

    To be asked of rows that cannot be woken.
    """
    is_idle = row.id not in scheduler.residents and not row.resident
    is_left = row.status == "pending" and row.parked_as == "code" and is_idle
    return is_left and scheduler.executes and scheduler.owns(row.id)


async def _requests_of(store: Store, run: RunId) -> defaultdict[MessageKind, list[Message]]:
    """Return the messages in a run's mailbox by their kind, oldest first."""
    page_max, after = limits.MAILBOX_READ_MAX, 0
    found = defaultdict[MessageKind, list[Message]](list)
    while mail := await store.read_mailbox(run, page_max, after):
        for message in mail:
            found[message.kind].append(message)
        after = mail[-1].number
    return found


def cancel_waits(run: str) -> str:
    """Return what a parked run does about a request to cancel, in words for people."""
    return (
        f"a cancellation is stored and takes effect when the run is resumed "
        f"(`outlast resume {run}`); to end the run now: `outlast terminate {run}`"
    )


async def mail_of(store: Lookups, run: RunId, kind: MessageKind) -> list[Message]:
    """Return a run's messages of one kind, oldest first."""
    page_max, after = limits.MAILBOX_READ_MAX, 0
    found: list[Message] = []
    while mail := await store.read_mailbox(run, page_max, after):
        found += [m for m in mail if m.kind == kind]
        after = mail[-1].number
    return found


async def mail_numbers(store: Store, run: RunId, kind: MessageKind) -> list[int]:
    """Return the numbers of a run's messages of one kind, oldest first."""
    return [message.number for message in await mail_of(store, run, kind)]
