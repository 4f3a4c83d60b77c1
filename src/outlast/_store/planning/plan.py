"""One commit, planned: what a batch of transactions does to the tables, and what became of each.

Nothing here reads or writes. A store looks up the facts, has the batch planned, and writes what the
plan says; so every store that keeps tables decides alike. Transactions are taken one after another,
as the model in memory does; what they write is collected by table.

Invariants:
  * the tables after a plan is written are those that the transactions one by one would have left;
  * a run that replaces another is written in a stage after everything before it, and its
    predecessor is deleted in between: nothing of the old one can be taken for the new one's;
  * nothing is planned for a transaction whose lease is not the one that is held.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlast._records import Blob, Record, blob_digest
from outlast._store.decisions import dead_letter, gives_way, is_lost_word, life_of
from outlast._store.planning.facts import Facts
from outlast._store.planning.mail import PlannedMail, PlannedTokens
from outlast._store.rows import (
    Answer,
    Answered,
    DeadLetter,
    Message,
    PostResult,
    RunRow,
    StreamRow,
    TokenRow,
)
from outlast._store.transactions import (
    FENCED,
    CommitResult,
    Effects,
    Receipt,
    Segment,
    StartRun,
    Transaction,
)
from outlast.types import CLOSED_STATUSES, Lease, RunId


class Counters(msgspec.Struct, frozen=True):
    """The last numbers given in a shard: the log position of a record, the number of a message."""

    position: int
    message: int


class Stage(msgspec.Struct):
    """What is written together, in the order of these fields.

    Attributes:
        forgotten: a run that is deleted with all it owns, before anything else.
        records: a run, the log position of the first one, and its records.
        rows: new runs.
        summaries: rows of runs that are there; what never changes in them is not looked at.
        folded: the segments of a run up to this `seq` go.
        values: None: it is forgotten.
        redriven: numbers of dead letters that go.
        closed: runs that have ended: their open tokens close, their mail becomes dead letters.
        released: blobs that a run needs no more.
    """

    forgotten: RunId | None = None
    records: list[tuple[RunId, int, Sequence[Record]]] = []
    has_more: bool = False  # than records: most have not
    blobs: list[Blob] = []
    blob_refs: list[tuple[RunId, bytes]] = []
    rows: dict[RunId, RunRow] = {}
    summaries: dict[RunId, RunRow] = {}
    segments: list[Segment] = []
    folded: dict[RunId, int] = {}
    posts: list[Message] = []
    consumed: list[tuple[int, RunId]] = []
    streams: list[StreamRow] = []
    values: dict[tuple[RunId, str], bytes | None] = {}
    redriven: list[int] = []
    dead: list[DeadLetter] = []
    tokens: Sequence[TokenRow] = ()
    closed: dict[RunId, None] = {}
    released: tuple[RunId, Sequence[bytes]] | None = None


class Plan(msgspec.Struct, frozen=True):
    """What to write, what became of each transaction, and the last numbers that were given."""

    stages: Sequence[Stage]
    results: list[CommitResult]
    counters: Counters


def plan_batch(
    batch: Sequence[Transaction], facts: Facts | None, held: Lease, counters: Counters
) -> Plan:
    """Plan a batch for a shard whose lease is held; the facts are what its questions asked."""
    planner = _Planner(facts, counters)
    results: list[CommitResult] = []
    owner, epoch, shard = held.owner, held.epoch, held.shard
    good = None
    append = results.append
    for transaction in batch:
        lease = transaction.lease
        if lease is not None and lease is not good:
            if lease.owner != owner or lease.epoch != epoch or lease.shard != shard:
                append(FENCED)
                continue
            good = lease
        effects = transaction.effects
        if effects is not None and effects.of_life and not planner.is_of_life(transaction):
            append(Receipt())  # its run was started anew
            continue
        first = planner.append(transaction.run, transaction.records) if transaction.records else 0
        if effects is None:
            append(Receipt(first))
        else:
            append(planner.take(transaction, effects, first))
    return planner.plan(results)


class _Planner:
    def __init__(self, facts: Facts | None, counters: Counters) -> None:
        self._position = counters.position
        self._message = counters.message
        self._stage = Stage()
        self._stages = [self._stage]
        self._facts = facts
        self._is_prepared = False

    def _prepare(self) -> None:
        """Make room for more than records: most commits have nothing else."""
        self._is_prepared = True
        facts = self._facts or Facts()
        self._mail = PlannedMail(facts)
        self._tokens = PlannedTokens(facts)
        self._taken = dict(facts.rows)
        self._status = dict(facts.statuses)
        self._lives = dict(facts.lives)

    def plan(self, results: list[CommitResult]) -> Plan:
        """Return what was planned."""
        if self._is_prepared:
            self._stage.tokens = self._tokens.take_changed()
        return Plan(self._stages, results, Counters(self._position, self._message))

    def _next_stage(self, forgotten: RunId | None) -> None:
        self._stage.tokens = self._tokens.take_changed()
        self._stage = Stage(forgotten=forgotten, has_more=True)
        self._stages.append(self._stage)

    def append(self, run: RunId, records: Sequence[Record]) -> int:
        """Give records their positions in the log; return the first one."""
        first = self._position + 1
        self._position += len(records)
        self._stage.records.append((run, first, records))
        return first

    def is_of_life(self, transaction: Transaction) -> bool:
        """Whether a run was not started anew, in this batch or before."""
        if not self._is_prepared:
            self._prepare()
        return self._lives.get(transaction.run) == transaction.also.of_life

    def take(self, transaction: Transaction, effects: Effects, first: int) -> Receipt:
        """Take what a transaction has beside its records, in the order of the model."""
        if not self._is_prepared:
            self._prepare()
        self._stage.has_more = True
        run = transaction.run
        existing: dict[RunId, RunRow] = {}
        for start in effects.starts:
            taken = self._start(start)
            if taken is not None:
                existing[start.row.id] = taken
        if effects.blobs:
            self._keep_blobs(run, effects)
        if effects.released:
            self._stage.released = run, effects.released
            self._next_stage(None)
        for token in effects.tokens:
            self._tokens.ask(token)
        for gone in effects.withdrawn:
            self._tokens.withdraw(gone)
        answers = tuple(self._answer(answer) for answer in effects.answers)
        posts: list[PostResult] = []
        numbers: list[int] = []
        for message in effects.posts:
            result = self._post(message)
            if is_lost_word(message, result, transaction):
                self._bury(dead_letter(message, "stopped", at=message.at))
            posts.append(result)
            numbers.append(self._message if result == "accepted" else 0)
        stage = self._stage
        for number in effects.consumed:
            stage.consumed.append((number, run))
            self._mail.take(run, number)
        if effects.folded:
            stage.folded[run] = effects.folded
        stage.segments += effects.segments
        stage.streams += effects.streams
        for name, value in effects.values:
            stage.values[run, name] = value
            self._mail.note_value(run, name, is_there=value is not None)
        for letter in effects.dead:
            self._bury(letter)
        if effects.redriven and all(result == "accepted" for result in posts):
            stage.redriven += effects.redriven
        if effects.summary is not None:
            self._summarise(effects.summary)
        return Receipt(first, existing, tuple(posts), tuple(numbers), answers)

    def _start(self, start: StartRun) -> RunRow | None:
        """Create a run, or return the one that has its id."""
        run = start.row.id
        taken = self._taken.get(run)
        if taken is not None:
            if not gives_way(taken, start.row, start.reuse):
                return taken
            self._next_stage(run)
            self._tokens.forget_run(run)
        row = msgspec.structs.replace(start.row, started_position=self.append(run, start.records))
        stage = self._stage
        stage.rows[run] = self._taken[run] = row
        self._status[run] = row.status
        self._lives[run] = life_of(row)
        stage.streams += start.streams
        stage.values.update(((run, name), value) for name, value in start.values)
        for token in start.tokens:
            self._tokens.ask(token)
        return None

    def _keep_blobs(self, run: RunId, effects: Effects) -> None:
        stage = self._stage
        for blob in effects.blobs:
            stage.blobs.append(blob)
            stage.blob_refs.append((run, blob.digest))
        # A child's input travels with its parent's transaction, and must outlive the parent.
        for start in effects.starts:
            for record in start.records:
                digest = blob_digest(record.body)
                if digest is not None:
                    stage.blob_refs.append((start.row.id, digest))

    def _post(self, message: Message) -> PostResult:
        result = self._mail.judge(message, self._status.get(message.run))
        if result == "accepted":
            self._message += 1
            numbered = msgspec.structs.replace(message, number=self._message)
            self._mail.add(numbered)
            self._stage.posts.append(numbered)
        return result

    def _answer(self, answer: Answer) -> Answered:
        """Take an answer if it is the first; only then is its message posted."""
        answered = self._tokens.answer(answer)
        if answered.result == "accepted" and self._post(answer.message) == "accepted":
            return msgspec.structs.replace(answered, number=self._message)
        return answered

    def _bury(self, letter: DeadLetter) -> None:
        self._message += not letter.number
        number = letter.number or self._message
        self._stage.dead.append(msgspec.structs.replace(letter, number=number))

    def _summarise(self, summary: RunRow) -> None:
        run, stage = summary.id, self._stage
        new = stage.rows.get(run)
        if new is not None:
            summary = msgspec.structs.replace(summary, started_position=new.started_position)
            stage.rows[run] = summary
        else:
            stage.summaries[run] = summary
        if run in self._status:
            self._status[run] = summary.status
        taken = self._taken.get(run)
        if taken is not None:
            self._taken[run] = msgspec.structs.replace(
                summary, started_position=taken.started_position
            )
        if summary.status in CLOSED_STATUSES:
            stage.closed[run] = None
            self._mail.close_run(run)
            self._tokens.close_run(run)
