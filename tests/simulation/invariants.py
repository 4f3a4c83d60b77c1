"""What must hold whatever goes wrong: looked at on every commit, and at the end."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from outlast import limits
from outlast._execution.bodies.body import Body
from outlast._execution.calls.operations import SignalBody, decode_body
from outlast._records import Record
from outlast._store.memory.database import MemoryDatabase
from outlast._store.transactions import Transaction
from outlast.testing.machines import Machine, Yard
from outlast.types import CLOSED_STATUSES, RunId, Status


class Violated(AssertionError):
    """An invariant does not hold."""


def require(holds: object, what: str) -> None:
    """Raise `Violated` unless it holds."""
    if not holds:
        raise Violated(what)


@dataclass(slots=True)
class Observer:
    """Watches the disk and the bodies from outside the engine."""

    yard: Yard
    closed: dict[RunId, tuple[Status, bytes | None]] = field(
        default_factory=dict[RunId, tuple[Status, bytes | None]]
    )
    recorded: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    violations: list[str] = field(default_factory=list[str])
    fenced_seen: int = 0

    def committed(self, machine: Machine, batch: Sequence[Transaction]) -> None:
        """Look at what has just become durable."""
        rows = self.yard.database.rows
        for transaction in batch:
            self._check_bounds(transaction)
            row = rows.get(transaction.run)
            if row is not None and row.status in CLOSED_STATUSES:
                end = (row.status, row.output)
                if self.closed.setdefault(row.id, end) != end:
                    self.violations.append(f"I2: the outcome of {row.id} changed")
            for record in transaction.records:
                if record.kind == "step_done":
                    self.recorded.add((transaction.run, record.key))

    def _check_bounds(self, transaction: Transaction) -> None:
        """I10: no more messages wait for a run than may."""
        for message in transaction.also.posts:
            mail = self.yard.database.mail_of(message.run, 1_000_000)
            waiting = sum(1 for m in mail if m.kind == "signal")
            if waiting > limits.SIGNALS_BUFFERED_MAX:
                self.violations.append(f"I10: {waiting} messages wait for {message.run}")
        for machine in self.yard.machines:
            live = machine.core and machine.core.scheduler.residents.get(transaction.run)
            # What was in the mailbox may come on top of what was delivered.
            if live and live.calls.inbox.held > 2 * limits.SIGNALS_BUFFERED_MAX:
                self.violations.append(
                    f"I10: {live.id} holds {live.calls.inbox.held} unread messages"
                )

    def body_started(self, body: Body) -> None:
        """I4: what is recorded and owned is never executed again."""
        self.yard.executions.count(body)
        if (body.run, body.key) not in self.recorded:
            return
        row = self.yard.database.rows.get(body.run)
        if row is None or body.fence != self.yard.database.leases.epoch_of(row.shard):
            return  # a machine that lost its lease: two may execute for a while, never two write
        # What an actor's messages left behind before `folded_seq` is over: a message that failed
        # is handled again from its beginning.
        records = self.yard.database.journal(body.run, row.folded_seq)
        if any(r.key == body.key and r.kind == "step_done" for r in records):
            self.violations.append(f"I4: {body.run} {body.key} ran again after its record")


def journal_of(database: MemoryDatabase, run: RunId) -> list[Record]:
    """Return a run's records, straight from the disk."""
    return database.journal(run, 0)


def check_journal(run: RunId, records: list[Record]) -> None:
    """I3: no gap, nothing goes back, one outcome per step and one end."""
    require(records, f"I1: the run {run} has no journal")
    seqs = [r.seq for r in records]
    require(seqs == list(range(1, len(records) + 1)), f"I3: {run} has gaps or doubles: {seqs}")
    for before, after in itertools.pairwise(records):
        require(before.epoch <= after.epoch, f"I3: the epoch of {run} goes back")
        require(before.at <= after.at, f"I3: the clock of {run} goes back")
    done = [r.key for r in records if r.kind in ("step_done", "timer_fired", "child_done")]
    require(len(done) == len(set(done)), f"I3: {run} has an operation with two outcomes")
    ends = [r for r in records if r.kind == "run_closed"]
    require(len(ends) <= 1, f"I2: {run} has {len(ends)} ends")
    require(not ends or records[-1] is ends[0], f"I3: {run} has records after its end")
    attempts: dict[str, int] = {}
    for record in records:
        if record.kind == "attempt_failed":
            expected = attempts.get(record.key, 0) + 1
            require(record.attempt == expected, f"I4: {run} lost count of the attempts")
            attempts[record.key] = expected


def signals_in(records: list[Record]) -> list[tuple[str, str]]:
    """Return (name, dedup) of the signals in a journal, in order."""
    return [(r.name, decode_body(r.body, SignalBody).dedup) for r in records if r.kind == "signal"]
