"""The one connection that writes: commits, and what happens when one goes wrong.

Invariants:
  * it lives on one thread, and nobody else writes the file: the owner lock sees to that, and the
    end of every commit checks that the shard's row is as the last commit left it;
  * after an error in COMMIT itself the connection is not trusted: a new one reads back whether
    the commit was made;
  * a sync that failed is never tried again on the same pages: the kernel may have dropped them
    and call them clean. The log is copied into the database file, and that is synced, before
    anything else is written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from outlast import limits
from outlast._store.contract import CommitId, CommitResult, Transaction
from outlast._store.sqlite_batch import Batch, Shard
from outlast._store.sqlite_connection import Connection
from outlast._store.sqlite_faults import is_failed_sync, is_full, translate
from outlast._store.sqlite_schema import open_writer
from outlast.errors import CommitUnknown, StoreError, StoreFull, StoreUnavailable
from outlast.types import Lease

T = TypeVar("T")

log = logging.getLogger("outlast.store")

# A checkpoint costs two syncs whatever its size, and a large one delays the commit behind it.
CHECKPOINT_PAGES = 4_000
# A reader that stays keeps the log from starting anew; from here on it is waited for.
_CHECKPOINT_PAGES_MAX = 16 * CHECKPOINT_PAGES

_END = (
    "UPDATE shards SET position = ?, message = ?, commit_owner = ?, commit_number = ? "
    "WHERE id = 0 AND owner = ? AND epoch = ? AND position = ? AND message = ?"
)
_URGENT_KINDS = frozenset(("cancel_requested", "run_closed"))
_URGENT_MESSAGES = frozenset(("cancel", "terminate", "child_done"))


class Writing:
    """What the writer thread works with."""

    def __init__(self, db: Connection, path: Path) -> None:
        self._path = path
        self._reserve = Reserve(path)
        self._reserve.make()
        self._is_synced = True
        self._wal_pages = 0
        self._held = ""  # the owner that acquired the lease in this opening
        self._last: tuple[CommitId, list[CommitResult]] | None = None
        self._db: Connection | None = db
        self._attach(db)
        self.shard = self._read_shard(db)

    # ------------------------------------------------------------------------- commits
    def commit(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        """Make a batch durable; see `CommitVerbs.commit`."""
        try:
            return self._commit(commit_id, batch)
        except StoreFull:
            if not (self._reserve.size and all(map(_is_urgent, batch))):
                raise
        self._reserve.release()
        try:
            return self._commit(commit_id, batch)
        finally:
            self._reserve.make()  # whatever it did not take

    def _commit(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        db = self._ready()
        before = self.shard
        results: list[CommitResult] | None = None
        try:
            db.execute("BEGIN IMMEDIATE")
            work = Batch(db, before)
            written = work.write(batch)
            after = Shard(before.owner, before.epoch, work.position, work.message)
            self._end(db, commit_id, before, after)
            results = written
            db.execute("COMMIT")
        except apsw.Error as error:
            return self._failed(db, error, commit_id, results)
        except BaseException:
            self._roll_back(db)
            raise
        self.shard = after
        self._last = (commit_id, results)
        return results

    def _end(self, db: Connection, commit_id: CommitId, before: Shard, after: Shard) -> None:
        """Note the commit in the shard's row, if that is as it should be."""
        db.execute(
            _END,
            (
                after.position,
                after.message,
                commit_id.owner,
                commit_id.number,
                before.owner,
                before.epoch,
                before.position,
                before.message,
            ),
        )
        if db.changes() != 1:
            # Another program wrote, past the owner lock. Nothing can be said of our leases now.
            self._drop()
            raise StoreUnavailable(f"{self._path} was changed by another program meanwhile")

    def _failed(
        self,
        db: Connection,
        error: apsw.Error,
        commit_id: CommitId,
        results: list[CommitResult] | None,
    ) -> list[CommitResult]:
        """Say what became of a commit that raised; `results` when it was COMMIT itself."""
        fault = translate(error, str(self._path), system_errno=db.system_errno)
        if results is None:
            self._roll_back(db)
            if isinstance(error, apsw.IOError | apsw.CorruptError):
                self._drop()
            raise fault from error
        if is_full(error, db.system_errno) or isinstance(error, apsw.BusyError):
            self._roll_back(db)
        else:
            self._is_synced = self._is_synced and not is_failed_sync(error)
            self._drop()
        self._last = (commit_id, results)
        try:
            made = self.outcome_of(commit_id)
        except StoreError as lost:
            raise CommitUnknown(f"{fault}; whether it was made cannot be told: {lost}") from error
        if made is None:
            raise fault from error
        return made

    def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        """Return the results of a commit, or None when it was not made."""
        db = self._ready()
        with_number = self._read(
            db,
            "SELECT 1 FROM shards WHERE commit_owner = ? AND commit_number = ?",
            (commit_id.owner, commit_id.number),
        )
        if not with_number:
            return None
        if self._last is None or self._last[0] != commit_id:
            raise StoreError(f"commit {commit_id} was made before this store was opened")
        self.shard = self._read_shard(db)
        return self._last[1]

    # -------------------------------------------------------------------------- leases
    def acquire(self, owner: str) -> list[Lease]:
        """Take the one lease under the next epoch, unless another engine here has it."""
        if self._held and self._held != owner:
            return []
        before = self.shard
        self._set_owner(owner, before.epoch + 1)
        self._held = owner
        return [Lease(0, owner, self.shard.epoch, bool(before.owner))]

    def release(self, leases: Sequence[Lease]) -> None:
        """Give the lease back if it is among these."""
        if self.matches(leases):
            self._set_owner("", self.shard.epoch)
            self._held = ""

    def matches(self, leases: Sequence[Lease]) -> list[Lease]:
        """Return those that are held. Any thread may ask."""
        shard = self.shard
        return [
            lease
            for lease in leases
            if lease.shard == 0 and lease.owner == shard.owner and lease.epoch == shard.epoch
        ]

    def _set_owner(self, owner: str, epoch: int) -> None:
        def work(db: Connection) -> None:
            db.execute("UPDATE shards SET owner = ?, epoch = ? WHERE id = 0", (owner, epoch))

        self.change(work)
        self.shard = Shard(owner, epoch, self.shard.position, self.shard.message)

    def change(self, work: Callable[[Connection], T]) -> T:
        """Run a change that may be made twice, in a transaction of its own."""
        db = self._ready()
        try:
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            db.execute("COMMIT")
        except apsw.Error as error:
            fault = translate(error, str(self._path), system_errno=db.system_errno)
            self._is_synced = self._is_synced and not is_failed_sync(error)
            self._roll_back(db)
            if isinstance(error, apsw.IOError | apsw.CorruptError):
                self._drop()
            raise fault from error
        return result

    # -------------------------------------------------------------------------- upkeep
    def after_job(self) -> None:
        """Empty the write-ahead log when it is long; the answer of the job is on its way."""
        if self._wal_pages < CHECKPOINT_PAGES or self._db is None:
            return
        is_late = self._wal_pages >= _CHECKPOINT_PAGES_MAX
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if is_late else apsw.SQLITE_CHECKPOINT_PASSIVE
        try:
            self._db.wal_checkpoint(mode=mode)
            self._reserve.make()
        except apsw.Error as error:
            # Nothing is lost: what is in the log stays there, and the next one copies it again.
            log.warning("%s: checkpoint failed: %s", self._path, error)
        self._wal_pages = 0

    def close(self) -> None:
        """Empty the write-ahead log and let go of the file."""
        if self._db is None:
            return
        try:
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            log.warning("%s: checkpoint at close failed: %s", self._path, error)
        self._drop()

    # ---------------------------------------------------------------------- connection
    def _ready(self) -> Connection:
        db = self._db
        if db is not None and self._is_synced:
            return db
        if db is None:
            db = self._db = open_writer(self._path)
            self._attach(db)
        if not self._is_synced:
            try:
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except apsw.Error as error:
                fault = translate(error, str(self._path), system_errno=db.system_errno)
                self._drop()
                raise fault from error
            self._is_synced = True
        self.shard = self._read_shard(db)
        return db

    def _attach(self, db: Connection) -> None:
        def count(_: Connection, __: str, pages: int) -> int:
            self._wal_pages = pages
            return apsw.SQLITE_OK

        db.set_wal_hook(count)

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close(True)
            except apsw.Error as error:
                log.warning("%s: closing failed: %s", self._path, error)

    def _roll_back(self, db: Connection) -> None:
        try:
            if not db.get_autocommit():
                db.execute("ROLLBACK")
        except apsw.Error:
            self._drop()

    def _read_shard(self, db: Connection) -> Shard:
        found = self._read(db, "SELECT owner, epoch, position, message FROM shards", ())
        owner, epoch, position, message = found[0]
        if not (isinstance(epoch, int) and isinstance(position, int) and isinstance(message, int)):
            raise StoreError(f"{self._path}: the row of its shard is damaged")
        return Shard(str(owner), epoch, position, message)

    def _read(
        self, db: Connection, sql: str, cells: Sequence[str | int]
    ) -> Sequence[Sequence[object]]:
        try:
            return db.execute(sql, cells).fetchall()
        except apsw.Error as error:
            raise translate(error, str(self._path), system_errno=db.system_errno) from error


class Reserve:
    """Space kept beside the database, given up so that a full disk does not stop a cancel."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".reserve")
        self.size = 0

    def make(self) -> None:
        """Take as much of the reserve as there is space for; nothing if there is none."""
        size = limits.RESERVE_BYTES
        while self.size < size and size >= limits.RESERVE_BYTES // 16:
            try:
                self._allocate(size)
            except OSError:
                size //= 2
            else:
                self.size = size

    def _allocate(self, size: int) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            elif os.fstat(descriptor).st_size < size:
                os.pwrite(descriptor, bytes(size), 0)  # macOS: only written bytes are ours
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the space back."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be released: %s", self._path, error)
        self.size = 0


def _is_urgent(transaction: Transaction) -> bool:
    """Say whether a transaction only ends work: it may use the reserve."""
    return (
        not transaction.starts
        and all(record.kind in _URGENT_KINDS for record in transaction.records)
        and all(message.kind in _URGENT_MESSAGES for message in transaction.posts)
    )
