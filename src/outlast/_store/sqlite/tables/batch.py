"""One commit: what a batch of transactions does to the tables.

Transactions are taken one after another, as the model in memory does; what they write is
collected and written by table at the end. The few things that depend on what is in the tables
(is the id taken, is the mailbox full) are read for the whole batch at once, and kept up to date
here while the batch goes on.

Invariants:
  * the tables after `write` are those that the transactions one by one would have left;
  * a run that replaces another is written after everything before it, and its predecessor is
    deleted in between: nothing of the old one can be taken for the new one's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from zlib import crc32

import msgspec
from msgspec.structs import astuple

from outlast._records import blob_digest
from outlast._store.contract import (
    DONE,
    FENCED,
    JOIN,
    Answer,
    Answered,
    CommitResult,
    DeadLetter,
    Message,
    PostResult,
    Receipt,
    RunRow,
    StartRun,
    Transaction,
)
from outlast._store.decisions import (
    MAIL_KINDS,
    dead_letter,
    gives_way,
    is_lost_word,
    judge_post,
    life_of,
)
from outlast._store.sqlite.connection import Cell, Connection, texts
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables import rows
from outlast._store.sqlite.tables.audit import write_audit
from outlast._store.sqlite.tables.columns import fetch, is_whole, sealed
from outlast._store.sqlite.tables.forget import forget, release
from outlast._store.sqlite.tables.tokens import TokenBatch
from outlast.types import CLOSED_STATUSES, RunId

_encode = msgspec.msgpack.Encoder().encode


class Shard(msgspec.Struct, frozen=True):
    """The row of the one shard: its owner, and the last numbers given to what is stored."""

    owner: str
    epoch: int
    position: int
    message: int
    commits: int


class Batch:
    """A batch on its way into the tables; used once, inside a transaction of the caller's."""

    def __init__(self, db: Connection, shard: Shard) -> None:
        self._db = db
        self._owner = shard.owner
        self._epoch = shard.epoch
        self.position = shard.position
        self.message = shard.message
        self.number = shard.commits + 1  # of this commit
        self._lines: list[Cell] = []
        self._has_extras = self._is_prepared = False

    def _prepare(self) -> None:
        """Make room for more than records: most commits have nothing else."""
        self._is_prepared = True
        self._mail = _Mail(self._db)
        self._tokens = TokenBatch()
        self._taken: dict[RunId, RunRow] = {}
        self._status: dict[RunId, str] = {}
        self._clear()

    def _clear(self) -> None:
        self._new: dict[RunId, RunRow] = {}
        self._summaries: dict[RunId, RunRow] = {}
        self._closed: dict[RunId, None] = {}
        self._segments: list[Cell] = []
        self._folded: dict[RunId, int] = {}
        self._posted: list[Cell] = []
        self._consumed: list[Cell] = []
        self._streams: list[Cell] = []
        self._values: dict[tuple[RunId, str], bytes | None] = {}
        self._dead: list[Cell] = []
        self._redriven: list[int] = []
        self._blobs: list[Cell] = []
        self._blob_refs: list[Cell] = []
        self._has_extras = False

    def write(self, batch: Sequence[Transaction]) -> list[CommitResult]:
        """Write all of it, and return what became of each transaction."""
        for t in batch:
            if t.starts or t.posts or t.answers or t.tokens or t.withdrawn or t.of_life:
                self._prepare()
                self._look_up(batch)
                break
        results: list[CommitResult] = []
        owner, epoch, number = self._owner, self._epoch, self.number
        good = None
        append, line, seal = results.append, self._lines.extend, self._lines.append
        for transaction in batch:
            lease = transaction.lease
            if lease is not None and lease is not good:
                if lease.owner != owner or lease.epoch != epoch or lease.shard != 0:
                    append(FENCED)
                    continue
                good = lease
            if transaction.of_life and not _is_of_life(self._db, self._new, transaction):
                append(Receipt())  # its run was started anew
                continue
            first = 0
            if transaction.records:
                run = transaction.run
                position = self.position
                first = position + 1
                for r in transaction.records:
                    position += 1
                    # As `sealed` does it, without a call.
                    cells = (position, run, r.seq, r.kind, r.key, r.name, r.at, r.epoch,
                             r.attempt, r.place, r.body, r.waited, r.took, number)  # fmt: skip
                    line(cells)
                    seal(crc32(_encode(cells)))
                self.position = position
            if (
                transaction.summary is None
                and not transaction.posts
                and not transaction.starts
                and not transaction.consumed
                and not transaction.values
                and not transaction.tokens
                and not transaction.withdrawn
                and not transaction.answers
                and not transaction.dead
                and not transaction.redriven
                and not transaction.streams
                and not transaction.blobs
                and not transaction.segments
            ):
                append(Receipt(first))
            else:
                append(self._take(transaction, first))
        self._flush()
        write_audit(self._db, batch, results)
        return results

    # ------------------------------------------------------------------ one transaction
    def _take(self, transaction: Transaction, first: int) -> Receipt:
        """Take what a transaction has beside its records, in the order of the model."""
        if not self._is_prepared:
            self._prepare()
        self._has_extras = True
        existing: dict[RunId, RunRow] = {}
        for start in transaction.starts:
            taken = self._start(start)
            if taken is not None:
                existing[start.row.id] = taken
        if transaction.blobs:
            self._keep_blobs(transaction)
        if transaction.released:
            self._flush()
            self._has_extras = True
            release(self._db, transaction.run, transaction.released)
        self._tokens.take(transaction)
        answers = tuple(self._answer(answer) for answer in transaction.answers)
        posts: list[PostResult] = []
        numbers: list[int] = []
        for message in transaction.posts:
            result = self._post(message)
            if is_lost_word(message, result, transaction):
                self._bury(dead_letter(message, "stopped", at=message.at))
            posts.append(result)
            numbers.append(self.message if result == "accepted" else 0)
        run = transaction.run
        for number in transaction.consumed:
            self._consumed += (number, run)
            self._mail.take(run, number)
        if transaction.folded:
            self._folded[run] = transaction.folded
        for segment in transaction.segments:
            self._segments += rows.segment_cells(segment)
        for written in transaction.streams:
            self._streams += sealed(astuple(written))
        for name, value in transaction.values:
            self._values[run, name] = value
            self._mail.note_value(run, name, is_there=value is not None)
        for letter in transaction.dead:
            self._bury(letter)
        if all(result == "accepted" for result in posts):
            self._redriven += transaction.redriven
        if transaction.summary is not None:
            self._summarise(transaction.summary)
        return Receipt(first, existing, tuple(posts), tuple(numbers), answers)

    def _start(self, start: StartRun) -> RunRow | None:
        """Create a run, or return the one that has its id."""
        run = start.row.id
        taken = self._taken.get(run)
        if taken is not None:
            if not gives_way(taken, start.row, start.reuse):
                return taken
            has_extras = self._has_extras
            self._flush()
            self._has_extras = has_extras
            forget(self._db, [run], dead_letters=False)
            self._tokens.forget_run(run)
        first = self.position + 1
        for r in start.records:
            self.position += 1
            self._lines += sealed((self.position, run, *astuple(r), self.number))
        row = msgspec.structs.replace(start.row, started_position=first)
        self._new[run] = self._taken[run] = row
        self._status[run] = row.status
        for written in start.streams:
            self._streams += sealed(astuple(written))
        self._values.update(((run, name), value) for name, value in start.values)
        for token in start.tokens:
            self._tokens.ask(token)
        return None

    def _keep_blobs(self, transaction: Transaction) -> None:
        run = transaction.run
        for blob in transaction.blobs:
            self._blobs += (blob.digest, blob.body)
            self._blob_refs += sealed((run, blob.digest))
        # A child's input travels with its parent's transaction, and must outlive the parent.
        for start in transaction.starts:
            for r in start.records:
                digest = blob_digest(r.body)
                if digest is not None:
                    self._blob_refs += sealed((start.row.id, digest))

    def _post(self, message: Message) -> PostResult:
        run = message.run
        same = self._mail.same(message)
        status, waiting = self._status.get(run), self._mail.waiting(run)
        is_done, held = self._mail.is_done(message), self._mail.signal_bytes(run)
        result = judge_post(message, status, waiting, same, is_done=is_done, signal_bytes=held)
        if result == "accepted":
            self.message += 1
            numbered = msgspec.structs.replace(message, number=self.message)
            self._mail.add(numbered)
            self._posted += sealed(astuple(numbered))
        return result

    def _answer(self, answer: Answer) -> Answered:
        """Take an answer if nobody was first; only then its message is posted."""
        answered = self._tokens.answer(answer)
        if answered.result == "accepted" and self._post(answer.message) == "accepted":
            return msgspec.structs.replace(answered, number=self.message)
        return answered

    def _bury(self, letter: DeadLetter) -> None:
        self.message += not letter.number
        numbered = msgspec.structs.replace(letter, number=letter.number or self.message)
        self._dead += sealed(astuple(numbered))

    def _summarise(self, summary: RunRow) -> None:
        run = summary.id
        new = self._new.get(run)
        if new is not None:
            self._new[run] = msgspec.structs.replace(summary, started_position=new.started_position)
        else:
            self._summaries[run] = summary
        if run in self._status:
            self._status[run] = summary.status
        taken = self._taken.get(run)
        if taken is not None:
            self._taken[run] = msgspec.structs.replace(
                summary, started_position=taken.started_position
            )
        if summary.status in CLOSED_STATUSES:
            self._closed[run] = None
            self._mail.forget(run)
            self._tokens.close_run(run)

    # -------------------------------------------------------------------------- reading
    def _look_up(self, batch: Sequence[Transaction]) -> None:
        """Read what the starts and posts of the batch depend on."""
        starts = {s.row.id: None for t in batch if t.starts for s in t.starts}
        posts = [message for t in batch if t.posts for message in t.posts]
        posts += [answer.message for t in batch if t.answers for answer in t.answers]
        self._tokens.load(self._db, batch)
        if starts:
            for row in rows.run_rows(self._db, "WHERE id IN carray(?)", (texts(starts),)):
                self._taken[row.id] = row
                self._status[row.id] = row.status
        if posts:
            runs = tuple({message.run: None for message in posts})
            self._status.update(rows.read_statuses(self._db, runs))
            self._mail.load(runs, posts)

    # -------------------------------------------------------------------------- writing
    def _flush(self) -> None:
        db = self._db
        if self._lines:
            rows.JOURNAL.write(db, self._lines)
            self._lines.clear()
        if not self._has_extras:
            return
        rows.BLOBS.write(db, self._blobs)
        rows.BLOB_REFS.write(db, self._blob_refs)
        cells: list[Cell] = []
        for row in self._new.values():
            cells += rows.run_cells(row)
        rows.RUNS.write(db, cells)
        cells = []
        for row in self._summaries.values():
            cells += rows.summary_cells(row)
        rows.SUMMARIES.write(db, cells)
        rows.HISTORIES.write(db, self._segments)
        if self._folded:
            gone = list(self._folded.items())
            db.executemany("DELETE FROM histories WHERE run = ? AND last_seq <= ?", gone)
        rows.MAILBOX.write(db, self._posted)
        rows.CONSUMED.write(db, self._consumed)
        rows.STREAMS.write(db, self._streams)
        self._write_values()
        if self._redriven:
            numbers = json.dumps(self._redriven)
            db.execute(
                "DELETE FROM dead_letters WHERE number IN (SELECT value FROM json_each(?))",
                (numbers,),
            )
        rows.DEAD.write(db, self._dead)
        self._tokens.write(db, self._closed)
        if self._closed:
            self._set_mail_aside()
        self._clear()

    def _write_values(self) -> None:
        kept: list[Cell] = []
        gone: list[Cell] = []
        for (run, name), value in self._values.items():
            if value is None:
                gone += (run, name)
            else:
                kept += sealed((run, name, value))
        rows.VALUES.write(self._db, kept)
        rows.FORGOTTEN_VALUES.write(self._db, gone)

    def _set_mail_aside(self) -> None:
        """Move what closed runs have not read to where nobody delivers it from."""
        which = (texts(tuple(self._closed)), JOIN)
        rest = "WHERE run IN carray(?) AND name != ?"
        letters: list[Cell] = []
        mail = f"{rest} AND kind IN carray(?)"
        for cells in fetch(self._db, tables.MAILBOX, mail, (*which, texts(MAIL_KINDS))):
            letters += rows.dead_cells(cells)
        rows.DEAD.write(self._db, letters)
        self._db.execute(f"DELETE FROM mailbox {rest}", which)


