"""A database looked at before it is opened: what is lost, and whether the log beside it is its own.

Invariants:
  * until all was looked at, nothing is written;
  * a log that would take the database back is never applied: it is set aside, or the database is
    refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from outlast import limits
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.files.lock import living_holder
from outlast._store.sqlite.files.loss import (
    Commits,
    Loss,
    explain,
    find_loss,
    read_commits,
    settle_mark,
)
from outlast._store.sqlite.files.mark import MarkContent, mark_path, read_mark
from outlast._store.sqlite.files.set_aside import set_log_aside
from outlast._store.sqlite.files.stale_log import (
    StaleLog,
    State,
    explain_difference,
    is_ahead,
    is_same_number,
    is_stale,
    log_path,
    may_be_damaged,
    read_carriers,
    refuse_to_read,
    refuse_unwhole,
)
from outlast._store.sqlite.files.wal import LogContent, has_copied_page, read_log
from outlast._store.sqlite.opening import (
    open_file_alone,
    open_reader,
    open_writer,
    pragma,
    size_of,
    translated,
)
from outlast._store.sqlite.tables.checks import Checks
from outlast._store.sqlite.tables.schema import (
    check,
    check_tables,
    create_database,
    is_there,
    migrate,
    missing,
    missing_part,
    newest_version,
    refuse_hard_links,
    remove_leftovers,
)
from outlast._store.sqlite.tables.verify import lost_runs, structure_fault
from outlast.errors import StoreDamaged, StoreError

log = logging.getLogger("outlast.store")


def prepare(
    path: Path,
    *,
    create: bool,
    checks: Checks | None = None,
    begin: Callable[[Connection], None] | None = None,
) -> Connection:
    """Return the writing connection to a database that is whole and of the newest schema.

    The caller holds the owner lock. `checks` hears what is damaged, `begin` gets a new database.

    Raises:
        StoreMissing, StoreDamaged, StoreTooNew, StoreError: what is there cannot be used.
    """
    remove_leftovers(path)
    is_new = not is_there(path)
    if is_new:
        if not create:
            raise missing(path)
        create_database(path, begin)
    refuse_hard_links(path)
    checks = Checks(path, open_reader) if checks is None else checks
    _check_unopened(path, checks)
    db = open_writer(path)
    try:
        migrate(db, path)
        check_tables(db, path)
        checks.look_at_rows(db, limits.ROWS_VERIFIED_AT_OPEN_BYTES)
        commits = read_commits(db, newest_version())
        if commits is not None and not is_new:
            settle_mark(path, commits, read_mark(path))
    except BaseException:
        db.close(True)
        raise
    return db


def prepare_reading(path: Path, *, may_be_old: bool = False) -> None:
    """Check that a database can be read; of an older schema only with `may_be_old`.

    Raises:
        StoreMissing, StoreDamaged, StoreTooNew, StoreError: it cannot.
    """
    if not is_there(path):
        raise missing(path)
    mark = read_mark(path)  # before the database: an owner writes it after
    _refuse_stale_log(path, mark)
    db = open_reader(path)
    try:
        version = check(db, path)
        is_old = version < newest_version()
        if is_old and not may_be_old:
            raise StoreError(
                f"{path} was written by an older version of outlast and must be migrated first: "
                "run `outlast db migrate`, or open it once for writing"
            )
        if not is_old:
            check_tables(db, path)
        commits = read_commits(db, version)
        loss = find_loss(path, commits, mark, LogContent())
        if loss is not None:
            raise StoreDamaged(explain(path, loss))
    finally:
        db.close(True)


def _check_unopened(path: Path, checks: Checks) -> None:
    """Look before a writer opens it: at its close it would empty even a foreign WAL into it."""
    found = examine(path)
    if found.loss is not None:
        raise StoreDamaged(explain(path, found.loss))
    if found.stale_log is not None:
        _set_aside(found.stale_log)
    db = _open_unowned(path)
    try:
        checks.look_at_structure(db, limits.VERIFIED_AT_OPEN_BYTES)
    finally:
        db.close(True)


def _set_aside(stale: StaleLog) -> None:
    try:
        kept = set_log_aside(stale.database)
    except OSError as error:
        raise StoreError(f"cannot rename {stale.path}: {error.strerror}") from error
    log.warning("%s. It was not applied; it is now %s", stale.text, kept)


def _open_unowned(path: Path) -> Connection:
    if size_of(log_path(path)):
        return open_reader(path)
    with translated(path):
        return open_file_alone(path)  # leaves no files beside one that may not be ours


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found before a database is opened."""

    loss: Loss | None = None
    stale_log: StaleLog | None = None  # to be set aside; the loss is that of the file alone


def look_for_loss(path: Path, *, is_owned: bool = False) -> Loss | None:
    """Return which acknowledged commits a database has lost; see `examine`."""
    return examine(path, is_owned=is_owned).loss


def examine(path: Path, *, is_owned: bool = False) -> Examination:
    """Return what is lost, and whether the log is one of an earlier time, without writing to it.

    Of a database that a process owns, only the mark can be compared: its log is being written.

    Raises:
        StoreDamaged, StoreTooNew, StoreError: what is there is no database that can be read.
    """
    # First the mark: an owner that commits meanwhile writes it after the database.
    mark = read_mark(path)
    if not is_owned and (stale := find_stale_log(path, mark)) is not None:
        return Examination(_loss_beside(stale, mark), stale)
    content = LogContent() if is_owned else _read_log(path)
    db = _open_unowned(path)
    try:
        version = check(db, path)
        with translated(path):
            commits = read_commits(db, version)
    finally:
        db.close(True)
    return Examination(find_loss(path, commits, mark, content))


