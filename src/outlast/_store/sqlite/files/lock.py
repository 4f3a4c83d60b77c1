"""The owner lock of a database: a `flock` on a file beside it, held as long as its engine lives.

Invariants:
  * a lock is held by at most one process, and in it by at most one opening;
  * the lock file of a database stays: deleting it would let two processes hold locks on two files
    of one name. Only an opening that made the file, and did not get a database, removes it again.

Where the lock file was deleted all the same, a second lock turns others away: on Linux the owner
also holds an exclusive open-file-description lock on one byte of the database file itself. SQLite
does not use that byte, so readers in other processes are not disturbed.

A `flock` belongs to the open file, not to the process as a POSIX lock does: code of the same
process that reads or copies the lock file does not drop it. The operating system drops it when
the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
from pathlib import Path

from outlast._store.sqlite.files import byte_locks as sqlite_byte_locks
from outlast._store.sqlite.files.descriptors import close_private, open_private
from outlast._world import process_id
from outlast.errors import StoreError, StoreLocked

_TEXT_BYTES_MAX = 64
# The second line of a lock file, once its database exists.
_MADE = "database made"
# Behind the bytes that SQLite locks (from 0x4000_0000, 512 of them), in the page it never uses.
_OWNER_BYTE = 0x4000_0200
# 9p is how WSL mounts Windows' disks; SQLite's locks and its shared memory do not work there.
_NETWORK_TYPES = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs"} | {
    f"fuse.{kind}" for kind in ("sshfs", "glusterfs", "s3fs", "rclone")
}

log = logging.getLogger("outlast.store")

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
            self._is_new = False
            self._on_database: int | None = None
            self._descriptor = self._take()
            try:
                self._lock_database()
            except BaseException:
                self._let_go()
                raise
            _held[database] = process_id()

    def _take(self) -> int:
        while True:
            try:
                descriptor = self._open()
            except OSError as error:
                raise StoreError(
                    f"cannot create the lock file {self._path}: {error.strerror}"
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

    def _open(self) -> int:
        try:
            descriptor = open_private(str(self._path), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            self._is_new = False
            return open_private(str(self._path), os.O_RDWR | os.O_CREAT)
        self._is_new = True
        return descriptor

    def _lock_database(self) -> None:
        """Lock the owner's byte of the database, if it is there.

        Raises:
            StoreLocked: another owner has it: its lock file was deleted or replaced.
        """
        if not sqlite_byte_locks.ARE_SUPPORTED:
            return
        path = str(self._database)
        try:
            found = self._database.stat()
            if not stat.S_ISREG(found.st_mode):
                return
            if self._on_database is not None:
                if os.path.samestat(os.fstat(self._on_database), found):
                    return
                close_private(self._on_database)
                self._on_database = None
            self._on_database = open_private(path, os.O_RDWR)
            sqlite_byte_locks.exclude(self._on_database, _OWNER_BYTE, 1)
        except BlockingIOError:
            raise StoreLocked(path, None) from None
        except OSError as error:
            # Whoever opens the database says what is wrong with it.
            log.debug("cannot lock %s: %s", path, error)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def note_database(self, *, is_there: bool) -> None:
        """Lock a database that was made, and keep in the lock file that it exists.

        That is for when only the lock file is left.

        Raises:
            StoreLocked: another owner has the database that is there now.
        """
        self._lock_database()
        self._is_new = False
        _write(self._descriptor, f"{process_id()}\n", was_made=is_there)

    def release(self) -> None:
        """Let another process or opening have it."""
        with _guard:
            # In a child after fork the lock is the parent's, and its descriptor is closed here.
            if _held.get(self._database) != process_id():
                return
            del _held[self._database]
            self._let_go()

    def _let_go(self) -> None:
        if self._is_new and self._is_current(self._descriptor):
            # It is removed while it is locked: whoever waits for it then makes another one.
            self._path.unlink(missing_ok=True)
        _write(self._descriptor, "\n", was_made=_is_made(_text_of(self._descriptor)))
        if self._on_database is not None:
            close_private(self._on_database)
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


def living_holder(database: Path) -> int | None:
    """Return the process that owns a database, None when none does; this does not take the lock."""
    # The owner empties the line when it lets go; one that was killed leaves its number.
    pid = read_holder(database)
    if pid is None:
        return None
    if pid == process_id():  # in a container an owner that was killed had the same number
        return pid if is_held_here(database) else None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, as another user
    return pid


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
            f"{database} is on a network file system ({kind}), where SQLite can lose data: use a "
            "local disk, or set OUTLAST_ALLOW_NETWORK_FS=1 to accept the risk"
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
