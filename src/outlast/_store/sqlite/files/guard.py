"""What keeps a database's files in their place while an engine runs, and notices when they go.

SQLite's own locks are POSIX locks: they belong to the process, and any code of the process that
opens and closes the file drops them all. Another program then takes the owner for dead: it
empties the shared memory that the owner works with, or deletes the write-ahead log when it closes.
Hence on Linux the owner holds read locks of the open-file-description kind on the same bytes,
through descriptors of its own: nothing else that the process does drops those.

These locks also stop SQLite's own connections of this process from cleaning up. A clean close is
therefore: checkpoint with TRUNCATE, `unlock`, close SQLite's connections (the last one deletes
log and shared memory), `close`. The descriptors come last, because closing them drops the POSIX
locks that SQLite has.

Locks do not stop anything from deleting, moving or replacing a file, or from copying another over
it. What the paths lead to is therefore compared with what was opened before a commit is
acknowledged: device and inode, and of the database also its size and when it was last written,
for only our own checkpoints write it.

The log is looked at only when a name in its directory was made, moved or deleted. Since Linux 6.13
a file that is looked at gets an exact time at its next write, and syncing that costs as much as
half a commit (measured: 60 us of 310); the directory and the database are not written by a commit.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from outlast._store.sqlite.files import byte_locks as sqlite_byte_locks
from outlast._store.sqlite.files.descriptors import close_private, open_private
from outlast._store.sqlite.files.lock import lock_path

log = logging.getLogger("outlast.store")

# From SQLite's "os_unix.c" and "WAL-mode File Format": the range that a connection in use holds
# a shared lock on, and the byte of the shared memory that says that somebody uses it.
_SHARED_FIRST, _SHARED_BYTES = 0x4000_0002, 510
_SHM_IN_USE = 128
_SHM_READERS, _SHM_READER_BYTES = 123, 5  # a reader locks one of these while it reads

Identity = tuple[int, int]  # device and inode


class FileIdentities:
    """Which files the paths led to when this was made."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._expected = {path: _identity(path) for path in paths}

    def __getitem__(self, path: str) -> Identity | None:
        return self._expected[path]

    def is_in_place(self, path: str) -> bool:
        """Whether a path still leads there."""
        return _identity(path) == self._expected[path]

    def difference(self) -> str | None:
        """Say which path leads elsewhere, None when all are as they were."""
        for path, expected in self._expected.items():
            found = _identity(path)
            if found == expected:
                continue
            if found is None:
                return f"{path} was deleted or moved away"
            return f"{path} was replaced by another file"
        return None

    def only_changed(self, path: str) -> bool:
        """Whether this path leads elsewhere, and all others are as they were."""
        return not self.is_in_place(path) and all(
            self.is_in_place(other) for other in self._expected if other != path
        )


# The time of a directory's last change is as coarse as 4 ms on older kernels: another change within
# it does not show. So many commits take longer.
LOOKS = 100


class FileGuard:
    """Holds the files of an open database; made when SQLite has opened all of them."""

    def __init__(self, database: Path) -> None:
        self._database = str(database)
        wal = f"{database}-wal"
        self._shm = f"{database}-shm"
        self._descriptors: list[tuple[int, int, int]] = []
        self._lock = f"{lock_path(database)}"
        self._files = FileIdentities((self._database, wal, self._shm, self._lock))
        self._device, self._inode = self._files[self._database] or (0, 0)
        self._directory = str(database.parent)
        self._renamed_at = 0
        self.looks_left = 0  # commits for which a name in the directory may have changed
        self._size = self._written_at = 0
        self.accept()
        self._hold(self._database, _SHARED_FIRST, _SHARED_BYTES)
        self._hold(self._shm, _SHM_IN_USE, 1)

    @property
    def is_locked(self) -> bool:
        """Whether the locks are held; not every operating system has them."""
        return bool(self._descriptors)

    def is_changed(self) -> bool:
        """Say whether a path leads to another file than the one opened, or to none.

        It is also true when the database was written since `accept`.
        """
        try:
            # Twice a commit: each `Path.stat` would be one call more.
            database = os.stat(self._database)  # noqa: PTH116
            directory = os.stat(self._directory)  # noqa: PTH116  # see `is_changed`
        except OSError:
            return True
        if (
            database.st_ino != self._inode
            or database.st_dev != self._device
            or database.st_mtime_ns != self._written_at
            or database.st_size != self._size
        ):
            return True
        if directory.st_mtime_ns != self._renamed_at:
            self._renamed_at = directory.st_mtime_ns
            self.looks_left = LOOKS
        if not self.looks_left:
            return False
        self.looks_left -= 1
        return self.difference() is not None

    def accept(self) -> None:
        """Take the database file as it was last written: by a checkpoint."""
        try:
            found = os.stat(self._database)  # noqa: PTH116  # see `is_changed`
        except OSError:
            return  # that it is gone shows at the next look
        self._size, self._written_at = found.st_size, found.st_mtime_ns

    def difference(self) -> str | None:
        """Say which of the files is not the one that was opened, None when all are in place."""
        return self._files.difference()

    @property
    def has_database(self) -> bool:
        """Whether the path of the database still leads to the file that was opened."""
        return self._files.is_in_place(self._database)

    @property
    def has_all_but_lock(self) -> bool:
        """Whether the lock file alone is not the one that was locked."""
        return self._files.only_changed(self._lock)

    def log_readers(self) -> set[int] | None:
        """Return the processes that are reading now; -1: one without a number here; None: unknown.

        The descriptor is one that stays: to close another would drop SQLite's own locks.
        """
        shm = next((d for d, first, _ in self._descriptors if first == _SHM_IN_USE), None)
        if shm is None:
            return None
        try:
            return sqlite_byte_locks.holders(shm, _SHM_READERS, _SHM_READER_BYTES)
        except OSError:
            return None

    def unlock(self) -> None:
        """Let go of the locks, so that SQLite can clean up at its close."""
        for descriptor, first, count in self._descriptors:
            sqlite_byte_locks.release(descriptor, first, count)

    def close(self) -> None:
        """Close the descriptors; SQLite's connections must be closed before."""
        while self._descriptors:
            close_private(self._descriptors.pop()[0])

    def _hold(self, path: str, first: int, count: int) -> None:
        if not sqlite_byte_locks.ARE_SUPPORTED:
            return  # macOS: our readers never clean up, and the comparison finds what others do
        try:
            descriptor = open_private(path, os.O_RDONLY)
        except OSError as error:
            log.warning("cannot lock %s against other programs: %s", path, error)
            return
        self._descriptors.append((descriptor, first, count))
        try:
            sqlite_byte_locks.share(descriptor, first, count)
        except OSError as error:
            log.warning("cannot lock %s against other programs: %s", path, error)


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # see `is_changed`
    except OSError:
        return None
    return found.st_dev, found.st_ino
