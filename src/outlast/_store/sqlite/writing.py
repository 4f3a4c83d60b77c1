"""The one connection that writes: commits, and what happens when one goes wrong.

Invariants:
  * it lives on one thread, and nothing else writes the file: the owner lock ensures that, and
    every commit checks, in its own transaction, that all stands as the last one left it;
  * after an error in COMMIT itself the connection is not trusted: a new one reads back whether
    the commit was made;
  * a commit is acknowledged only while the paths of the database, its log and its lock lead to the
    files that were opened, and the lease is held; afterwards nothing is written any more;
  * a sync that failed is never tried again on the same pages: the kernel may have dropped them
    and call them clean. The log is copied into the database file, and that is synced, before
    anything else is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec
from msgspec.structs import replace

from outlast._store.decisions import is_urgent
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.faults import errno_of, is_failed_sync, is_full, translate
from outlast._store.sqlite.files.guard import LOOKS
from outlast._store.sqlite.files.mark import Mark
from outlast._store.sqlite.files.watch import FileWatch
from outlast._store.sqlite.files.write_ahead_log import Reserve, WriteAheadLog
from outlast._store.sqlite.opening import open_writer
from outlast._store.sqlite.tables.batch import Shard, write_batch
from outlast._store.sqlite.tables.shard import ShardRow, difference, note
from outlast._store.transactions import CommitId, CommitResult, Transaction
from outlast.errors import (
    CommitUnknown,
    StoreError,
    StoreFull,
    StoreReplaced,
)
from outlast.types import Lease

T = TypeVar("T")

log = logging.getLogger("outlast.store")

# The mark is looked at when so many looks for changed names are left: the first and the last ones.
_MARK_LOOKS = frozenset((LOOKS - 1, LOOKS - 2, 2, 1))
_UNREADABLE = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)


class _Attempt(msgspec.Struct, frozen=True):
    """The last commit that reached its end: what it leaves behind if it was made."""

    id: CommitId
    results: list[CommitResult]
    after: Shard
    is_noted: bool  # in the shard's row; else the log's end is the proof


class Writing:
    """What the writer thread works with."""

    def __init__(self, db: Connection, path: Path) -> None:
        self._path = path
        self._reserve = Reserve(path)
        self._is_synced = True
        self._wal = WriteAheadLog(path, lambda: open_writer(path))
        self._held = ""  # the owner that acquired the lease in this opening
        self._last: _Attempt | None = None
        self._db: Connection | None = db
        self._codec = db.codec
        self._wal.attach(db)
        self._row = ShardRow(path)
        self._noted, self._database_id = self._row.noted(db)
        self.shard = self._row.read(db)
        self._leases = {(self.shard.owner, self.shard.epoch)}  # that this opening has written
        # Reading has opened the log and the shared memory.
        self.watch = FileWatch(path, self._wal, self._database_id)
        self._is_changed = self.watch.guard.is_changed
        self._mark = Mark(path, self._database_id, self.shard.epoch, self.shard.commits)
        self._reserve.make()  # after the mark: see `sqlite_loss`
        # What a killed process left behind the log's last commit must not lie behind ours.
        self._wal.empty(db)
        self._mark.number_in_file = self.watch.checkpointed(self.shard.commits)

    @property
    def log_bytes(self) -> int:
        """How long the write-ahead log is; any thread may ask."""
        return self._wal.bytes_used

    # ------------------------------------------------------------------------- commits
    def commit(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        """Make a batch durable; see `CommitVerbs.commit`."""
        return self.unless_full(batch, lambda: self._commit(commit_id, batch))

    def unless_full(self, batch: Sequence[Transaction], write: Callable[[], T]) -> T:
        """Write a batch; one that only ends work may spend the reserve of a full disk."""
        try:
            return write()
        except StoreFull:
            urgent = {t.run for t in batch if is_urgent(t)}
            if not self._reserve.size or any(t.run not in urgent for t in batch):
                raise
        return self._reserve.spend_on(write)

    def _commit(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        db = self._ready()
        before = self.shard
        attempt: _Attempt | None = None
        try:
            db.execute("BEGIN IMMEDIATE")
            self._check_shard(db, before)
            results, after = write_batch(db, before, batch)
            is_noted = after.position == before.position or after.message != before.message
            if is_noted:
                note(db, after, commit_id, self._database_id)
            attempt = _Attempt(commit_id, results, after, is_noted)
            db.execute("COMMIT")
        except apsw.Error as error:
            return self._failed(db, error, attempt)
        except BaseException:
            self._roll_back(db)
            raise
        if self._is_changed() and self.watch.is_lost():
            raise self.watch.lose(self._db)
        self._mark.write(after.epoch, after.commits)
        self.shard = after
        self._last = attempt
        if is_noted:
            self._noted = commit_id
        return results

    def _check_shard(self, db: Connection, expected: Shard) -> None:
        """Refuse to write when another program wrote, past the owner lock."""
        found = self._row.read(db)
        if found != expected:
            self._roll_back(db)  # inside a transaction the log cannot be looked at
            is_whole = self._wal.is_whole(db)
            raise self.watch.lose(db, difference(expected, found) if is_whole else None)

    def _take_shard(self, db: Connection) -> None:
        """Take what the row says after a commit whose end is not known."""
        noted, _ = self._row.noted(db)
        found = self._row.read(db)
        if (found.owner, found.epoch) not in self._leases:
            raise self.watch.lose(db, difference(self.shard, found))
        self._noted, self.shard = noted, found

    def _failed(
        self, db: Connection, error: apsw.Error, attempt: _Attempt | None
    ) -> list[CommitResult]:
        """Say what became of a commit that raised; with an `attempt` it was COMMIT itself."""
        is_hole = isinstance(error, _UNREADABLE) and not self._wal.is_whole(db)
        if is_hole or (self._is_changed() and self.watch.is_lost()):
            raise self.watch.lose(self._db) from error
        fault = translate(error, str(self._path), system_errno=errno_of(error, db))
        if attempt is None:
            self._roll_back(db)
            if isinstance(error, apsw.IOError | apsw.CorruptError):
                self._drop()
            raise fault from error
        is_refused = is_full(error, errno_of(error, db)) or isinstance(error, apsw.BusyError)
        if is_refused and not is_failed_sync(error):
            self._roll_back(db)
        else:
            self._is_synced = self._is_synced and not is_failed_sync(error)
            self._drop()
        self._last = attempt
        try:
            made = self.outcome_of(attempt.id)
        except StoreError as lost:
            raise CommitUnknown(f"{fault}; whether it was made cannot be told: {lost}") from error
        if made is None:
            raise fault from error
        return made

    def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        """Return the results of a commit, or None when it was not made."""
        db = self.read_back()
        attempt = self._last
        if attempt is not None and attempt.id == commit_id and not attempt.is_noted:
            return attempt.results if self.shard.position >= attempt.after.position else None
        if not self._row.has_noted(db, commit_id):
            return None
        if attempt is None or attempt.id != commit_id:
            raise StoreError(f"commit {commit_id} was made before this store was opened")
        return attempt.results

    def read_back(self) -> Connection:
        """Return the connection, with all known that was committed; what is read is durable."""
        db = self._ready()
        self._take_shard(db)
        self._mark.write(self.shard.epoch, self.shard.commits)
        return db

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
        self._leases.add((owner, epoch))
        after = partial(replace, owner=owner, epoch=epoch)
        # Without the lease nothing can be cancelled: it may spend the reserve.
        self.unless_full((), lambda: self.change_shard(lambda _, shard: (None, after(shard))))

    def change(self, work: Callable[[Connection], T]) -> T:
        """Run a change that may be made twice, in a transaction of its own."""
        return self.change_shard(lambda db, shard: (work(db), shard))

    def change_shard(self, work: Callable[[Connection, Shard], tuple[T, Shard]]) -> T:
        """Run a change; it is given the shard's row, and returns that as it is to be."""
        db = self._ready()
        try:
            db.execute("BEGIN IMMEDIATE")
            self._check_shard(db, self.shard)
            result, after = work(db, self.shard)
            # A log that is cut to nothing goes on where it ended: its last position is in the row.
            after = replace(after, commits=self.shard.commits + 1)
            note(db, after, self._noted, self._database_id)
            db.execute("COMMIT")
        except apsw.Error as error:
            fault = translate(error, str(self._path), system_errno=errno_of(error, db))
            self._is_synced = self._is_synced and not is_failed_sync(error)
            self._roll_back(db)
            if isinstance(error, apsw.IOError | apsw.CorruptError):
                self._drop()
            raise fault from error
        except BaseException:
            self._roll_back(db)
            raise
        if self._is_changed() and self.watch.is_lost():
            raise self.watch.lose(self._db)
        self.shard = after
        self._mark.write(after.epoch, after.commits)
        return result

    # -------------------------------------------------------------------------- upkeep
    def after_job(self) -> None:
        """Keep the write-ahead log short; the answer of the job is on its way."""
        if self._mark.is_failing or self.watch.guard.looks_left in _MARK_LOOKS:
            self._look_after_mark()
        if self._db is not None and self._wal.keep_short(self._db):
            self._mark.number_in_file = self.watch.checkpointed(self.shard.commits)
            self._mark.sync()
            self._reserve.make()

    def _look_after_mark(self) -> None:
        if self.watch.fault is not None or self.watch.guard.difference() is not None:
            return  # the files at these paths may belong to another engine
        was_failing = self._mark.is_failing
        self._mark.look(self.shard.epoch, self.shard.commits)
        if was_failing and self._mark.is_failing and self._db is not None:
            self._wal.empty(self._db)
            self._mark.number_in_file = self.watch.checkpointed(self.shard.commits)

    def look_after_files(self) -> None:
        """While nothing is committed: look whether all is still ours, and shorten the log."""
        db = self._db
        if self.watch.fault is not None:
            return
        if self.watch.is_lost() or (db is not None and not self._wal.is_in_place(db)):
            self.watch.lose(db)
        elif db is not None and self._has_lease(db):
            self._look_after_mark()
            if self._wal.shorten(db):
                self._mark.number_in_file = self.watch.checkpointed(self.shard.commits)
                self._mark.sync()
            self._reserve.make()  # it was spent on a full disk, and there may be space again

    def _has_lease(self, db: Connection) -> bool:
        try:
            self._check_shard(db, self.shard)
        except StoreReplaced:
            return False
        except StoreError as error:
            log.warning("%s: whether the lease is held cannot be read now: %s", self._path, error)
        return True

    def close(self) -> None:
        """Empty the write-ahead log and let go of the files."""
        self.look_after_files()
        if self._db is not None and self.watch.fault is None:
            self._wal.empty(self._db)
            if self._wal.is_broken:
                self.watch.lose(self._db)
        if self._db is not None and self.watch.fault is None:
            self._mark.sync()
            # Now SQLite may delete the empty log at its close. After a fault it must not: what
            # lies at the path then belongs to another database, or is needed to save this one.
            self.watch.guard.unlock()
        self._drop()
        self.watch.guard.close()
        self._wal.close()
        self._mark.close()

    # ---------------------------------------------------------------------- connection
    def _ready(self) -> Connection:
        if self.watch.fault is not None:
            raise self.watch.fault
        db = self._db
        if db is not None and self._is_synced:
            if not self._wal.is_in_place(db):
                raise self.watch.lose(db)
            return db
        if db is None:
            # A new connection would take whatever lies at the path for the database.
            if self.watch.is_lost():
                raise self.watch.lose(self._db)
            db = self._db = open_writer(self._path)
            db.codec = self._codec
            self._wal.attach(db)
        if not self._is_synced:
            try:
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except apsw.Error as error:
                fault = translate(error, str(self._path), system_errno=errno_of(error, db))
                self._drop()
                raise fault from error
            self._is_synced = True
        self._take_shard(db)
        return db

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
