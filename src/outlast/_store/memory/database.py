"""What a store in memory keeps: plain dictionaries, written one transaction at a time.

This is the model that every other store must agree with.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from outlast import limits
from outlast._records import Record, blob_digest, filled, unpack_records
from outlast._store.contract import Hint, TailRun
from outlast._store.decisions import (
    MAIL_KINDS,
    dead_letter,
    gives_way,
    is_lost_word,
    judge_post,
    life_of,
)
from outlast._store.memory.audit import MemoryAudit
from outlast._store.memory.leases import MemoryLeases
from outlast._store.memory.tokens import MemoryTokens
from outlast._store.rows import (
    DONE,
    JOIN,
    Answer,
    Answered,
    DeadLetter,
    Message,
    PostResult,
    RunRow,
    StreamRow,
)
from outlast._store.transactions import (
    FENCED,
    NO_EFFECTS,
    CommitId,
    CommitResult,
    Effects,
    Receipt,
    Segment,
    Transaction,
)
from outlast.types import CLOSED_STATUSES, RunId


@dataclass(slots=True)
class _Data:
    """What belongs to one run beside its row."""

    segments: list[Segment] = field(default_factory=list[Segment])
    mailbox: list[Message] = field(default_factory=list[Message])
    streams: list[StreamRow] = field(default_factory=list[StreamRow])
    values: dict[str, bytes] = field(default_factory=dict[str, bytes])


class MemoryDatabase:
    """The data itself. `clock` gives microseconds.

    With `is_exclusive` one engine at a time owns it whole, as an SQLite file: the next one takes
    over at once.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        shards_count: int = limits.SHARDS,
        lease_seconds: float = limits.LEASE_SECONDS,
        is_exclusive: bool = False,
    ) -> None:
        self.is_exclusive: bool = is_exclusive
        self.shards_count = shards_count
        self.rows: dict[RunId, RunRow] = {}
        self.log: list[tuple[int, RunId, Record]] = []
        self.blobs: dict[bytes, bytes] = {}
        self.hints: list[Hint] = []
        self.audit: MemoryAudit = MemoryAudit()
        self._data: dict[RunId, _Data] = {}
        self._next_position = 1
        self._next_message = 1
        self.leases: MemoryLeases = MemoryLeases(
            clock=clock,
            shards_count=shards_count,
            lease_seconds=lease_seconds,
            is_exclusive=is_exclusive,
        )
        self.tokens: MemoryTokens = MemoryTokens()
        self._open: dict[RunId, None] = {}
        self._with_mail: dict[RunId, None] = {}
        self._wakes: list[tuple[int, RunId]] = []
        self._dead: dict[int, DeadLetter] = {}
        self._last_commits: dict[str, tuple[int, list[CommitResult]]] = {}

    # ---------------------------------------------------------------- writing
    def apply(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        """Write a batch; this is the moment it becomes durable."""
        living = _in_life(self.rows, batch)
        results = [self.audit.noted(one, self._apply_one(one)) for one in living]
        self._last_commits[commit_id.owner] = (commit_id.number, results)
        return results

    def last_outcome(self, commit_id: CommitId) -> list[CommitResult] | None:
        number, results = self._last_commits.get(commit_id.owner, (0, []))
        return results if number == commit_id.number else None

    def _apply_one(self, transaction: Transaction) -> CommitResult:
        if transaction.lease is not None and not self.leases.holds(transaction.lease):
            return FENCED
        effects = transaction.effects or NO_EFFECTS
        for blob in effects.blobs:
            self.blobs[blob.digest] = blob.body
        first = self._append(transaction.run, transaction.records)
        position = first if transaction.records else 0
        existing: dict[RunId, RunRow] = {}
        for start in effects.starts:
            taken = self.rows.get(start.row.id)
            if taken is not None and not gives_way(taken, start.row, start.reuse):
                existing[start.row.id] = taken
                continue
            self.forget(start.row.id, dead_letters=False)
            first = self._append(start.row.id, start.records)
            self._put_row(msgspec.structs.replace(start.row, started_position=first))
            data = self._data_of(start.row.id)
            data.streams.extend(start.streams)
            data.values.update(start.values)
            for token in start.tokens:
                self.tokens.ask(token)
        for token in effects.tokens:
            self.tokens.ask(token)
        for gone in effects.withdrawn:
            self.tokens.withdraw(gone)
        answers = tuple(self._answer(answer) for answer in effects.answers)
        numbers: list[int] = []
        posts: list[PostResult] = []
        for message in effects.posts:
            posts.append(self._post(message))
            if is_lost_word(message, posts[-1], transaction):
                numbered = msgspec.structs.replace(message, number=self._next_message)
                self._bury([dead_letter(numbered, "stopped", at=message.at)])
                self._next_message += 1
            numbers.append(self._next_message - 1 if posts[-1] == "accepted" else 0)
        self._apply_extras(transaction.run, effects)
        if all(result == "accepted" for result in posts):
            for number in effects.redriven:
                self._dead.pop(number, None)
        if effects.summary is not None:
            self._update_row(effects.summary)
        return Receipt(position, existing, tuple(posts), tuple(numbers), answers)

    def _apply_extras(self, run: RunId, effects: Effects) -> None:
        data = self._data_of(run)
        if effects.consumed:
            gone = set(effects.consumed)
            data.mailbox = [m for m in data.mailbox if m.number not in gone]
            if not data.mailbox:
                self._with_mail.pop(run, None)
        data.segments.extend(effects.segments)
        if effects.folded:
            data.segments = [s for s in data.segments if s.last_seq > effects.folded]
        data.streams.extend(effects.streams)
        for name, value in effects.values:
            if value is None:
                data.values.pop(name, None)
            else:
                data.values[name] = value
        for letter in effects.dead:
            self._bury([letter if letter.number else self._numbered(letter)])

    def _numbered(self, letter: DeadLetter) -> DeadLetter:
        self._next_message += 1
        return msgspec.structs.replace(letter, number=self._next_message - 1)

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        self._dead.update({letter.number: letter for letter in letters})

    def _append(self, run: RunId, records: Sequence[Record]) -> int:
        first = self._next_position
        for record in records:
            self.log.append((self._next_position, run, record))
            self._next_position += 1
        return first

    def _update_row(self, summary: RunRow) -> None:
        current = self.rows.get(summary.id)
        if current is None:
            return
        row = msgspec.structs.replace(summary, started_position=current.started_position)
        self._put_row(row)
        if row.status in CLOSED_STATUSES:
            self.tokens.close_run(row.id)
            data = self._data_of(row.id)
            lost = [m for m in data.mailbox if m.name != JOIN and m.kind in MAIL_KINDS]
            self._bury([dead_letter(m, "closed", at=m.at) for m in lost])
            data.mailbox = [m for m in data.mailbox if m.name == JOIN]
            if not data.mailbox:
                self._with_mail.pop(row.id, None)

    def _put_row(self, row: RunRow) -> None:
        self.rows[row.id] = row
        if row.status in CLOSED_STATUSES:
            self._open.pop(row.id, None)
        else:
            self._open[row.id] = None
            if not row.resident and row.wake_at is not None:
                insort(self._wakes, (row.wake_at, row.id))

    def _post(self, message: Message) -> PostResult:
        row = self.rows.get(message.run)
        data = self._data_of(message.run) if row is not None else _Data()
        same = next((m for m in data.mailbox if message.dedup and m.dedup == message.dedup), None)
        status, is_done = (None if row is None else row.status), self._is_done(message)
        waiting, held = len(data.mailbox), _signal_bytes(data, message)
        result = judge_post(message, status, waiting, same, is_done=is_done, signal_bytes=held)
        if result == "accepted":
            data.mailbox.append(msgspec.structs.replace(message, number=self._next_message))
            self._next_message += 1
            self._with_mail[message.run] = None
        return result

    def _answer(self, answer: Answer) -> Answered:
        answered = self.tokens.answer(answer)
        if answered.result == "accepted" and self._post(answer.message) == "accepted":
            return msgspec.structs.replace(answered, number=self._next_message - 1)
        return answered

    def _is_done(self, message: Message) -> bool:
        return bool(message.dedup) and DONE + message.dedup in self.values(message.run, DONE)

    # ---------------------------------------------------------------- reading
    def journal(self, run: RunId, after: int) -> list[Record]:
        row = self.rows.get(run)
        if row is None:
            return []
        records: list[Record] = []
        for segment in self._data_of(run).segments:
            if segment.last_seq > after:
                records.extend(r for r in unpack_records(segment.body) if r.seq > after)
        for position, owner, record in self.log:
            is_live = position >= row.started_position and record.seq > row.packed_seq
            if owner == run and is_live and record.seq > after:
                records.append(record)
        return [self._fill(record) for record in records]

    def tail(self, shards: Collection[int]) -> dict[RunId, TailRun]:
        tails: dict[RunId, TailRun] = {}
        for position, run, record in self.log:
            row = self.rows.get(run)
            if row is None or run not in self._open or row.shard not in shards:
                continue
            if position < row.started_position or record.seq <= row.packed_seq:
                continue
            tail = tails.setdefault(run, TailRun([], position))
            tail.records.append(self._fill(record))
        return tails

    def _fill(self, record: Record) -> Record:
        digest = blob_digest(record.body)
        if digest is None:
            return record
        return msgspec.structs.replace(record, body=filled(record.body, self.blobs[digest]))

    def open_rows(self, shards: Collection[int]) -> list[RunRow]:
        rows = [self.rows[run] for run in self._open]
        return [row for row in rows if row.shard in shards]

    def due(self, shards: Collection[int], now: int, limit: int) -> list[RunRow]:
        self._drop_stale_wakes()
        found: list[RunRow] = []
        for at, run in self._wakes:
            if at > now or len(found) == limit:
                break
            if not self._is_wake(at, run):
                continue  # it wakes at another time, or it was deleted
            row = self.rows[run]
            if row.shard in shards and row not in found:
                found.append(row)
        return found

    def first_wake(self, shards: Collection[int], after: int) -> int | None:
        self._drop_stale_wakes()
        wakes = (
            at
            for at, run in self._wakes
            if at > after and self._is_wake(at, run) and self.rows[run].shard in shards
        )
        return next(wakes, None)

    def _drop_stale_wakes(self) -> None:
        while self._wakes and not self._is_wake(*self._wakes[0]):
            self._wakes.pop(0)

    def _is_wake(self, at: int, run: RunId) -> bool:
        row = self.rows.get(run)
        return (
            row is not None
            and not row.resident
            and row.wake_at == at
            and row.status not in CLOSED_STATUSES
        )

    def mail_of(self, run: RunId, limit: int, after: int = 0) -> list[Message]:
        mail = self._data_of(run).mailbox if run in self.rows else []
        first = bisect_right(mail, after, key=lambda m: m.number)
        return mail[first : first + limit]

    def mailed(self, shards: Collection[int], limit: int, after: RunId | None) -> list[RunId]:
        runs = (r for r in self._with_mail if self.rows[r].shard in shards)
        return sorted(r for r in runs if after is None or r > after)[:limit]

    def streams(self, run: RunId) -> list[StreamRow]:
        return self._data_of(run).streams if run in self.rows else []

    def values(self, run: RunId, prefix: str) -> dict[str, bytes]:
        values = self._data_of(run).values if run in self.rows else {}
        return {name: values[name] for name in sorted(values) if name.startswith(prefix)}

    def dead(self, run: RunId | None, after: int, limit: int) -> list[DeadLetter]:
        found = [d for n, d in sorted(self._dead.items()) if n > after and run in (None, d.run)]
        return found[:limit]

    # ------------------------------------------------------------ maintenance
    def truncate(self, limit: int) -> int:
        count = 0
        for position, run, record in self.log[:limit]:
            row = self.rows.get(run)
            is_live = row is not None and run in self._open and position >= row.started_position
            if is_live and row is not None and record.seq > row.packed_seq:
                break
            count += 1
        del self.log[:count]
        return count

    def prune(self, closed_before: int, limit: int) -> int:
        old = [
            row.id for row in self.rows.values() if (row.closed_at or closed_before) < closed_before
        ][:limit]
        for run in old:
            self.forget(run)
        return len(old)

    def forget(self, run: RunId, *, dead_letters: bool = True) -> None:
        """Delete a run and all it owns, but for its dead letters if these are to stay."""
        self.rows.pop(run, None)
        self._data.pop(run, None)
        self.tokens.forget_run(run)
        if dead_letters:
            self._dead = {n: d for n, d in self._dead.items() if d.run != run}
        self._open.pop(run, None)
        self._with_mail.pop(run, None)

    def _data_of(self, run: RunId) -> _Data:
        data = self._data.get(run)
        if data is None:
            data = self._data[run] = _Data()
        return data


def _signal_bytes(data: _Data, message: Message) -> int:
    """Return how much the signals of a mailbox hold, which counts for another signal."""
    if message.kind != "signal":
        return 0
    return sum(len(waiting.body) for waiting in data.mailbox if waiting.kind == "signal")


def _in_life(rows: Mapping[RunId, RunRow], batch: Sequence[Transaction]) -> Iterator[Transaction]:
    """Iterate over a batch as it is written; nothing is to a run that was started anew."""
    for one in batch:
        life = "" if one.effects is None else one.effects.of_life
        row = rows.get(one.run) if life else None
        is_of_life = not life or (row is not None and life_of(row) == life)
        yield one if is_of_life else Transaction(None, one.run, [])
