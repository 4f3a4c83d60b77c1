"""Messages from outside to runs: signals, requests to cancel, to terminate, to go on.

A message for a run in memory is appended at once, in one commit. One for a run that is not goes
into its mailbox, and the run is brought in to read it; or, when nobody here may or can run it,
it waits there.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from itertools import count

import msgspec

from outlast import limits
from outlast._engine.residency.damage import is_damaged, park_damaged, read_any_run
from outlast._engine.residency.inactive_runs import InactiveRuns
from outlast._engine.scheduling.scheduler import (
    Scheduler,
    admit_stored,
    is_open_here,
    row_outside_memory,
)
from outlast._engine.verbs.redelivery import check_again, check_known, conflict
from outlast._engine.verbs.requests import checked
from outlast._execution.actors.actor_memory import ActorMemory
from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.actors.history import Entry, History, entries_of
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._messages.actor_ids import TOPICS
from outlast._store.auditing import came_to, once_more
from outlast._store.contract import Store
from outlast._store.decisions import carry_audit
from outlast._store.rows import Message, MessageKind, PostResult, RunRow
from outlast._store.stream_values import values_in
from outlast._store.transactions import Effects, Receipt, Transaction
from outlast.errors import (
    EngineClosed,
    LeaseLost,
    MailboxFull,
    RunClosed,
    RunNotFound,
    StoreDamaged,
    StoreError,
    StoreFull,
    UsageError,
)
from outlast.types import CLOSED_STATUSES, RunId, Status

_REOPENED_MAX = 5  # others may keep ending and retrying the run; give up rather than spin
_STILL = ("pending", "paused", "parked")
_OF_CLOSED: dict[MessageKind, str] = {"pause": "be paused", "resume": "go on"}
log = logging.getLogger("outlast.engine")


class Messages:
    """Sending to runs, and bringing in the runs that have mail."""

    def __init__(self, scheduler: Scheduler, dormant: InactiveRuns) -> None:
        self._scheduler = scheduler
        self._world = scheduler.world
        self._store = scheduler.store
        self._inactive_runs = dormant
        self._arriving: dict[RunId, None] = {}
        self._under_way: set[RunId] = set()
        self._asked_again: set[RunId] = set()
        self._at_work = 0
        self._idle: list[Future[None]] = []
        self.left_waiting: set[RunId] = set()  # had mail, or were at it, when the process died

    async def send(self, message: Message) -> None:
        """Make a message safe; return when it is.

        Raises:
            RunNotFound, RunClosed, MailboxFull, SignalConflict: nothing was stored.
            StoreFull, StoreUnavailable: nothing is stored yet; the text says if it is kept.
            UsageError: a topic is not stopped; a run that is asked to go on was not paused.
        """
        if message.run.startswith(f"{TOPICS}/"):
            raise UsageError(
                f"{message.run} is a topic: it lives as long as the store; "
                f"`await topic.unsubscribe(ref)` ends what an actor gets"
            )
        trouble = self._scheduler.writer.trouble
        ends_work = message.kind in ("cancel", "terminate")
        if trouble is not None and not (ends_work and isinstance(trouble, StoreFull)):
            raise trouble
        message = await checked(self._scheduler, message)
        # Nothing is awaited from here on until it is appended: the run may be parked meanwhile.
        live = self._scheduler.residents.get(message.run)
        is_ready = live is not None and live.state == "live" and not live.journal.has_closed
        # A supervisor takes its time to stop or resume its team: that must be safe until then.
        is_done_at_once = not (isinstance(live, LiveActor) and live.definition.supervises)
        is_standing = isinstance(live, LiveWorkflow) and live.pausing is not None
        is_pause = message.kind == "pause"  # it is done when no step is in flight any more
        may_append = is_ready and is_done_at_once and not is_standing and not is_pause
        if live is not None and may_append and not self._store.is_shared:
            await self._append(live, message)
            return
        if message.kind == "signal" and await check_again(self._scheduler, message):
            came_to("duplicate")
            return
        if message.kind in ("cancel", "terminate") and await self.close_unrun(message):
            return
        await self._post(message)

    async def _post(self, message: Message, tries: int = _REOPENED_MAX) -> None:
        """Commit a message, and have its run hear of it, whatever became of its sender."""
        hearing: list[asyncio.Task[None]] = []

        def made(receipt: Receipt) -> None:
            if receipt.posts[0] != "accepted":
                return
            number = receipt.numbers[0]
            if message.kind in ("pause", "resume"):
                work = self.let_hear(message, number)
                hearing.append(self._world.spawn(work, name=f"{message.kind} {message.run}"))
            else:
                self._scheduler.deliver(message, number)

        transaction = Transaction(
            None, message.run, [], Effects(posts=(bounded(self._scheduler, message),))
        )
        receipt = await self._scheduler.writer.commit(transaction, made)
        if await _was_reopened(self._scheduler, message, receipt.posts[0]):
            if not tries:
                raise _closed_error(message, None)
            once_more()
            await self._post(message, tries - 1)
        if hearing:
            # Whoever asked may look at it next, and must not find it as it was.
            await asyncio.wait(hearing)
            hearing[0].result()

    async def let_hear(self, message: Message, number: int) -> None:
        """Have a run that may stand still go on, or one that is not in memory stand still."""
        if message.kind == "resume" and self._scheduler.owns(message.run):
            await self.bring(message.run)
        elif message.kind == "pause" and await self._inactive_runs.pause(message.run):
            return
        self._scheduler.deliver(message, number)

    async def _append(self, live: LiveRun, message: Message) -> None:
        if message.kind == "signal":
            known = live.calls.inbox.dedups.get(message.dedup) if message.dedup else None
            if known is not None:
                await check_known(self._scheduler, message, known)
                came_to("duplicate")
                return
            if not live.calls.inbox.room_for(len(message.body)):
                raise signals_full(message.run)
        live.accept(message)
        carried = carry_audit(live.journal.transaction(), self._world.now())
        kept = f"The {message.kind} for run {message.run!r}"
        await self._scheduler.acknowledgements.wait_for(carried, kept=kept)

    async def close_unrun(self, message: Message) -> bool:
        """Close a run that has no code in memory to ask: parked, delayed, or without code."""
        row = await read_any_run(self._store, message.run)
        if row is None:
            raise RunNotFound(message.run)
        if row.status in CLOSED_STATUSES:
            came_to("closed")
            return True
        is_unrun = row.started_at is None and not row.resident and row.status in _STILL
        if not self._scheduler.owns(row.id) or row.id in self._scheduler.residents:
            return False
        if message.kind == "terminate" or is_unrun or is_damaged(self._store, row):
            status: Status = "terminated" if message.kind == "terminate" else "cancelled"
            work = _closed(self._inactive_runs, row.id, status, message.name)
            closing = self._world.spawn(work, name=f"{message.kind} {row.id}")
            await asyncio.wait([closing])  # who waits for its end hears of it, if we do or not
            return closing.result()
        return False

    # ---------------------------------------------------------------- bringing in
    def has_mail(self, run: RunId) -> None:
        """Have a run brought into memory; an empty id means: look for whoever is waiting."""
        if run in self._under_way:
            self._asked_again.add(run)
            return
        self._arriving[run] = None
        if self._at_work < limits.ACTIVATIONS_MAX and not self._scheduler.is_closing:
            self._at_work += 1
            self._world.spawn(self._bring(), name="outlast-bring")

    async def _bring(self) -> None:
        try:
            while self._arriving and not self._scheduler.is_closing:
                run = next(iter(self._arriving))
                del self._arriving[run]
                self._under_way.add(run)
                if not self._arriving:
                    self._none_waits()
                await self.try_to_bring(run)
                self._under_way.discard(run)
                if run in self._asked_again:
                    self._asked_again.discard(run)
                    self._arriving[run] = None
        finally:
            self._at_work -= 1
            if not self._at_work:
                self._none_waits()

    def _none_waits(self) -> None:
        idle, self._idle = self._idle, []
        for future in idle:
            if not future.done():
                future.set_result(None)

    async def all_brought(self) -> None:
        """Return when no run waits any more for being brought in."""
        while self._arriving and not self._scheduler.is_closing:
            future: Future[None] = self._world.loop.create_future()
            self._idle.append(future)
            await future

    async def try_to_bring(self, run: RunId) -> None:
        """Bring a run in; if that fails, later or never, without delaying others."""
        try:
            await (self.bring(run) if run else self._inactive_runs.look_again())
        except Exception as error:  # noqa: BLE001  # this run's trouble only
            await self.could_not_bring(run, error)

    async def could_not_bring(self, run: RunId, error: Exception) -> None:
        """Try again later what the store refused; park what cannot be brought in."""
        scheduler = self._scheduler
        if scheduler.is_closing or scheduler.events.fatal is not None:
            return
        is_ours = scheduler.owns(run) and not isinstance(error, EngineClosed | LeaseLost)
        if not is_ours and run:
            return  # whoever owns it now looks after it
        if isinstance(error, StoreDamaged) and run:
            await park_damaged(scheduler, run, error)
            return
        if not isinstance(error, StoreError) and run:
            log.error("cannot load run %s into memory", run, exc_info=error)
            why = f"it cannot be brought into memory: {type(error).__name__}: {error}"
            try:
                await self._put_away(run, why[: limits.ERROR_CHARS_MAX])
            except Exception as other:  # noqa: BLE001  # the same trouble again, most likely
                error = other
            else:
                return
        log.warning("run %s will be loaded later: %s", run or "(any)", error)
        self._world.call_later(limits.RECONCILE_SECONDS, self.has_mail, run)

    async def _put_away(self, run: RunId, why: str) -> None:
        if run in self._scheduler.residents:
            self._scheduler.run_parked(run, why)
        else:
            await self._inactive_runs.park(run, why, "attempts")

    async def bring(self, run: RunId) -> LiveRun | None:
        """Bring one open run of ours into memory, with its mail."""
        scheduler = self._scheduler
        if run not in scheduler.residents:
            async with scheduler.run_locks.alone_with(run):
                if run not in scheduler.residents:
                    return await self._bring_alone(run)
        live = scheduler.residents.get(run)
        if live is not None and await self.read_mail(live) and live.state == "replaying":
            scheduler.begin(live)  # its mail could not be read when it was brought in
        return live

    async def _bring_alone(self, run: RunId) -> LiveRun | None:
        """Bring in one that is not in memory; the caller is alone with it."""
        scheduler = self._scheduler
        live: LiveRun | None = None
        row = await self._reopened(await row_outside_memory(scheduler, run))
        if row is not None and row.kind == "actor" and self._may_run(row):
            live = await self.activate(row)
        elif row is not None and row.status in ("parked", "paused"):
            if not await self._inactive_runs.consider(row):
                self._scheduler.parts.parked_asks.look(run)
        elif row is not None and self._may_run(row):
            records = await self._store.read_journal(run)
            if run not in scheduler.residents and scheduler.owns(run):
                live = await admit_stored(scheduler, row, records)
        if live is not None:
            await self.read_mail(live)
            scheduler.begin(live)
        self.left_waiting.discard(run)
        return live

    async def _reopened(self, row: RunRow | None) -> RunRow | None:
        """A stopped actor has mail: only those orders that reach it there."""
        if row is None or row.kind != "actor" or row.status not in CLOSED_STATUSES:
            return row
        if not await self._store.read_mailbox(row.id, 1):
            return row
        return msgspec.structs.replace(row, status="waiting")

    async def activate(self, row: RunRow) -> LiveRun | None:
        """Bring an actor into memory, with what it had begun."""
        if row.workflow not in self._scheduler.registry.actors:
            self._scheduler.parts.inactive_runs.no_code(row, [])
            return None
        records = await self._store.read_journal(row.id, row.folded_seq)
        memory = await _read_memory(self._store, row.id)
        live = self._scheduler.admit(row, records, memory)
        if isinstance(live, LiveActor) and row.id in self.left_waiting:
            self.left_waiting.discard(row.id)
            live.handling.be_wary()
        return live

    def _may_run(self, row: RunRow) -> bool:
        # A delayed run begins with its time; an actor reads what comes before that.
        has_begun = row.started_at is not None or row.kind == "actor"
        is_due = row.wake_at is None or has_begun or row.wake_at <= self._now()
        return self._scheduler.owns(row.id) and is_open_here(row) and is_due

    def _now(self) -> int:
        return self._world.now()

    async def read_mail(self, live: LiveRun) -> bool:
        """Give a run what is in its mailbox, oldest first: all of it, or what it takes at once.

        Returns False when another call is at it: the run must not begin before that has ended, or
        what came last would be taken before what came first.
        """
        arrivals = live.arrivals
        actor = live if isinstance(live, LiveActor) else None
        if arrivals.is_reading:
            arrivals.has_more = True
            return False
        if actor is not None and not actor.turns.wants_mail:
            return True
        arrivals.is_reading = True
        try:
            await self._read_pages(live, None if actor is None else actor.turns.read_max)
        finally:
            arrivals.end_reading()
        if actor is not None:
            actor.mail_was_read()
        return True

    async def _read_pages(self, live: LiveRun, mail_max: int | None) -> None:
        arrivals, residents = live.arrivals, self._scheduler.residents
        count, page_max = 0, limits.MAILBOX_READ_MAX
        arrivals.read_to = after = arrivals.read_to or 0
        while mail_max is None or count < mail_max:
            arrivals.has_more = False
            page = await self._store.read_mailbox(live.id, page_max, after)
            if residents.get(live.id) is not live:
                return
            if page:
                arrivals.read_to = after = page[-1].number
            for message in page:
                live.accept(message)
            count += len(page)
            if len(page) < page_max and not arrivals.has_more:
                arrivals.read_to = None
                return


def bounded(scheduler: Scheduler, message: Message) -> Message:
    """Let no more signals wait than a run may have: one in memory has read some already."""
    live = scheduler.residents.get(message.run)
    if message.kind != "signal" or live is None:
        return message
    if isinstance(live, LiveWorkflow) and live.pausing is not None and live.pausing.signal_bytes:
        # They are in the mailbox too, where the store counts them; what has been read is here.
        held = live.pausing.signal_bytes + live.calls.inbox.bytes_held
        if held + len(message.body) > limits.SIGNALS_BUFFERED_BYTES:
            return msgspec.structs.replace(message, bound=-1)
    if not live.calls.inbox.held:
        return message
    return msgspec.structs.replace(
        message, bound=live.calls.inbox.room_for(len(message.body)) or -1
    )


def signals_full(run: RunId) -> MailboxFull:
    """Return the error for a signal to a run that has as many unread as it may."""
    return MailboxFull(run, limits.SIGNALS_BUFFERED_MAX, bytes_limit=limits.SIGNALS_BUFFERED_BYTES)


async def _was_reopened(scheduler: Scheduler, message: Message, result: PostResult) -> bool:
    """Whether a run that was closed to a message lives again; others may have retried it meanwhile.

    Raises:
        RunNotFound, RunClosed, MailboxFull, SignalConflict: it is refused.
    """
    match result:
        case "accepted" | "duplicate":
            return False
        case "conflict":
            if not await check_again(scheduler, message):
                raise conflict(message)
            return False
        case "full":
            raise signals_full(message.run)
        case "not_found":
            raise RunNotFound(message.run)
        case "closed":
            row = await scheduler.store.read_run(message.run)
            if message.kind not in ("signal", "resume", "pause"):
                return False  # it has ended: what the sender wanted is so
            if row is None or row.status in CLOSED_STATUSES:
                raise _closed_error(message, row)
            return True


def _closed_error(message: Message, row: RunRow | None) -> RunClosed:
    status = row.status if row is not None else "closed"
    return RunClosed(message.run, status, _OF_CLOSED.get(message.kind, ""))


async def _closed(dormant: InactiveRuns, run: RunId, status: Status, reason: str) -> bool:
    """Close a run; False when another engine has taken it over, which then reads the request."""
    try:
        return await dormant.close(run, status, reason)
    except LeaseLost:
        return False


async def _read_memory(store: Store, actor: RunId) -> ActorMemory:
    memory = ActorMemory.read(await store.read_values(actor, "\x00"))
    if memory.stream_ends is not None:
        memory.stream_ends = await store.read_stream_ends(actor)
    for stream, history in memory.histories.items():
        history.entries = await _entries_of(store, actor, stream, history)
    return memory


async def _entries_of(store: Store, actor: RunId, stream: str, history: History) -> list[Entry]:
    """Return what an actor's code reads of one of its streams: what failed messages wrote is not.

    Rows of a message that is under way are behind its end: the code appends them as it replays.
    """
    taken_back = await store.read_retractions(actor, stream, history.start)
    entries: list[Entry] = []
    at = history.start
    while at < history.end:
        rows = await store.read_stream(actor, stream, at, limits.PAGE_ROWS)
        for row in rows:
            if row.kind == "data" and taken_back.get(row.writer, -1) < row.offset:
                entries += zip(count(row.offset), values_in(row), strict=False)
        if not rows:
            break
        at = rows[-1].offset + rows[-1].count
    return entries_of(entries, history)
