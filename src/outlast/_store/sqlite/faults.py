"""What SQLite's errors mean to the engine."""

from __future__ import annotations

import ctypes
import errno
import os

import apsw

from outlast._store.sqlite.connection import Connection
from outlast._world import process_id
from outlast.errors import (
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

# RLIMIT_FSIZE says EFBIG and a quota EDQUOT where a full disk says ENOSPC.
_NO_SPACE = frozenset((errno.ENOSPC, errno.EFBIG, errno.EDQUOT))


_DEVICE = (
    "It is the device or the file system that gives this error: look at the kernel's log, stop the "
    "process, and run `outlast db verify` before anything else"
)


def is_full(error: apsw.Error, system_errno: int) -> bool:
    """Say whether a write failed for want of space."""
    return isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError) and system_errno in _NO_SPACE
    )


def is_failed_sync(error: apsw.Error) -> bool:
    """Say whether the disk refused to make written pages durable."""
    # Its stub lacks the attribute.
    code: object = getattr(error, "extendedresult", 0)
    return code in (
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_DIR_FSYNC,
    )


def errno_of(error: apsw.Error, db: Connection) -> int:
    """Return the operating system's number for what went wrong; 0 when there is none.

    Where the device fails to read, SQLite says that the database is malformed, and keeps the number
    with the file.
    """
    if not isinstance(error, apsw.CorruptError):
        return db.system_errno
    number = ctypes.c_int(0)
    try:
        db.file_control("main", apsw.SQLITE_FCNTL_LAST_ERRNO, ctypes.addressof(number))
    except apsw.Error:
        return 0
    return number.value


def read_failed(path: object, error: OSError) -> StoreUnavailable:
    """Return the error for a file of a database that cannot be read now."""
    return StoreUnavailable(f"{path} cannot be read now ({error.strerror or error}). {_DEVICE}")


def forked(path: object, pid: int) -> StoreError:
    """Return the error for a database that came here by fork."""
    return StoreError(
        f"{path} was opened by process {pid}, and this is a fork of it (process {process_id()}): "
        f"open an engine after the fork, not before"
    )


def explain(error: Exception, path: str, db: Connection | None = None) -> Exception:
    """Return the error of ours for what went wrong in a statement; others as they are."""
    if isinstance(error, UnicodeDecodeError):
        return StoreDamaged(
            f"{path} is damaged: a text in it is not valid UTF-8 ({error}); see all damage with "
            f"`outlast db verify --db {path}`"
        )
    if isinstance(error, OSError):
        return read_failed(error.filename or path, error)
    if not isinstance(error, apsw.Error):
        return error
    return translate(error, path, system_errno=0 if db is None else errno_of(error, db))


def translate(error: apsw.Error, path: str, *, system_errno: int = 0) -> StoreError:
    """Return the error of ours that says what went wrong with the database at `path`."""
    if is_full(error, system_errno):
        return StoreFull(f"{path}: no space is left for it ({error}); nothing was stored")
    match error:
        case apsw.NotADBError():
            return StoreDamaged(f"{path} is not a SQLite database ({error}); it was not touched")
        case apsw.CorruptError() if system_errno == errno.EIO:
            return StoreUnavailable(f"{path} cannot be read now (Input/output error). {_DEVICE}")
        case apsw.CorruptError():
            return StoreDamaged(
                f"{path} is damaged ({error}), unless its device fails to read: see with `outlast "
                f"db verify --db {path}`, and restore it from a backup if it is damaged"
            )
        case (
            apsw.SQLError()
            | apsw.ConstraintError()
            | apsw.TooBigError()
            | apsw.MismatchError()
            | apsw.InternalError()
        ):
            # Our statements fit our tables: what is stored is not what we have written.
            return StoreDamaged(f"{path} is damaged ({error}); restore it from a backup")
        case apsw.BusyError() | apsw.LockedError():
            return StoreUnavailable(f"{path} is locked by another program ({error})")
        case apsw.ReadOnlyError():
            return StoreReadOnly(
                f"{path} cannot be written ({error}): check its permissions and its directory's, "
                f"and whether it was moved while it was open"
            )
        case apsw.IOError() | apsw.CantOpenError() | apsw.PermissionsError() | apsw.NoMemError():
            cause = f": {os.strerror(system_errno)}" if system_errno else ""
            return StoreUnavailable(f"{path} cannot be read or written now ({error}{cause})")
        case _:
            return StoreError(f"{path}: {type(error).__name__}: {error}")
