"""The files beside a database: its write-ahead log, kept short and ready, and its reserve of space.

Invariant: nothing here changes what the database says. What is added to the write-ahead log are
zeros behind its end, where SQLite finds no frame.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw

from outlast import limits
from outlast._store.sqlite.connection import BUSY_MILLISECONDS, Connection
from outlast._store.sqlite.faults import read_failed
from outlast._store.sqlite.files.wal import (
    HEADER_BYTES,
    SALTS_BYTES,
    SALTS_OF_FRAME,
    SALTS_OF_LOG,
    has_frames,
)
from outlast._world import process_id
from outlast.errors import StoreError

log = logging.getLogger("outlast.store")

T = TypeVar("T")

# A checkpoint costs two syncs whatever its size, and a large one delays the commit behind it.
CHECKPOINT_PAGES = 1_000
# A sync that makes a file longer costs half as much again as one that does not (measured: 190
# against 115 us), so a log that is used is made as long as it gets. Short sessions do without.
_GROW_AT_PAGES = 32
# Copying so much is quick enough between two commits (measured: 100,000 pages take 0.4 s).
_AT_ONCE_PAGES = 4 * CHECKPOINT_PAGES
_PAGE_BYTES = 4_096 + 24
_GROWN_BYTES = CHECKPOINT_PAGES * _PAGE_BYTES * 5 // 4


class WriteAheadLog:
    """The log of one writing connection: counts its pages, and empties it when it is long.

    A checkpoint copies pages as far as readers let it, and never waits for one (PASSIVE). When all
    are copied and no reader uses the log, SQLite's next commit starts it anew at its beginning, and
    cuts the file to `_GROWN_BYTES`. As long as a reader of another process stays, the log grows;
    then a checkpoint is tried once in CHECKPOINT_PAGES, and costs little, for it copies nothing.
    What is left to copy when the reader goes may be much: a thread of its own copies it, and
    commits go on meanwhile.
    """

    def __init__(self, database: Path, connect: Callable[[], Connection]) -> None:
        """`connect` returns another writing connection to the database."""
        self._database = database
        self._path = database.with_name(database.name + "-wal")
        self._connect = connect
        self._thread: threading.Thread | None = None
        self._pages = 0
        self._copied = 0  # of these, by the last checkpoint
        self._looked_at = 0  # the pages when a checkpoint was last tried
        self._is_grown = False
        self._is_warned = False
        self._descriptor: int | None = None
        self.readers: Callable[[], set[int] | None] = lambda: None  # see `FileGuard.log_readers`
        self.is_broken = False  # for good: it lacks frames that were committed

    @property
    def is_copying(self) -> bool:
        """Whether a thread is copying pages into the database."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_all_copied(self) -> bool:
        """Whether the last checkpoint left nothing to copy."""
        return self._copied >= self._pages

    def has_copied_apart(self) -> bool:
        """Say whether the thread wrote the database since this was last asked."""
        if self._thread is None or self._thread.is_alive():
            return False
        self._thread = None
        return True

    @property
    def bytes_used(self) -> int:
        """How long the log is, from its beginning to the last commit."""
        return self._pages * _PAGE_BYTES

    def attach(self, db: Connection) -> None:
        """Count what this connection writes."""

        def count(_: object, __: str, pages: int) -> int:
            self._pages = pages
            return apsw.SQLITE_OK

        db.set_wal_hook(count)
        db.pragma("journal_size_limit", _GROWN_BYTES)
        if self._descriptor is None:
            self._descriptor = _open_log(self._path)

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def is_in_place(self, db: Connection) -> bool:
        """Say whether the log still ends with the last commit; asked before each commit.

        Two short reads: to look at the size instead would make the next sync dearer (see
        `sqlite_guard`). Another program's checkpoint may have emptied the log: then SQLite knows.

        Raises:
            StoreUnavailable: it cannot be read now.
        """
        return self._has_last_commit() or self.is_whole(db)

    def _has_last_commit(self) -> bool:
        if not self._pages or self._descriptor is None:
            return True
        last = HEADER_BYTES + (self._pages - 1) * _PAGE_BYTES + SALTS_OF_FRAME
        try:
            salts = os.pread(self._descriptor, SALTS_BYTES, last)
            return any(salts) and salts == os.pread(self._descriptor, SALTS_BYTES, SALTS_OF_LOG)
        except OSError as error:
            raise read_failed(self._path, error) from error

    def keep_short(self, db: Connection) -> bool:
        """After a commit: copy the log into the database when it is long; say whether it was."""
        pages = self._pages
        if pages < self._looked_at:  # it started anew
            self._looked_at = self._copied = 0
            self._is_warned = False
        if pages - self._looked_at < CHECKPOINT_PAGES:
            if pages >= _GROW_AT_PAGES and not self._is_grown:
                self._is_grown = True
                self._grow()
            return False
        self._looked_at = pages
        self._warn()
        if self._is_much_left():
            return False
        self._copy(db)
        return True

    def shorten(self, db: Connection) -> bool:
        """While nothing is committed: make a long log short again, if its readers have gone."""
        if self._pages < CHECKPOINT_PAGES and _size(self._path) <= _GROWN_BYTES:
            return False
        if self._is_much_left():
            return False
        self.empty(db)
        return True

    def _is_much_left(self) -> bool:
        """Say whether copying what is left would hold up commits; if so, have a thread do it."""
        if self.is_copying:
            return True
        if self._pages - self._copied <= _AT_ONCE_PAGES:
            return False
        self._thread = threading.Thread(target=self._copy_apart, name="outlast-log", daemon=True)
        self._thread.start()
        return True

    def _copy_apart(self) -> None:
        try:
            db = self._connect()
        except StoreError as error:
            log.warning("%s: its log cannot be copied now: %s", self._database, error)
            return
        try:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._copy(db)
        finally:
            db.close(True)

    def empty(self, db: Connection) -> None:
        """Copy the log into the database and cut it to nothing, unless a reader uses it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self._copy(db):
            return
        db.set_busy_timeout(0)
        try:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return
        except apsw.Error as error:
            log.warning("%s: its log cannot be truncated: %s", self._database, error)
            return
        finally:
            db.set_busy_timeout(BUSY_MILLISECONDS)
        self._pages = self._looked_at = self._copied = 0
        self._is_grown = self._is_warned = False

    def _copy(self, db: Connection) -> bool:
        """Copy as much as readers let us, without waiting; say whether that was all."""
        if not self.is_whole(db):
            return False
        try:
            pages, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            return False  # another program does the same
        except apsw.Error as error:
            # Nothing is lost: what is in the log stays there, and the next one copies it again.
            log.warning("%s: checkpoint failed: %s", self._database, error)
            return False
        self._copied = max(0, copied)
        return pages == copied

    def is_whole(self, db: Connection) -> bool:
        """Look whether the log has the frames that SQLite is about to copy.

        Where another program has cut it or written over it, SQLite goes on behind the hole, and a
        checkpoint would write what lies there into a database that is still whole.
        """
        try:
            pages, _ = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            # A look is taken every CHECKPOINT_PAGES: what was damaged since lies in these.
            first = max(0, pages - 2 * CHECKPOINT_PAGES)
            self.is_broken = self.is_broken or not has_frames(self._path, first, pages)
        except (apsw.Error, OSError) as error:
            log.warning("%s: its log cannot be inspected: %s", self._database, error)
        return not self.is_broken

    def _warn(self) -> None:
        if self._is_warned or self.bytes_used < limits.STORE_LOG_BYTES:
            return
        self._is_warned = True
        log.warning(
            "%s: the write-ahead log has grown to %d MB, because %s and prevents its reuse; "
            "nothing is lost, and the log shrinks when that read ends",
            self._database,
            self.bytes_used // 1_000_000,
            _who_reads(self.readers()),
        )

    def _grow(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        size: int | None = None  # not known: the log must not be cut to what it is not
        try:
            size = os.fstat(descriptor).st_size
            if size < _GROWN_BYTES:
                missing = _GROWN_BYTES - size
                if os.pwrite(descriptor, bytes(missing), size) < missing:
                    raise OSError(errno.ENOSPC, "no room to make the log longer")
                os.fsync(descriptor)
        except OSError:
            if size is not None:
                _cut(descriptor, size)  # the space is needed for better things
        finally:
            os.close(descriptor)


def _who_reads(readers: set[int] | None) -> str:
    """Return what is known of those that read, as the part of a sentence."""
    if readers is None:
        return "another program, or a lookup of this process, has been reading for a long time"
    own = process_id()
    others = [_named(process) for process in sorted(readers - {own})]
    if others and own in readers:
        either = f"{', '.join(others)}, or a lookup of this process ({own}),"
        return f"{either} has been reading for a long time"
    if others:
        return f"{' or '.join(others)} has been reading for a long time"
    if own in readers:
        return f"a lookup of this process ({own}) has been running for a long time"
    return "a read that has now ended took a long time"


def _named(process: int) -> str:
    if process < 0:
        return "a process of another container"
    try:
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {process}"
    return f"process {process} ({name})"


def _open_log(path: Path) -> int | None:
    # Without O_NOATIME every read would leave a time to be synced with the next commit.
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOATIME", 0)
    try:
        return os.open(path, flags)
    except OSError:
        return None  # the look before a checkpoint stays


def _cut(descriptor: int, size: int) -> None:
    try:
        os.ftruncate(descriptor, size)
    except OSError as error:
        log.warning("a file cannot be truncated to its earlier size: %s", error)


class Reserve:
    """Space kept beside the database, given up so that a full disk does not stop a cancel."""

    def __init__(self, database: Path) -> None:
        self._path = reserve_path(database)
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
        except OSError:
            _cut(descriptor, self.size)  # a part of it may have been allocated
            raise
        finally:
            os.close(descriptor)

    def spend_on(self, write: Callable[[], T]) -> T:
        """Write with the space given up for it, and take again what that leaves."""
        self.release()
        try:
            return write()
        finally:
            self.make()

    def release(self) -> None:
        """Give the space back."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be released: %s", self._path, error)
        self.size = 0


def reserve_path(database: Path) -> Path:
    """Return the file of a database's reserve of space."""
    return database.with_name(database.name + ".reserve")


def make_directory(path: Path) -> None:
    """Make a directory and those above it that are missing, so that a power loss leaves them.

    Raises:
        StoreError: it cannot be made.
    """
    missing: list[Path] = []
    above = path
    while not above.exists() and above != above.parent:
        missing.append(above)
        above = above.parent
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The name of a directory is in its parent; one that existed before is durable.
        for made in missing:
            sync_path(made.parent)
    except OSError as error:
        raise StoreError(f"cannot create the directory {path}: {error.strerror}") from error


def sync_path(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
