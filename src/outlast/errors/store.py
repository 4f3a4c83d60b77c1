"""What a store refuses, and how it fails."""

from __future__ import annotations

from outlast.errors.root import OutlastError


class StoreError(OutlastError):
    """The store refuses or fails."""


class StoreLocked(StoreError):
    """Another process owns the database."""

    def __init__(self, path: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{path} is owned by {holder}, and only one engine can own a SQLite store: use that "
            "process, stop it, or open with read_only=True"
        )
        self.path = path
        self.pid = pid


class StoreMissing(StoreError):
    """There is no database at this place."""


class StoreDamaged(StoreError):
    """The database file is not what it should be; it was not touched."""


class StoreTooNew(StoreError):
    """A newer outlast wrote this database."""


class StoreCodecError(StoreError):
    """The database and the codec that it was opened with do not fit: nothing was changed.

    A key is missing or is not the right one, the database is encrypted and there is no codec, or
    the other way round. `key_id` names the key, if it is about one.
    """

    def __init__(self, message: str, key_id: str = "") -> None:
        super().__init__(message)
        self.key_id = key_id


class StoreReadOnly(StoreError):
    """A writing verb was used on a store that was opened for reading."""


class StoreFull(StoreError):
    """The disk is full: nothing was stored. Open runs wait and go on when there is space."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now; runs wait and go on when it is back."""


class StoreBusy(StoreError):
    """So much is looked up that this cannot be, or it takes too long; ask for less, or later."""


class StoreReplaced(StoreUnavailable):
    """The database was taken from an engine that had it open.

    One of its files (database, log, lock) was deleted, moved or replaced, another engine took its
    lease, or another program wrote to it. The engine acknowledges and executes nothing more and
    does not recover by itself: stop the process, put the files in order, and open again.
    """


class CommitUnknown(StoreError):
    """The reply to a commit was lost; the writer asks the store what became of it."""


class LeaseLost(StoreError):
    """Another engine owns this run now; nothing was written."""