def _loss_beside(stale: StaleLog, mark: MarkContent | None) -> Loss | None:
    loss = find_loss(stale.database, stale.commits, mark, LogContent())
    return None if loss is None else replace(loss, reason=f"{loss.reason}; {stale.text}")


def _refuse_stale_log(path: Path, mark: MarkContent | None) -> None:
    """Refuse to read a database with a log that would take it back; an owner watches its own."""
    if living_holder(path) is not None:
        return
    stale = find_stale_log(path, mark)
    if stale is None or living_holder(path) is not None:
        return
    loss = _loss_beside(stale, mark)
    raise refuse_to_read(stale) if loss is None else StoreDamaged(explain(path, loss))


def find_stale_log(path: Path, mark: MarkContent | None) -> StaleLog | None:
    """Return the log of a database that no process owns, if it would take the database back.

    Raises:
        StoreDamaged: it is the log of another database, the file is not whole without its right
            log, or it is older than the log.
        StoreTooNew, StoreError: what is there cannot be read.
    """
    if not size_of(log_path(path)):
        return None
    try:
        with translated(path):
            db = open_file_alone(path)
    except StoreError:
        return None  # half a checkpoint is in it; only with its log is it whole
    try:
        return _compare_with_log(db, path, mark)
    finally:
        db.close(True)


def _compare_with_log(db: Connection, path: Path, mark: MarkContent | None) -> StaleLog | None:
    try:
        alone = _read_state(db, path)
    except StoreError:
        return None  # as above
    if alone.commits is None or not alone.commits.database_id:
        return None  # older than identities: the log brings the first one
    through = _read_through_log(path)
    if through is not None and through.commits is not None:
        _refuse_foreign_log(path, alone.commits, through.commits)
    if through is not None and through.commits is not None and mark is not None:
        _refuse_older_file(path, alone.commits, through.commits, mark)
    if through is not None and is_ahead(alone, through):
        return None
    content = _read_log(path)
    try:
        with translated(path):
            carriers = read_carriers(db, alone.commits)
    except StoreError:
        return None  # the file alone is damaged
    if may_be_damaged(content, carriers):
        return None
    if through is not None and not is_stale(alone, through, content, carriers):
        return None
    stale = StaleLog(path, alone.commits, explain_difference(alone.commits, through))
    fault = _fault_alone(db, path)
    if fault is None:
        return stale
    if through is not None and not is_same_number(alone, through):
        raise refuse_unwhole(stale, fault)
    return None  # what cannot be read is damaged itself, or a migration is half copied


def _read_state(db: Connection, path: Path) -> State:
    version = check(db, path)
    with translated(path):
        return State(version, read_commits(db, version))


def _read_through_log(path: Path) -> State | None:
    """Return what a database says of itself with its log, None when that cannot be read."""
    try:
        db = open_reader(path)
        try:
            return _read_state(db, path)
        finally:
            db.close(True)
    except StoreDamaged:
        return None


def _read_log(path: Path) -> LogContent:
    try:
        return read_log(log_path(path))
    except OSError as error:
        raise StoreError(f"cannot read {log_path(path)}: {error.strerror}") from error


def _fault_alone(db: Connection, path: Path) -> str | None:
    """Return what is wrong with a database file without its log, in words."""
    if path.stat().st_size < pragma(db, "page_count") * pragma(db, "page_size"):
        return "its end is missing"
    lost = missing_part(db, pragma(db, "user_version"))
    if lost is not None:
        return f"it has no {lost}"
    fault = structure_fault(db)
    if fault is not None:
        return fault
    return next((f"run {run!r} has data, and no row of its own" for run in lost_runs(db)), None)


def _refuse_older_file(path: Path, alone: Commits, through: Commits, mark: MarkContent) -> None:
    """Refuse a file of an earlier time under a log that begins where a later checkpoint ended.

    The number in the right file can be lower too while a checkpoint of cut rows is interrupted;
    then there is a page in it that was copied from the log.
    """
    is_between = alone.number < mark.number_in_file <= through.number
    if mark.database_id != alone.database_id or not is_between:
        return
    content = _read_log(path)
    try:
        if has_copied_page(log_path(path), path, content.bytes_valid):
            return
    except OSError as error:
        raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error
    raise StoreDamaged(
        f"{path} is older than its write-ahead log: it ends with commit {alone.number}, and "
        f"{mark_path(path)} says that commit {mark.number_in_file} was copied into it. Nothing was "
        f"changed. Put the right database file back, or restore a backup with `outlast db restore`"
    )


def _refuse_foreign_log(path: Path, alone: Commits, through_log: Commits) -> None:
    """Refuse the log of another database: SQLite would write it over this one.

    The identity of a database never changes, so the file alone must have the one that is read
    through the log.
    """
    if alone.database_id != through_log.database_id:
        raise StoreDamaged(
            f"{path}-wal is the write-ahead log of another database. Nothing was changed. Put the "
            f"right log back (or the right database, if that was exchanged); without it restore a "
            f"backup with `outlast db restore`"
        )
