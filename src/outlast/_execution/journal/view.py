"""One run's own view of its journal: what to replay, what to append.

Invariants:
  * `seq` and logical time ascend; a record is given its `seq` when it is appended here, and the
    writer keeps that order;
  * a transaction stays open for more until the writer seals it, so what one turn of the loop
    produces is one transaction;
  * while replaying, nothing is appended that the journal has already.
"""

from __future__ import annotations

from collections.abc import Callable

from outlast import limits
from outlast._records import (
    EMPTY,
    NO_PROGRESS,
    Blob,
    Kind,
    Record,
    blob_digest,
    detach,
    pack_records,
)
from outlast._store.rows import RunRow
from outlast._store.transactions import Segment, Transaction
from outlast.errors import ReplayMismatch
from outlast.types import Lease, RunId

_OF_OPERATIONS: frozenset[Kind] = frozenset(
    (
        "step_intent",
        "step_done",
        "attempt_failed",
        "timer_fired",
        "child_started",
        "child_done",
        "token_opened",
        "token_answered",
        "update_done",
        "value_set",
        "stream_written",
    )
)


class RunJournal:
    """Appends for one run, and checks what its code asks against what is recorded."""

    __slots__ = (
        "_issued",
        "_recorded",
        "_replay",
        "_rouse",
        "_submit",
        "_transaction",
        "blobs",
        "bytes_unpacked",
        "has_closed",
        "in_flight",
        "is_asleep",
        "is_muted",
        "is_replaying",
        "last_at",
        "last_seq",
        "lease",
        "packed_seq",
        "position",
        "progress_seq",
        "run",
        "steps",
        "unpacked",
    )

    def __init__(
        self,
        run: RunId,
        *,
        lease: Lease,
        records: list[Record],
        row: RunRow,
        submit: Callable[[Transaction], None],
        rouse: Callable[[], None],
    ) -> None:
        self.run: RunId = run
        self.lease: Lease = lease
        self.last_seq: int = records[-1].seq if records else row.last_seq
        self.progress_seq: int = 0  # of the last record, of this life, that its code has led to
        self.last_at: int = records[-1].at if records else row.created_at
        self.packed_seq: int = row.packed_seq
        self.position: int = 0  # of the oldest unpacked record in the log, 0 when none is known
        self.unpacked: list[Record] = [_as_stored(r) for r in records if r.seq > row.packed_seq]
        self.bytes_unpacked: int = sum(len(r.body) + 100 for r in self.unpacked)
        self.steps: int = sum(1 for r in records if r.kind == "step_done")
        self.in_flight: int = 0  # how many of its transactions are on their way to the disk
        self.blobs: dict[bytes, None] = {}  # digests of those that its records have
        self.has_closed: bool = False
        self._submit = submit
        self._rouse = rouse
        self.is_asleep: bool = False  # the row says, from the next commit on, that the run sleeps
        self.is_muted: bool = False  # its code unwinds: nothing that it does is kept
        self._transaction: Transaction | None = None
        self._replay = records
        self.is_replaying: bool = True  # records of an earlier life are still being delivered
        self._issued: dict[str, str] | None = {}
        self._recorded: dict[tuple[Kind, str], Record] | None = {
            (r.kind, r.key): r for r in records if r.key
        }

    # ---------------------------------------------------------------- appending
    def is_back(self, transaction: Transaction) -> bool:
        """Take note that a transaction is durable; False when others committed it for the run.

        Recovery, for one, writes rows of runs before they are in memory. Counting those as ours
        once let a run leave memory with a record on its way (simulation seed 1172).
        """
        if transaction.origin is not self:
            return False
        transaction.origin = None
        self.in_flight -= 1
        if transaction is self._transaction:
            self._transaction = None
        return True

    def transaction(self) -> Transaction:
        """Return the transaction that the writer will take next for this run."""
        if self.is_muted:
            return Transaction(self.lease, self.run, [])
        transaction = self._transaction
        if transaction is None or transaction.is_sealed:
            transaction = self._transaction = Transaction(self.lease, self.run, [], origin=self)
            self.in_flight += 1
            self._submit(transaction)
        return transaction

    def append(
        self,
        kind: Kind,
        *,
        at: int,
        key: str = "",
        name: str = "",
        body: bytes = EMPTY,
        attempt: int = 0,
        place: str = "",
        times: tuple[int, int] = (0, 0),
    ) -> Record:
        """Give a record its place at the end and hand it to the writer."""
        if self.is_muted:
            return Record(self.last_seq, kind, key, name, at, self.lease.epoch, attempt, place)
        if self.is_asleep:
            # The row on its way says that the run sleeps. A record that recovery would not look for
            # after a crash must take the truth with it (simulation seed 11092).
            self.is_asleep = False
            self._rouse()
        self.last_seq += 1
        if kind not in NO_PROGRESS:
            self.progress_seq = self.last_seq
        if at < self.last_at:
            at = self.last_at
        self.last_at = at
        if len(body) >= limits.BLOB_BYTES_MIN:
            body, blob = detach(body)
            if blob is not None:
                self.keep_blobs(blob)
        epoch = self.lease.epoch
        record = Record(self.last_seq, kind, key, name, at, epoch, attempt, place, body, *times)
        transaction = self._transaction
        if transaction is None or transaction.is_sealed:
            transaction = self.transaction()
        transaction.records.append(record)
        self.unpacked.append(record)
        self.bytes_unpacked += len(body) + 100
        if kind == "step_done":
            self.steps += 1
        elif kind == "run_closed":
            self.has_closed = True
        return record

    def keep_blobs(self, *blobs: Blob) -> None:
        """Commit blobs with what is appended now."""
        transaction = self.transaction()
        effects = transaction.also
        effects.blobs += blobs
        self.blobs.update((blob.digest, None) for blob in blobs)
        if effects.released:
            effects.released = tuple(d for d in effects.released if d not in self.blobs)

    def let_go(self) -> None:
        """The run has gone: hold on to nothing of it."""
        self._rouse = _rouse_nothing

    def fall_asleep(self) -> None:
        """The run's row says, from the next commit on, that it is not in memory."""
        self.is_asleep = True

    def fold(self) -> None:
        """What was appended so far is of no use any more: the row has what came of it."""
        if self.blobs:
            self.transaction().also.released += tuple(self.blobs)
            self.blobs.clear()
        self.unpacked = []
        self.bytes_unpacked = 0
        self.position = 0
        self.packed_seq = self.last_seq
        self.is_asleep = True

    def take_segment(self) -> Segment | None:
        """Pack what is in the log's tail; the caller commits it with the run's summary."""
        if not self.unpacked:
            return None
        first, last = self.unpacked[0].seq, self.unpacked[-1].seq
        segment = Segment(self.run, first, last, pack_records(self.unpacked))
        self.unpacked = []
        self.bytes_unpacked = 0
        self.position = 0
        self.packed_seq = last
        return segment

    # ---------------------------------------------------------------- replaying
    def records_to_replay(self) -> list[Record]:
        """Return the records of earlier lives, in order."""
        return self._replay

    def end_replay(self) -> None:
        """From here on everything is new."""
        self.is_replaying = False
        self._issued = self._recorded = None
        self._replay = []

    def recorded(self, kind: Kind, key: str) -> Record | None:
        """Return this record of the journal of earlier lives, while it is replayed."""
        return None if self._recorded is None else self._recorded.get((kind, key))

    def issued(self, key: str, place: str) -> None:
        """Note that the code asked for an operation."""
        if self._issued is not None:
            self._issued[key] = place

    def check(self, record: Record) -> None:
        """Refuse a record whose operation the code has not asked for by now.

        Raises:
            ReplayMismatch: with both operations and their source lines.
        """
        if self._issued is None or record.kind not in _OF_OPERATIONS or record.key in self._issued:
            return
        where = record.key.partition(":")[0]
        same = next((k for k in self._issued if k.partition(":")[0] == where), None)
        if same is None:
            last = next(reversed(self._issued), None)
            seen = f"nothing there (its last operation was {self._name(last)})"
        else:
            seen = self._name(same)
        expected = f"{_name_in(record.key)!r} at {where}{_at(record.place)}"
        raise ReplayMismatch(self.run, expected=expected, actual=seen)

    def _name(self, key: str | None) -> str:
        if key is None or self._issued is None:
            return "none"
        where = key.partition(":")[0]
        return f"{_name_in(key)!r} at {where}{_at(self._issued[key])}"


def _rouse_nothing() -> None:
    """Do nothing: the run has left memory."""


def _name_in(key: str) -> str:
    return key.partition(":")[2] or key


def _at(place: str) -> str:
    return f" ({place})" if place else ""


def _as_stored(record: Record) -> Record:
    if blob_digest(record.body) is not None:
        return record
    stored, blob = detach(record.body)
    if blob is None:
        return record
    return Record(
        record.seq,
        record.kind,
        record.key,
        record.name,
        record.at,
        record.epoch,
        record.attempt,
        record.place,
        stored,
    )
