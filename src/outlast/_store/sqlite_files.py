"""The files beside a database: its write-ahead log, kept short and ready, and its reserve of space.

Invariant: nothing here changes what the database says. What is added to the write-ahead log are
zeros behind its end, where SQLite finds no frame.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import apsw

from outlast import limits
from outlast._store.sqlite_connection import Connection
from outlast.errors import StoreError

log = logging.getLogger("outlast.store")

# A checkpoint costs two syncs whatever its size, and a large one delays the commit behind it.
CHECKPOINT_PAGES = 1_000
# A reader that stays keeps the log from starting anew; from here on it is waited for.
_CHECKPOINT_PAGES_MAX = 64 * CHECKPOINT_PAGES
# A sync that makes a file longer costs half as much again as one that does not (measured: 190
# against 115 us), so a log that is used is made as long as it gets. Short sessions do without.
_GROW_AT_PAGES = 32
_GROWN_BYTES = CHECKPOINT_PAGES * (4_096 + 24) * 5 // 4


class WriteAheadLog:
    """The log of one writing connection: counts its pages, and empties it when it is long."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + "-wal")
        self._pages = 0
        self._is_grown = False

    def attach(self, db: Connection) -> None:
        """Count what this connection writes."""

        def count(_: Connection, __: str, pages: int) -> int:
            self._pages = pages
            return apsw.SQLITE_OK

        db.set_wal_hook(count)

    def keep_short(self, db: Connection) -> bool:
        """Empty the log when it is long; say whether it was."""
        if self._pages < CHECKPOINT_PAGES:
            if self._pages >= _GROW_AT_PAGES and not self._is_grown:
                self._is_grown = True
                self._grow()
            return False
        is_late = self._pages >= _CHECKPOINT_PAGES_MAX
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if is_late else apsw.SQLITE_CHECKPOINT_PASSIVE
        self.empty(db, mode)
        return True

    def empty(self, db: Connection, mode: int) -> None:
        """Copy the log into the database file, as far as readers let it."""
        try:
            db.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            # Nothing is lost: what is in the log stays there, and the next one copies it again.
            log.warning("%s: checkpoint failed: %s", self._database, error)
        self._pages = 0
        if mode == apsw.SQLITE_CHECKPOINT_TRUNCATE:
            self._is_grown = False

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


def _cut(descriptor: int, size: int) -> None:
    try:
        os.ftruncate(descriptor, size)
    except OSError as error:
        log.warning("the write-ahead log cannot be cut again: %s", error)


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
        raise StoreError(f"cannot make the directory {path}: {error.strerror}") from error


def sync_path(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
