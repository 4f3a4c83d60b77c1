"""A run in memory: its code on its own loop, fed by its journal.

What runs is said by subclasses: a workflow (`workflow_run`), an actor's messages (`actor_run`).

    begin        replays what earlier lives recorded, then goes live
    committed    hands over, one at a time, the records that have become durable
    accept       takes a message from outside
    wake         takes what the clock makes due
    settle       drains the loop to rest, delivers cancellations, starts what was asked for

All of these are called from callbacks of the host loop, never inside a host task.

Invariants:
  * records reach the code singly, in the order of `seq`, with a drain after each;
  * what the code asks for is started only after the drain, and only when live;
  * after `leave` nothing that the code does has any effect.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from typing_extensions import TypeVarTuple, Unpack

from outlast import limits
from outlast._execution.calls.cancellation import Cancellation, append_cancel
from outlast._execution.calls.clock import RunClock
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.run_calls import RunCalls
from outlast._execution.calls.steps import StepCalls
from outlast._execution.calls.unreadable import Unreadable
from outlast._execution.journal.message_dedup import MessageDedup
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop, Spinning, new_loop
from outlast._execution.loop.tasks import RunTask
from outlast._execution.runs.closing import close_tasks
from outlast._execution.runs.run_summary import RunSummary
from outlast._records import Record, attach
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import Receipt, Transaction
from outlast._wording.plurals import counted
from outlast.errors import OutlastError, ReplayMismatch, StoreDamaged
from outlast.types import Lease, RunId

log = logging.getLogger("outlast.run")
_TOO_LONG = (
    f"its journal has more than {limits.JOURNAL_RECORDS_MAX:,} records, the limit: "
    f"split the work into child workflows"
)
_SPINS = (
    f"its code ran {limits.DRAIN_HANDLES_MAX:,} callbacks without waiting for anything durable: "
    f"it spins"
)
_REPLAY_SLICE = 500  # records replayed in one turn of the host loop, about 5 ms

Ts = TypeVarTuple("Ts")
State = Literal["replaying", "live", "ending", "ended", "left"]


class LiveRun(ABC):
    """A run in memory. `state` says whether it replays, lives, ends, or has left."""

    def __init__(
        self, host: RunHost, row: RunRow, lease: Lease, records: list[Record], salt: int, now: int
    ) -> None:
        self.id: RunId = row.id
        self.salt = salt  # of this run's chance: the same in every life
        self.state: State = "replaying"
        self.is_new = False  # no code of it has run before: what it says is said for the first time
        # It was asked for something beside its steps (a pause, an update), or is an actor's.
        self.needs_attention = False
        self.has_moved = False  # since the host last looked
        self.host = host
        self.journal: RunJournal = RunJournal(
            row.id, lease=lease, records=records, row=row, submit=host.submit, rouse=self._rouse
        )
        self.loop: RunLoop = new_loop(self, salt=salt, now=now / 1e6)
        self.calls: RunCalls = RunCalls(host, self.journal, self.loop, row, salt)
        self.steps: StepCalls = self.calls.steps
        self.cancellation: Cancellation = self.calls.cancellation
        self.clock: RunClock = RunClock(host, self.journal, self.loop, self.calls, row.timeout_at)
        self.summary: RunSummary = RunSummary(row, self.journal, self.clock, records)
        self.main: RunTask[object] | None = None
        self.arrivals: MessageDedup = MessageDedup()

    @abstractmethod
    def begin(self) -> None:
        """Replay what earlier lives recorded, then go live; a second call does nothing."""

    @abstractmethod
    def _take(self, message: Message) -> None:
        """Append what a message says."""

    @abstractmethod
    def _main_ended(self, main: RunTask[object]) -> None:
        """The main task is done, and nothing of it is left."""

    @abstractmethod
    def _went_live(self) -> None:
        """Everything recorded has been delivered."""

    def _swallows(self, reason: str) -> None:
        """Its code cannot be cancelled; of an actor, only a message ends with that."""
        self.terminate(reason)

    def _deliver_of_actor(self, record: Record) -> None:
        """Take a record that only actors have."""
        raise StoreDamaged(f"run {self.id!r} has a record of an actor: {record.kind}")

    @property
    def keeps_after_end(self) -> bool:
        """Whether what a step wrote counts when its wait is over; not when its message is."""
        return True

    @property
    def is_summarised(self) -> bool:
        """Whether its row follows what it does; an actor's row follows its messages instead."""
        return True

    @property
    def holds_steps(self) -> bool:
        """Whether steps may not start yet; asked only while the run `needs_attention`."""
        return False

    def _was_committed(self, transaction: Transaction) -> None:  # noqa: B027  # nothing, for most
        """A transaction is durable; called while it `needs_attention`, even if it has left."""

    def _came_to_rest(self) -> None:  # noqa: B027  # nothing, for most
        """Its code waits again; called while it `needs_attention`."""

    @abstractmethod
    def _went_on_ending(self) -> None:
        """It came to rest again after its code has ended."""

    @abstractmethod
    def terminate(self, reason: str) -> None:
        """End without running any more of the code."""

    def _rouse(self) -> None:
        """Something is appended after the row was told that the run sleeps."""
        self.summary.write("running")

    @property
    def row(self) -> RunRow:
        """The run's row as it was last written, or will be with the next commit."""
        return self.summary.row

    def _replay(self, records: list[Record]) -> None:
        for record in records:
            if self.state == "replaying":
                self._deliver(record)

    def _go_live(self) -> None:
        if self.host.only_replays:
            self.host.replayed(self.id)
            return
        self.journal.end_replay()
        self.state = "live"
        self._went_live()
        self.steps.resume()
        for message in self.arrivals.take_early():
            self._take(message)
        self.settle()
        self._arm()

    # --------------------------------------------------------------- records arrive
    def committed(self, transaction: Transaction, receipt: Receipt) -> None:
        """Hand over the records of a transaction that has become durable."""
        if self.journal.is_back(transaction) and self.state not in ("ended", "left"):
            effects = transaction.effects
            if effects is not None and effects.consumed:
                self.arrivals.consumed(effects.consumed)
            if not self.journal.position:
                self.journal.position = receipt.position
            if receipt.existing:
                self.calls.children.conflicts(list(receipt.existing.values()))
            records = transaction.records
            blobs = () if effects is None else effects.blobs
            try:
                self._deliver_all(attach(records, blobs) if blobs else records)
            except BaseException as error:  # noqa: BLE001  # as in `_guarded`
                self._cannot_go_on(error)
        if self.needs_attention:
            self._was_committed(transaction)

    def _deliver_all(self, records: list[Record]) -> None:
        for record in records:
            if self.state in ("live", "ending"):
                self._deliver(record)
        if self.calls.uses_clock and not self.clock.is_still:
            self._arm()
        if not self.has_moved:
            self.host.run_changed(self.id)
        held = self.journal.last_seq - self.summary.row.folded_seq
        if held > limits.JOURNAL_RECORDS_MAX and self.state == "live":
            self.host.run_parked(self.id, _TOO_LONG)

    def _deliver(self, record: Record) -> None:
        if self.journal.is_replaying:
            self.journal.check(record)
        at = record.at / 1e6
        if at > self.loop.now:
            self.loop.now = at
        if record.kind == "step_done":
            self.steps.deliver_done(record)
        else:
            self._apply(record)
        self.settle()

    def _apply(self, record: Record) -> None:
        match record.kind:
            case "run_closed":
                self._ended()
            case "message_begun" | "message_nested" | "nested_ended":
                self._deliver_of_actor(record)
            case _:
                self.calls.deliver(record)

    # ----------------------------------------------------------------- to rest again
    def settle(self) -> None:
        """Drain to rest; deliver cancellations at each quiet moment; start what was asked for."""
        rounds = 0
        loop, cancelling = self.loop, self.cancellation
        while True:
            loop.drain()
            # No name for the main task: an error that it has caught may hold this frame.
            is_over = self.main is not None and self.main.done() and self._is_over()
            conditions = self.calls.made_conditions
            if conditions is not None and conditions.waiting and conditions.check():
                continue
            if is_over and cancelling.cut_short():
                continue
            if loop.cancels.happened:
                loop.cancels.happened = False
                self.steps.forget_cancelled()
            if not (cancelling.scopes and cancelling.deliver()):
                break
            rounds += 1
            if rounds > limits.CANCEL_ROUNDS_MAX:
                self._swallows(f"its code swallowed the cancellation {counted(rounds - 1, 'time')}")
                return
        if self.state == "live":
            if self.steps.starts and not (self.needs_attention and self.holds_steps):
                self.steps.start_asked()
            if is_over and self.main is not None and not loop.generators.are_closing:
                self._main_ended(self.main)
            elif self.steps.parked is not None:
                self.host.run_parked(self.id, self.steps.parked)
        elif self.state == "ending":
            self._went_on_ending()
        if self.needs_attention:
            self._came_to_rest()

    def _is_over(self) -> bool:
        """Whether nothing beside its main task, which is done, must end first."""
        return True

    def _ended(self) -> None:
        self.leave()
        self.state = "ended"
        self.host.run_closed(self.id)

    def _unwound(self, unwind: Callable[[RunLoop, RunJournal], None]) -> None:
        """Drop what the code still does: while it unwinds nothing of it has an effect."""
        state, self.state = self.state, "left"
        unwind(self.loop, self.journal)
        self.state, self.main = state, None

    def leave(self) -> None:
        """Drop the run from memory: its code unwinds without any effect."""
        self.state = "left"
        self.clock.disarm()
        if self.main is not None and self.main.done() and not self.main.cancelled():
            self.main.exception()  # looked at: asyncio must not call it lost
        close_tasks(self.loop, self.journal)
        self.main = None
        self.journal.let_go()

    # ------------------------------------------------------------ messages and clock
    def accept(self, message: Message) -> None:
        """Append what a message says, once; it is delivered when that is durable."""
        if not self.arrivals.is_new(message.number):
            return
        if self.state == "replaying":
            self.arrivals.keep(message)
        else:
            self._guarded(self._take, message)

    def wake(self) -> None:
        """Do what the clock makes due: timers, retries, the run's timeout, the end of a grace."""
        self.clock.disarm()
        if self.state not in ("live", "ending") or self.journal.has_closed:
            return
        self._guarded(self._wake)
        self._arm()

    def _arm(self) -> None:
        if self.state in ("live", "ending") and not self.journal.has_closed:
            self.clock.arm()
        else:
            self.clock.disarm()

    def _wake(self) -> None:
        now = self.host.world.now()
        ends_at = self.clock.cleanup_ends_at()
        if ends_at is not None and ends_at <= now:
            reason = self.cancellation.reason or "cancelled"
            self.terminate(f"{reason}; its cleanup exceeded the grace time")
            return
        if self.clock.is_timed_out(now):
            self.clock.timeout_at = None  # asked once; after a crash the record tells
            append_cancel(self.journal, now, "the run exceeded its timeout", None, is_timeout=True)
        self.clock.append_due(now)

    def step_ended(self, key: str, value: object, error: BaseException | None, now: int) -> None:
        """Record what a body returned or raised, and that it did so by now."""
        if self.state not in ("live", "ending") or self.journal.has_closed:
            return
        try:
            if error is None:
                self.steps.succeeded(key, value, now)
            else:
                self.steps.failed(key, error, now)
        except BaseException as trouble:  # noqa: BLE001  # as in `_guarded`
            self._cannot_go_on(trouble)

    def operation_issued(self, key: str, place: str) -> None:
        """Note a timer that the code asked for."""
        self.calls.uses_clock = True
        self.journal.issued(key, place)

    @property
    def can_leave(self) -> bool:
        """Whether it only waits, with nothing on its way to the disk."""
        if self.state != "live" or self.journal.in_flight:
            return False
        return not (self.steps.pending and self.steps.are_running)

    def _guarded(self, action: Callable[[Unpack[Ts]], None], *args: *Ts) -> None:
        """Run a piece of the run's life; what cannot go on is parked, never failed."""
        try:
            action(*args)
        except BaseException as error:  # noqa: BLE001  # this run's trouble only
            self._cannot_go_on(error)

    def _cannot_go_on(self, error: BaseException) -> None:
        """Park the run; called where the error was caught."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if isinstance(error, OutlastError):
            # The code and its journal disagree, or a recorded value no longer fits its type.
            if isinstance(error, Unreadable) and _goes_further(self.journal):
                error.was_used()
            self.host.run_parked(self.id, str(error), error)
        elif isinstance(error, Spinning):
            self.host.run_parked(self.id, _SPINS)
        else:
            log.error("run %s cannot continue", self.id, exc_info=error)
            self.host.run_parked(self.id, f"{type(error).__name__}: {error}"[:500])


def replay_from(run: LiveRun, records: list[Record], start: int) -> None:
    """Deliver what earlier lives recorded, in slices, then go live."""
    if run.state != "replaying":
        return
    stop = min(len(records), start + _REPLAY_SLICE)
    run._guarded(run._replay, records[start:stop])
    if stop < len(records):
        run.host.world.call_soon(replay_from, run, records, stop)
    elif run.state == "replaying":
        run._guarded(run._go_live)


def _goes_further(journal: RunJournal) -> bool:
    """Whether what is replayed has an operation that the code has not asked for by now.

    What was on its way to the disk when the run was parked here belongs to operations that the
    code had asked for: anything else shows that in an earlier life it went on from here.
    """
    try:
        for record in journal.records_to_replay():
            journal.check(record)
    except ReplayMismatch:
        return True
    return False
