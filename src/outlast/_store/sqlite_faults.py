"""What SQLite's errors mean to the engine."""

from __future__ import annotations

import errno

import apsw

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


def translate(error: apsw.Error, path: str, *, system_errno: int = 0) -> StoreError:
    """Return the error of ours that says what went wrong with the database at `path`."""
    if is_full(error, system_errno):
        return StoreFull(f"{path}: no space is left for it ({error}); nothing was stored")
    match error:
        case apsw.NotADBError():
            return StoreDamaged(f"{path} is not a SQLite database ({error}); it was not touched")
        case apsw.CorruptError():
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
