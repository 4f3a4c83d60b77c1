"""Bugs planted by hand, to prove that the simulation would find them.

Each is a patch of one place of the engine; `find` runs seeds until one of them fails.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import msgspec

from outlast._actors.leading import Member, Team
from outlast._codec import Adapter
from outlast._engine.recovery import Reconciler
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.verbs.messages import Messages
from outlast._execution.actors.actor_ends import MessageEnds
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.cancellation import Cancellation
from outlast._execution.calls.clock import RunClock
from outlast._execution.calls.inbox import Inbox
from outlast._execution.calls.steps import StepCalls
from outlast._execution.journal.view import RunJournal
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.run_summary import RunSummary
from outlast._journal.writer import Writer, _Entry
from outlast._messages.letters import Letter
from outlast._messages.system_messages import Assignment
from outlast._records import Record
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.leases import MemoryLeases
from outlast._store.rows import DeadLetter, Message, ParkedAs, PostResult
from outlast._store.transactions import CommitId, CommitResult, Receipt, Transaction
from outlast.types import Lease, Status
from tests.simulation.actors import run_actor_seed
from tests.simulation.cells import run_cell_seed
from tests.simulation.invariants import Violated
from tests.simulation.scenario import run_seed
from tests.simulation.teams import run_team_seed

SEEDS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Planted:
    """One bug: what it is, where, and what stands there instead; `first` is the first seed tried.

    Some seeds find a bug by going round in circles, which takes a minute until it is noticed; some
    bugs take hundreds of seeds to find. Where a change of the engine moves them, those behind
    `first` are tried. Run as a program, this prints which seed finds each.
    """

    name: str
    holder: type[object]
    attribute: str
    replacement: Callable[..., object]
    run: Callable[[int], object] = run_seed
    first: int = 0

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Let the engine have the bug."""
        with mock.patch.object(self.holder, self.attribute, self.replacement):
            yield

    def find(self, count: int = SEEDS_MAX) -> tuple[int, str] | None:
        """Return the first seed that fails under the bug, and how; None when none does."""
        with self.in_place():
            for seed in range(self.first, self.first + count):
                try:
                    self.run(seed)
                except Violated as violated:
                    return seed, str(violated).splitlines()[0]
                except Exception as error:  # noqa: BLE001  # a bug breaks things its own way
                    return seed, f"{type(error).__name__}: {error}"
        return None


def _acknowledge_first(self: Writer, batch: list[_Entry]) -> None:
    # Success is handed out at once; the commit goes on behind everybody's back.
    transactions = [entry.transaction for entry in batch]
    self._store.commit(CommitId(self._owner, next(self._numbers)), transactions)
    results: list[CommitResult] = [
        Receipt(
            posts=tuple(_accepted() for _ in t.also.posts), numbers=tuple(range(len(t.also.posts)))
        )
        for t in transactions
    ]
    self._world.call_soon(self._made, batch, results)


def _accepted() -> PostResult:
    return "accepted"


async def _commit_again(self: Writer, commit_id: CommitId) -> list[CommitResult] | None:
    return None  # the reply was lost, so the commit is taken for not made


async def _look_at_own_shards(self: Reconciler) -> None:
    await self._recovery.wake_due()


def _any_epoch(self: MemoryLeases, lease: Lease) -> bool:
    return True


def _arm_nothing(self: RunClock) -> None:
    return None


_deliver_cancellation = Cancellation.deliver


def _cancel_once(self: Cancellation) -> bool:
    happened = _deliver_cancellation(self)
    self.scopes.clear()
    return happened


_deliver_attempt = StepCalls.deliver_attempt


def _forget_attempts(self: StepCalls, record: Record) -> None:
    _deliver_attempt(self, record)
    operation = self.pending.get(record.key)
    if operation is not None and self._journal.is_replaying:
        operation.attempt = 0


_deliver_signal = Inbox.deliver


def _forget_dedups(self: Inbox, record: Record) -> None:
    _deliver_signal(self, record)
    self.dedups.clear()


def _drop_child_ends(self: Scheduler, message: Message, number: int) -> None:
    live = self.residents.get(message.run)
    if live is not None and message.kind == "child_done":
        live.journal.transaction().also.consumed = (number,)
    else:
        self.parts.messages.has_mail(message.run)


def _hand_over_itself(self: Adapter, value: object) -> tuple[bytes, object]:
    return self.encode(value), value