def _is_of_life(db: Connection, new: dict[RunId, RunRow], transaction: Transaction) -> bool:
    """Whether a run was not started anew, in this batch (`new`) or before."""
    row = new.get(transaction.run)
    found = rows.run_rows(db, "WHERE id = ?", (transaction.run,)) if row is None else [row]
    return any(life_of(row) == transaction.of_life for row in found)


SIGNAL_BYTES = (
    "SELECT run, sum(length(body)) FROM mailbox "
    "WHERE kind = 'signal' AND run IN carray(?) GROUP BY run"
)


class _Mail:
    """What is in the mailboxes that a batch posts to."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._waiting: dict[RunId, int] = {}
        self._deduped: dict[tuple[RunId, str], Message] = {}
        self._done: set[tuple[RunId, str]] = set()
        self._signal_bytes: dict[RunId, int] = {}  # of the runs that the batch sends signals to
        self._sizes: dict[int, int] = {}  # of their signals, by number

    def load(self, runs: tuple[RunId, ...], posts: Sequence[Message]) -> None:
        db = self._db
        self._waiting = dict.fromkeys(runs, 0)
        counts = db.execute(
            "SELECT run, count(*) FROM mailbox WHERE run IN carray(?) GROUP BY run",
            (texts(runs),),
        ).fetchall()
        for run, count in counts:
            if isinstance(count, int):
                self._waiting[RunId(str(run))] = count
        signalled = {message.run for message in posts if message.kind == "signal"}
        if signalled:
            self._load_bytes(tuple(signalled))
        pairs = [[message.run, message.dedup] for message in posts if message.dedup]
        if not pairs:
            return
        asked = json.dumps(pairs, ensure_ascii=False)
        found = fetch(
            db,
            tables.MAILBOX,
            "WHERE dedup <> '' AND (run, dedup) IN "
            "(SELECT value ->> 0, value ->> 1 FROM json_each(?))",
            (asked,),
        )
        for cells in found:
            if is_whole(cells):  # its run reads no mailbox that is damaged
                self._note(rows.message(cells))
        done = db.execute(
            "SELECT run, name FROM run_values WHERE (run, name) IN "
            "(SELECT value ->> 0, ? || (value ->> 1) FROM json_each(?))",
            (DONE, asked),
        ).fetchall()
        for run, name in done:
            self.note_value(RunId(str(run)), str(name), is_there=True)

    def _load_bytes(self, runs: tuple[RunId, ...]) -> None:
        self._signal_bytes = dict.fromkeys(runs, 0)
        # The index has both: no message is read.
        sums = self._db.execute(SIGNAL_BYTES, (texts(runs),)).fetchall()
        for run, held in sums:
            if isinstance(held, int):
                self._signal_bytes[RunId(str(run))] = held

    def signal_bytes(self, run: RunId) -> int:
        return self._signal_bytes.get(run, 0)

    def waiting(self, run: RunId) -> int:
        return self._waiting.get(run, 0)

    def same(self, message: Message) -> Message | None:
        return self._deduped.get((message.run, message.dedup)) if message.dedup else None

    def is_done(self, message: Message) -> bool:
        return bool(message.dedup) and (message.run, message.dedup) in self._done

    def note_value(self, run: RunId, name: str, *, is_there: bool) -> None:
        """A value was set or forgotten; some say what came of a message."""
        if not name.startswith(DONE):
            return
        key = run, name[len(DONE) :]
        if is_there:
            self._done.add(key)
        else:
            self._done.discard(key)

    def add(self, message: Message) -> None:
        self._waiting[message.run] = self._waiting.get(message.run, 0) + 1
        if message.kind == "signal" and message.run in self._signal_bytes:
            self._signal_bytes[message.run] += len(message.body)
            self._sizes[message.number] = len(message.body)
        self._note(message)

    def _note(self, message: Message) -> None:
        if message.dedup:
            self._deduped[message.run, message.dedup] = message

    def take(self, run: RunId, number: int) -> None:
        """A message was consumed; it is in the mailbox, for its owner has read it from there."""
        if run not in self._waiting:
            return
        self._waiting[run] -= 1
        if run in self._signal_bytes:
            self._signal_bytes[run] -= self._size_of(number)
        for key, message in self._deduped.items():
            if message.number == number and message.run == run:
                del self._deduped[key]
                return

    def _size_of(self, number: int) -> int:
        """Return how much a signal in the mailbox holds; 0 for another message."""
        if number in self._sizes:
            return self._sizes.pop(number)
        sql = "SELECT length(body) FROM mailbox WHERE number = ? AND kind = 'signal'"
        found = self._db.execute(sql, (number,)).fetchall()
        return rows.integer(found[0][0]) if found else 0

    def forget(self, run: RunId) -> None:
        self._signal_bytes.pop(run, None)
        if run in self._waiting:
            self._waiting[run] = 0
            self._deduped = {k: m for k, m in self._deduped.items() if m.run != run}
