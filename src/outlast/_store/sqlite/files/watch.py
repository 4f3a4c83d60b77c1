"""Whether an open database is still ours: the files that were opened, written by us alone.

Invariant: once it is not, `fault` says so for good. Putting the files back does not help: what
another program did with them meanwhile cannot be told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import apsw

from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.files.guard import FileGuard, FileIdentities
from outlast._store.sqlite.files.loss import read_file_commits
from outlast._store.sqlite.files.traces import Traces
from outlast._store.sqlite.files.write_ahead_log import WriteAheadLog
from outlast._world import process_id
from outlast.errors import StoreError, StoreReplaced

log = logging.getLogger("outlast.store")


class FileWatch:
    """Watches the files of one writer; made when SQLite has opened all of them."""

    def __init__(self, path: Path, wal: WriteAheadLog, database_id: bytes) -> None:
        self._path = path
        self._wal = wal
        self._database_id = database_id
        self._commits_in_file = 0
        self.fault: StoreReplaced | None = None
        self.on_fault: Callable[[StoreError], None] | None = None
        self.guard = FileGuard(path)
        wal.readers = self.guard.log_readers

    def checkpointed(self, commits: int) -> int:
        """Take the database file as our own checkpoint has written it, up to so many commits.

        Returns how many the file alone has.
        """
        self.guard.accept()
        if self._wal.is_all_copied:
            self._commits_in_file = commits
        return self._commits_in_file

    def is_lost(self) -> bool:
        """Say whether files that look changed are not ours any more.

        That the database was written alone proves nothing: the thread that copies the log does
        so, and so does another program's checkpoint. A copy of another state shows in the file
        itself: a backup says that it is one, and an older state has fewer commits.
        """
        if self.fault is not None or self._wal.is_broken or self.guard.difference() is not None:
            return True
        if not self.guard.is_changed() or self._wal.is_copying:
            return False
        if self._wal.has_copied_apart():
            self.guard.accept()
            return False
        try:
            commits = read_file_commits(self._path)
        except StoreError:
            return True
        if (
            commits is None
            or commits.database_id != self._database_id
            or commits.number < self._commits_in_file
            or commits.is_copy
        ):
            return True
        self._commits_in_file = commits.number
        self.guard.accept()
        return False

    def lose(self, db: Connection | None, change: str | None = None) -> StoreReplaced:
        """Set the fault, and save through `db` what can be saved.

        `change` says what another program did to the content, where the files are in place.
        """
        if self.fault is not None:
            return self.fault
        difference = self.guard.difference()
        advice = "restore a backup, or put the files back, and then start again"
        if difference is None and change is not None:
            difference = f"{self._path}: {change}"
            advice = "make sure that only one engine opens the database, and then start again"
        elif self._wal.is_broken:
            difference = f"{self._path}-wal was truncated or overwritten"
            advice = (
                f"keep all its files. {self._path} has the state of its last checkpoint, and the "
                f"log may have later commits: `outlast db salvage` reports what is lost"
            )
        elif self.guard.has_all_but_lock:
            # Nothing is to be saved, and another engine may be writing already.
            advice = "nothing is lost. When no other engine has the database open, start again"
        elif difference is not None and self._is_saved(db):
            advice = "everything acknowledged was copied into the database file; start again"
        self.fault = StoreReplaced(
            f"{difference or f'another file was copied over {self._path}'} while process "
            f"{process_id()} had the database open: this process acknowledges no more commits. "
            f"Stop it; {advice}"
        )
        log.critical("%s", self.fault)
        if self.on_fault is not None:
            self.on_fault(self.fault)
        return self.fault

    def _is_saved(self, db: Connection | None) -> bool:
        """Copy the log, which this process still has open, into a database still in its place."""
        if db is None or not self.guard.has_database:
            return False
        try:
            pages, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            log.warning("%s: its log cannot be copied into the file: %s", self._path, error)
            return False
        # Who deletes a whole directory may have come to the database by now.
        return pages == copied and self.guard.has_database


class ReadWatch:
    """Watches the files of one reader; made when SQLite has opened all of them.

    Its connections go on with the files that they have opened, whatever becomes of their names.
    """

    def __init__(self, path: Path, traces: Traces) -> None:
        self.traces: Traces = traces
        beside = (f"{path}-wal", f"{path}-shm")  # where the disk is read-only, neither is there
        self._files = FileIdentities([f"{path}", *(f for f in beside if Path(f).exists())])
        self.fault: StoreReplaced | None = None
        self.on_fault: Callable[[StoreError], None] | None = None

    def look(self) -> None:
        """Look whether what was just read is still the database.

        Raises:
            StoreReplaced: one of its files is another, or gone.
        """
        if self.fault is None:
            difference = self._files.difference()
            if difference is None:
                return
            self.fault = StoreReplaced(
                f"{difference} while process {process_id()} was reading the database: it can read "
                f"only an earlier state. Reopen the database"
            )
            if self.on_fault is not None:
                self.on_fault(self.fault)
        raise self.fault
