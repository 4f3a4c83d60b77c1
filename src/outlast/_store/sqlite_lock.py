"""Who owns a database file: a lock on a file beside it, held as long as its engine lives.

Invariants:
  * a lock is held by at most one process, and in it by at most one opening;
  * the lock file stays: deleting it would let two processes hold locks on two files of one name.

A POSIX lock belongs to the process. A second opening in the same process would get it too, and
closing any descriptor of the file drops it: hence the registry, which is asked before the lock
file is ever opened. The operating system drops the lock when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from outlast._world import process_id
from outlast.errors import StoreError, StoreLocked

_PID_CHARS_MAX = 20
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
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(
                    f"cannot make the lock file {self._path}: {error.strerror}"
                ) from error
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = _read_pid(descriptor)
                os.close(descriptor)
                raise StoreLocked(str(self._database), pid) from None
            except OSError as error:
                os.close(descriptor)
                raise StoreError(f"cannot lock {self._path}: {error.strerror}") from error
            if self._is_current(descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{process_id()}\n".encode(), 0)
                return descriptor
            os.close(descriptor)  # somebody deleted it meanwhile: lock the new one

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have it."""
        with _guard:
            # In a child after fork the lock is the parent's; the descriptor is only a copy.
            if _held.get(self._database) == process_id():
                del _held[self._database]
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)


def lock_path(database: Path) -> Path:
    """Return the lock file of a database."""
    return database.with_name(database.name + ".lock")


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


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, _PID_CHARS_MAX, 0).strip()
    return int(text) if text.isdigit() else None
