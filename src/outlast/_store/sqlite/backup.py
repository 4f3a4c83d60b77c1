"""Copies of a whole database: backing up, restoring, and going on after a loss.

Invariants:
  * a copy is complete and checked before it has its name;
  * nothing is deleted: what stood in the place of a restored or salvaged database is kept in a
    directory beside it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import apsw

from outlast._store.sqlite.connection import connect
from outlast._store.sqlite.examination import examine, prepare_reading
from outlast._store.sqlite.faults import translate
from outlast._store.sqlite.files.lock import OwnerLock
from outlast._store.sqlite.files.loss import Loss, read_commits
from outlast._store.sqlite.files.mark import mark_path, write_mark
from outlast._store.sqlite.files.set_aside import (
    newest_kept,
    refuse_interrupted,
    restoring_path,
    set_aside,
    set_log_aside,
)
from outlast._store.sqlite.files.stale_log import StaleLog
from outlast._store.sqlite.files.traces import without_traces
from outlast._store.sqlite.files.write_ahead_log import sync_path
from outlast._store.sqlite.opening import open_reader, open_writer
from outlast._store.sqlite.tables.schema import newest_version
from outlast._store.sqlite.tables.seal import mark_as_copy
from outlast.errors import StoreDamaged, StoreError, UsageError

# A step reads so many pages in one read transaction. While one is open, the log cannot start anew.
_STEP_PAGES = 2_000
# A commit of another process between two steps makes the copy begin again. After so many times
# the rest is read in one transaction: a copy that never ends would be no better.
_RESTARTS_MAX = 3


def copy_database(source: Path, target: Path) -> None:
    """Copy a database to a file that exists and is empty; a process may be writing to the source.

    Raises:
        StoreError: it cannot be read or written, or the copy is not whole.
    """
    try:
        _copy(source, target)
    except apsw.Error as error:
        raise translate(error, str(target)) from error


def _copy(source: Path, target: Path) -> None:
    reader = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    reader.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    copy = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with copy.backup("main", reader, "main") as work:
            restarts, left = 0, 0
            while not work.step(_STEP_PAGES if restarts < _RESTARTS_MAX else -1):
                restarts += work.remaining >= left > 0
                left = work.remaining
    finally:
        reader.close(True)
        copy.close(True)
    db = connect(str(target), apsw.SQLITE_OPEN_READWRITE)
    try:
        found = db.pragma("integrity_check")
        if found != "ok":
            raise StoreError(f"the copy of {source} is incomplete ({found}); it was removed")
        if db.execute(
            "SELECT 1 FROM pragma_table_info('shards') WHERE name = 'is_copy'"
        ).fetchall():
            # It has no mark, and needs none before it is opened for writing.
            mark_as_copy(db)
    finally:
        db.close(True)


def restore(backup: Path, path: Path) -> Path | None:
    """Put a copy of a backup in the place of a database; return where what stood there is kept.

    A restore that was interrupted is gone on with: all that stood there ends in one directory.

    Raises:
        StoreLocked: a process runs the database.
        StoreMissing, StoreDamaged, StoreTooNew: the backup cannot be used.
        StoreError: it cannot be written; what stood there is unchanged, or in the directory.
    """
    if backup.resolve() == path:
        raise UsageError(f"{backup} is the database itself: give the path of a backup")
    with without_traces(backup):
        return _restore(backup, path)


def _restore(backup: Path, path: Path) -> Path | None:
    prepare_reading(backup, may_be_old=True)
    lock = OwnerLock(path)
    try:
        building = restoring_path(path)
        is_again = building.exists()
        _beside(building, "-journal").unlink(missing_ok=True)  # of a copy that was interrupted
        # Emptied, not removed: that it is there says that a restore was interrupted.
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(building, flags, 0o600))
        copy_database(backup, building)
        sync_path(building)
        kept = set_aside(path) or (newest_kept(path) if is_again else None)
        building.rename(path)
        sync_path(path.parent)
        lock.note_database(is_there=True)
        _write_mark(path)
    except OSError as error:
        raise StoreError(f"cannot restore {path}: {error.strerror} ({error.filename})") from error
    finally:
        lock.release()
    return kept


@dataclass(frozen=True, slots=True)
class Salvage:
    """What a salvage has found and done."""

    loss: Loss | None
    kept: Path | None = None  # the files as they were; None when nothing was done
    stale_log: StaleLog | None = None


def salvage(path: Path, accepted: int | None) -> Salvage:
    """Go on without commits that are lost, if just so many are `accepted`.

    A log of an earlier time is not applied: what the database file has is kept.

    Raises:
        StoreLocked: a process runs the database.
        UsageError: another number was accepted.
        StoreError: what is left cannot be used either.
    """
    lock = OwnerLock(path)
    try:
        refuse_interrupted(path)
        found = examine(path)
        loss = found.loss
        if loss is None or accepted is None:
            return Salvage(loss, stale_log=found.stale_log)
        if accepted != loss.commits:
            raise UsageError(
                f"{path} lacks {loss.commits} acknowledged commits, not {accepted}: nothing was "
                f"changed. Look again at what is lost, and accept that number"
            )
        kept = _new_directory(path, "before-salvage")
        for suffix in ("", "-wal", ".mark"):
            file = _beside(path, suffix)
            if file.exists():
                shutil.copy2(file, kept / file.name)
                sync_path(kept / file.name)
        sync_path(kept)
        sync_path(path.parent)
        if found.stale_log is not None:
            set_log_aside(path)
        _empty_log(path)
        _write_mark(path)
    except OSError as error:
        raise StoreError(f"cannot salvage {path}: {error.strerror} ({error.filename})") from error
    finally:
        lock.release()
    return Salvage(loss, kept, found.stale_log)


def _empty_log(path: Path) -> None:
    db = open_writer(path)
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        found = db.pragma("integrity_check")
    except apsw.Error as error:
        raise translate(error, str(path)) from error
    finally:
        db.close(True)
    if found != "ok":
        raise StoreDamaged(f"{path} is damaged itself ({found}): restore it from a backup")


def _write_mark(path: Path) -> None:
    db = open_reader(path)
    try:
        version = db.pragma("user_version")
        commits = read_commits(db, version if isinstance(version, int) else newest_version())
    finally:
        db.close(True)
    if commits is None:
        mark_path(path).unlink(missing_ok=True)  # an older schema: its mark is made when opened
    else:
        write_mark(path, commits.as_mark)


def _new_directory(path: Path, what: str) -> Path:
    number = 1
    while (found := _beside(path, f".{what}-{number}")).exists():
        number += 1
    found.mkdir(mode=0o700)
    return found


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
