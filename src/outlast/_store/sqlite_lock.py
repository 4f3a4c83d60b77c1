"""The owner lock of a database: a `flock` on a file beside it, held as long as its engine lives.

Invariants:
  * a lock is held by at most one process, and in it by at most one opening;
  * the lock file stays: deleting it would let two processes hold locks on two files of one name.

A `flock` belongs to the open file, not to the process as a POSIX lock does: code of the same
process that reads or copies the lock file does not drop it. The operating system drops it when
the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from outlast._store.sqlite_descriptors import close_private, open_private
from outlast._world import process_id
from outlast.errors import StoreError, StoreLocked

_TEXT_BYTES_MAX = 64
# The second line of a lock file, once its database exists.
_MADE = "database made"
# 9p is how WSL mounts Windows' disks; SQLite's locks and its shared memory do not work there.
_NETWORK_TYPES = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs"} | {
    f"fuse.{kind}" for kind in ("sshfs", "glusterfs", "s3fs", "rclone")
}

_held: dict[Path, int] = {}  # database -> process: a child after fork has its parent's entries
_guard = threading.Lock()


class OwnerLock:
    """The right to write one database file, until `release`."""

    def __init__(self, database: Path) -> None:
        """Take the lock.

        Raises:
            StoreLocked: it is held, in this process or another one.
            StoreError: the lock file cannot be made.
        """
        self._database = database
        self._path = lock_path(database)
        with _guard:
            if _held.get(database) == process_id():
                raise StoreLocked(str(database), process_id())
            self._descriptor = self._take()
            _held[database] = process_id()

    def _take(self) -> int:
        while True:
            try:
                descriptor = open_private(str(self._path), os.O_RDWR | os.O_CREAT)
            except OSError as error:
                raise StoreError(
                    f"cannot make the lock file {self._path}: {error.strerror}"
                ) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = _pid_in(_text_of(descriptor))
                close_private(descriptor)
                raise StoreLocked(str(self._database), pid) from None
            except OSError as error:
                close_private(descriptor)
                raise StoreError(f"cannot lock {self._path}: {error.strerror}") from error
            if self._is_current(descriptor):
                _write(descriptor, f"{process_id()}\n", was_made=_is_made(_text_of(descriptor)))
                return descriptor
            close_private(descriptor)  # it was deleted meanwhile: lock the new file

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def note_database(self, *, is_there: bool) -> None:
        """Keep in the lock file whether the database exists, for when only this file is left."""
        _write(self._descriptor, f"{process_id()}\n", was_made=is_there)

    def release(self) -> None:
        """Let another process or opening have it."""
        with _guard:
            # In a child after fork the lock is the parent's, and its descriptor is closed here.
            if _held.get(self._database) != process_id():
                return
            del _held[self._database]
            _write(self._descriptor, "\n", was_made=_is_made(_text_of(self._descriptor)))
            close_private(self._descriptor)


def lock_path(database: Path) -> Path:
    """Return the lock file of a database."""
    return database.with_name(database.name + ".lock")


def read_holder(database: Path) -> int | None:
    """Return the process id in a lock file; None when its lock was released.

    A process that was killed leaves its id there, so the caller must look whether it lives.
    """
    try:
        return _pid_in(lock_path(database).read_bytes().decode("ascii", "replace"))
    except OSError:
        return None


def had_database(database: Path) -> bool:
    """Say whether the lock file of a database tells that the database once existed."""
    try:
        return _is_made(lock_path(database).read_bytes().decode("ascii", "replace"))
    except OSError:
        return False


def is_held_here(database: Path) -> bool:
    """Say whether this process owns the database already."""
    return _held.get(database) == process_id()


def refuse_network_file_system(database: Path) -> None:
    """Refuse a place where locks of files and shared memory cannot be trusted.

    Raises:
        StoreError: unless OUTLAST_ALLOW_NETWORK_FS=1.
    """
    if os.environ.get("OUTLAST_ALLOW_NETWORK_FS") == "1":
        return
    kind = file_system_of(database, _mounts())
    if kind in _NETWORK_TYPES:
        raise StoreError(
            f"{database} is on a network file system ({kind}), where SQLite can lose data: "
            f"use a local disk, or set OUTLAST_ALLOW_NETWORK_FS=1 if you know better"
        )


def file_system_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds `path`, given the text of /proc/mounts."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].encode().decode("unicode_escape"))
        # Of equals the later one counts: it is mounted over the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _text_of(descriptor: int) -> str:
    return os.pread(descriptor, _TEXT_BYTES_MAX, 0).decode("ascii", "replace")


def _pid_in(text: str) -> int | None:
    pid = text.partition("\n")[0].strip()
    return int(pid) if pid.isdigit() else None


def _is_made(text: str) -> bool:
    return text.partition("\n")[2].strip() == _MADE


def _write(descriptor: int, first_line: str, *, was_made: bool) -> None:
    text = first_line + (f"{_MADE}\n" if was_made else "")
    os.ftruncate(descriptor, 0)
    if text.strip():
        os.pwrite(descriptor, text.encode(), 0)