def _clock_of_the_wall(self: LiveRun, record: Record) -> None:
    self.journal.check(record)
    self.loop.now = max(self.loop.now, self.host.world.now() / 1e6)
    self._apply(record)
    self.settle()


def _overwrite_the_end(
    self: RunSummary,
    status: Status,
    *,
    resident: bool = True,
    waiting_for: str = "",
    parked_as: ParkedAs = "",
) -> None:
    if not resident:
        self._pack()
    self._journal.transaction().also.summary = self._summary(
        status,
        resident=resident,
        wake_at=self._clock.next_wake(),
        waiting_for=waiting_for,
        parked_as=parked_as,
    )


def _sleep_on(self: RunJournal) -> None:
    return None


def _answer_first(
    self: MessageEnds, transaction: Transaction, message: Message, outcome: bytes
) -> None:
    self._host.answered(message, outcome)


def _not_done(self: MemoryDatabase, message: Message) -> bool:
    return False


def _bury_none(self: MemoryDatabase, letters: Sequence[DeadLetter]) -> None:
    return None


def _add_in_reverse(self: Mailbox, message: Message, letter: Letter, now: int) -> None:
    # Newest first among what waits together, as with a stack.
    heapq.heappush(self.ready, (-letter.priority, -message.number, message, letter))


async def _read_two(self: Messages, live: LiveRun) -> None:
    for message in await self._store.read_mailbox(live.id, 2):
        live.accept(message)


def _fall_silently(
    self: Membership, transaction: Transaction, why: str, at: int, *, is_again: bool = False
) -> None:
    place = self.place
    if place is not None and not place.down:
        self.take_place(transaction, msgspec.structs.replace(place, down="failed", why=why))


def _find_in_any_life(self: Team, target: str, life: int) -> Member | None:
    return next((m for m in self.members if m.spec.target == target), None)


def _obey_anyone(self: Assignment, supervisor: str) -> bool:
    return True


PLANTED = (
    Planted("acknowledge before the commit", Writer, "_send", _acknowledge_first, first=2),
    Planted("commit again when the reply was lost", Writer, "_resolve", _commit_again),
    Planted("no epoch check", MemoryLeases, "holds", _any_epoch),
    Planted("recovery once only", Reconciler, "look", _look_at_own_shards),
    Planted("a lost wake-up: timers are not armed", RunClock, "arm", _arm_nothing),
    Planted("a swallowed cancellation is lost", Cancellation, "deliver", _cancel_once),
    Planted("retries begin again after a crash", StepCalls, "deliver_attempt", _forget_attempts),
    Planted("dedup keys are forgotten", Inbox, "deliver", _forget_dedups),
    Planted("a child's end is lost", Scheduler, "deliver", _drop_child_ends),
    Planted("live values are not decoded", Adapter, "roundtrip", _hand_over_itself),
    Planted("logical time is the wall clock", LiveRun, "_deliver", _clock_of_the_wall),
    Planted("a summary overwrites the end", RunSummary, "write", _overwrite_the_end, first=5_397),
    Planted("a woken run's row says it sleeps", RunJournal, "fall_asleep", _sleep_on, first=5_397),
    Planted(
        "an answer before its commit", MessageEnds, "_answer", _answer_first, run_cell_seed, 201
    ),
    Planted("a message is applied again", MemoryDatabase, "_is_done", _not_done, run_cell_seed),
    Planted("a mailbox is read in part", Messages, "read_mail", _read_two, run_cell_seed),
    Planted(
        "the earlier outcome of a message is ignored",
        MemoryDatabase,
        "_is_done",
        _not_done,
        run_actor_seed,
    ),
    Planted(
        "a stopped actor's mailbox is lost", MemoryDatabase, "_bury", _bury_none, run_actor_seed
    ),
    Planted("a mailbox is a stack", Mailbox, "add", _add_in_reverse, run_actor_seed),
    Planted(
        "a member's failure is not reported", Membership, "fall", _fall_silently, run_team_seed, 341
    ),
    Planted("news of an earlier life counts", Team, "find", _find_in_any_life, run_team_seed, 22),
    Planted("a member obeys any team", Assignment, "is_led_by", _obey_anyone, run_team_seed),
)


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    for planted in PLANTED:
        print(f"{planted.name}: {planted.find()}", flush=True)
