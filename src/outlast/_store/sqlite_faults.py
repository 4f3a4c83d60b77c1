"""What SQLite's errors mean to the engine."""

from __future__ import annotations

import errno

import apsw

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


def forked(path: object, pid: int) -> StoreError:
    """Return the error for a database that came here by fork."""
    return StoreError(
        f"{path} was opened by process {pid}, and this is a fork of it (process {process_id()}): "
        f"open an engine after the fork, not before"
    )


def explain(error: Exception, path: str) -> Exception:
    """Return the error of ours for what went wrong in a statement; others as they are."""
    if isinstance(error, UnicodeDecodeError):
        return StoreDamaged(
            f"{path} is damaged: a text in it is none ({error}); see all damage with "
            f"`outlast db verify --db {path}`"
        )
    return translate(error, path) if isinstance(error, apsw.Error) else error


def translate(error: apsw.Error, path: str, *, system_errno: int = 0) -> StoreError:
    """Return the error of ours that says what went wrong with the database at `path`."""
    if is_full(error, system_errno):
        return StoreFull(f"{path}: no space is left for it ({error}); nothing was stored")
    match error:
        case apsw.NotADBError():
            return StoreDamaged(f"{path} is not a SQLite database ({error}); it was not touched")
        case apsw.CorruptError():
            return StoreDamaged(f"{path} is damaged ({error}); restore it from a backup")
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
            return StoreUnavailable(f"{path} is held by another program ({error})")
        case apsw.ReadOnlyError():
            return StoreReadOnly(
                f"{path} cannot be written ({error}): check its permissions and its directory's, "
                f"and whether it was moved while it was open"
            )
        case apsw.IOError() | apsw.CantOpenError() | apsw.PermissionsError() | apsw.NoMemError():
            return StoreUnavailable(f"{path} cannot be read or written now ({error})")
        case _:
            return StoreError(f"{path}: {type(error).__name__}: {error}")
