"""A database file: made whole or not at all, brought up to date, refused when it is not ours.

Invariants:
  * under its own name a database is complete: it is built under another one and renamed;
  * a file that is not what it should be is never written;
  * a migration is one transaction with the number that says it was made.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import apsw

from outlast import limits
from outlast._store.sqlite_checks import Checks
from outlast._store.sqlite_connection import BUSY_MILLISECONDS, Connection, connect
from outlast._store.sqlite_faults import translate
from outlast._store.sqlite_files import sync_path
from outlast._store.sqlite_lock import had_database, lock_path
from outlast._store.sqlite_loss import (
    Commits,
    Loss,
    explain,
    find_loss,
    read_commits,
    settle_mark,
)
from outlast._store.sqlite_mark import read_mark
from outlast._store.sqlite_seal import CHECKSUMS_SCHEMA, seal
from outlast._store.sqlite_set_aside import refuse_interrupted, remove_remains
from outlast._store.sqlite_wal import LogContent, read_log
from outlast.errors import (
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreTooNew,
)

APPLICATION_ID = 0x4F75744C  # "OutL", in the file's header
PARTIAL = ".partial"  # how the name of a directory ends in which a backup is made
_STATEMENTS_CACHED = 300  # every statement has a text for each power of two rows

_PRAGMAS = (
    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA foreign_keys=ON;"
    "PRAGMA temp_store=MEMORY;"
)
# WAL alone would let the last commits vanish at a power loss.
_WRITER_PRAGMAS = "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;" + (
    "PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;" if sys.platform == "darwin" else ""
)


def prepare(path: Path, *, create: bool, checks: Checks | None = None) -> Connection:
    """Return the writing connection to a database that is whole and of the newest schema.

    The caller holds the owner lock. `checks` hears what is damaged.

    Raises:
        StoreMissing, StoreDamaged, StoreTooNew, StoreError: what is there cannot be used.
    """
    _remove_leftovers(path)
    is_new = not is_there(path)
    if is_new:
        if not create:
            raise missing(path)
        _create(path)
    _refuse_hard_links(path)
    checks = Checks(path, open_reader) if checks is None else checks
    _check_unopened(path, checks)
    db = open_writer(path)
    try:
        _migrate(db, path)
        _check_tables(db, path)
        checks.look_at_rows(db, limits.ROWS_VERIFIED_AT_OPEN_BYTES)
        commits = read_commits(db, newest_version())
        if commits is not None and not is_new:
            settle_mark(path, commits, read_mark(path))
    except BaseException:
        db.close(True)
        raise
    return db


def _refuse_hard_links(path: Path) -> None:
    """Refuse a file with two names: each has its own lock and log beside it."""
    count = path.stat().st_nlink
    if count > 1:
        left = _left_by_backup(path)
        if left is not None and count == 2:
            raise StoreError(
                f"{path} has a second name, {left}: an `outlast db backup` was killed when the "
                f"backup was complete, before it removed that name. The backup is whole. Delete "
                f"the directory {left.parent}, and open it again"
            )
        raise StoreError(
            f"{path} has {count} names (hard links): an engine that opens it by another one takes "
            f"no notice of this one's lock and write-ahead log, and both would write to it. Make a "
            f"copy with `outlast db backup FILE --db {path}`, or delete the other names (`find / "
            f"-samefile {path}`)"
        )


def _left_by_backup(path: Path) -> Path | None:
    """Return the name of a database that a killed backup has left beside the one it was given."""
    others = path.parent.glob(f"*{PARTIAL}/*")
    return next((other for other in others if other.is_file() and other.samefile(path)), None)


def prepare_reading(path: Path, *, may_be_old: bool = False) -> None:
    """Check that a database can be read; of an older schema only with `may_be_old`.

    Raises:
        StoreMissing, StoreDamaged, StoreTooNew, StoreError: it cannot.
    """
    if not is_there(path):
        raise missing(path)
    mark = read_mark(path)  # before the database: an owner writes it after
    db = open_reader(path)
    try:
        version = _check(db, path)
        is_old = version < newest_version()
        if is_old and not may_be_old:
            raise StoreError(
                f"{path} was written by an older outlast and must be brought up to date first: "
                f"open it once for writing"
            )
        if not is_old:
            _check_tables(db, path)
        commits = read_commits(db, version)
        loss = find_loss(path, commits, mark, LogContent())
        if loss is not None:
            raise StoreDamaged(explain(path, loss))
    finally:
        db.close(True)


def missing(path: Path) -> StoreMissing:
    """Return the error for a database that is not there."""
    return StoreMissing(f"there is no database at {path}; is the path right?")


def open_writer(path: Path) -> Connection:
    """Return a writing connection to an existing database."""
    with _translated(path):
        db = connect(str(path), apsw.SQLITE_OPEN_READWRITE, statements_cached=_STATEMENTS_CACHED)
        db.set_busy_timeout(BUSY_MILLISECONDS)
        db.execute(_PRAGMAS + _WRITER_PRAGMAS).fetchall()
    return db


def open_reader(path: Path) -> Connection:
    """Return a reading connection; it works beside an owner and without one."""
    with _translated(path):
        try:
            return _open_reading(str(path), 0)
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            # A database on a read-only disk cannot have the shared memory of a WAL. It needs none
            # when nothing is in the WAL, for then nobody writes.
            if _size(_beside(path, "-wal")):
                raise
            return _open_immutable(path)


def read_file_commits(path: Path) -> Commits | None:
    """Return what the database file alone says of its commits, without its log.

    Raises:
        StoreDamaged, StoreError: it is no database of ours, or cannot be read.
    """
    with _translated(path):
        db = _open_immutable(path)
        try:
            return read_commits(db, _pragma(db, "user_version"))
        finally:
            db.close(True)


def _open_immutable(path: Path) -> Connection:
    quoted = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return _open_reading(f"file:{quoted}?immutable=1", apsw.SQLITE_OPEN_URI)


def _open_reading(name: str, flags: int) -> Connection:
    db = connect(name, apsw.SQLITE_OPEN_READONLY | flags)
    try:
        # The last one to close a database would delete its log, and an owner that lost its locks
        # to a program in its own process does not look like one.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.set_busy_timeout(BUSY_MILLISECONDS)
        db.execute(_PRAGMAS + "PRAGMA query_only=ON").fetchall()
        db.execute("SELECT 1 FROM sqlite_schema").fetchall()
    except BaseException:
        db.close(True)
        raise
    return db


# ------------------------------------------------------------------------ making
def _create(path: Path) -> None:
    building = _beside(path, ".creating")
    try:
        # SQLite would make it readable for all, and gives its WAL the same permissions.
        os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot make a database at {path}: {error.strerror}") from error
    with _translated(path):
        db = connect(str(building), apsw.SQLITE_OPEN_READWRITE)
        try:
            db.execute(_PRAGMAS).fetchall()
            db.pragma("journal_mode", "wal")
            db.execute(_WRITER_PRAGMAS).fetchall()
            _migrate(db, building)
        finally:
            db.close()  # the last connection empties the WAL into the file and removes it
    sync_path(building)
    building.rename(path)
    sync_path(path.parent)


def _migrate(db: Connection, path: Path) -> None:
    with _translated(path):
        for number, text in migrations():
            db.execute("BEGIN IMMEDIATE")
            try:
                if number > _pragma(db, "user_version"):
                    db.execute(text).fetchall()
                    if number == CHECKSUMS_SCHEMA:
                        seal(db)
                    db.pragma("application_id", APPLICATION_ID)
                    db.pragma("user_version", number)
                db.execute("COMMIT")
            except BaseException:
                if not db.get_autocommit():
                    db.execute("ROLLBACK")
                raise


def migrations() -> list[tuple[int, str]]:
    """Return the numbered migrations that this outlast knows, in order."""
    found: list[tuple[int, str]] = []
    for file in resources.files("outlast._store").joinpath("migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_\w+\.sql", file.name)
        if match is not None:
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found)


def newest_version() -> int:
    """Return the number of the newest schema."""
    return migrations()[-1][0]


def _remove_leftovers(path: Path) -> None:
    # We hold the lock, so whoever was building these is dead.
    try:
        remove_remains(path)
    except OSError as error:
        raise StoreError(f"cannot clear {error.filename}: {error.strerror}") from error
    for suffix in (".creating", ".creating-wal", ".creating-shm", ".creating-journal"):
        try:
            _beside(path, suffix).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot clear {path}{suffix}: {error.strerror}") from error


# ---------------------------------------------------------------------- checking
def is_there(path: Path) -> bool:
    """Say whether there is a database, without opening it.

    Raises:
        StoreDamaged: something else is in its place, it was there once and is gone, or a restore of
            it was interrupted.
    """
    refuse_interrupted(path)
    # Opening and closing the file would drop SQLite's locks on it in this process.
    try:
        found = path.stat()
    except FileNotFoundError:
        left = _left_over(path)
        if left:
            names = " ".join(shlex.quote(str(file)) for file in left)
            raise StoreDamaged(
                f"{path} is missing, but it once existed: there is still {names}. No new database "
                f"is made in its place. Put the database file back, or restore a backup with "
                f"`outlast db restore`; for a new and empty database, remove what is left: "
                f"rm {names}"
            ) from None
        return False
    except OSError as error:
        raise StoreError(f"cannot look at {path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StoreDamaged(f"{path} is {kind}, a database is wanted")
    if found.st_size == 0:
        raise StoreDamaged(f"{path} is empty; outlast never leaves such a file: restore a backup")
    return True


def _left_over(path: Path) -> list[Path]:
    """Return the files beside a database that tell that it once existed."""
    found = [
        file
        for file in (_beside(path, suffix) for suffix in ("-wal", ".mark", ".reserve"))
        if file.exists()
    ]
    return [*found, lock_path(path)] if had_database(path) else found


def _check_unopened(path: Path, checks: Checks) -> None:
    """Look before a writer opens it: at its close it would empty even a foreign WAL into it."""
    loss = look_for_loss(path)
    if loss is not None:
        raise StoreDamaged(explain(path, loss))
    db = _open_unowned(path)
    try:
        checks.look_at_structure(db, limits.VERIFIED_AT_OPEN_BYTES)
    finally:
        db.close(True)


def _open_unowned(path: Path) -> Connection:
    if _size(_beside(path, "-wal")):
        return open_reader(path)
    with _translated(path):
        return _open_immutable(path)  # leaves no files beside one that may not be ours


def look_for_loss(path: Path, *, is_owned: bool = False) -> Loss | None:
    """Return which acknowledged commits a database has lost, without writing to it.

    Of a database that a process owns, only the mark can be compared: its log is being written.

    Raises:
        StoreDamaged, StoreTooNew, StoreError: what is there is no database that can be read.
    """
    # First the mark: an owner that commits meanwhile writes it after the database.
    mark = read_mark(path)
    wal = _beside(path, "-wal")
    try:
        content = LogContent() if is_owned else read_log(wal)
    except OSError as error:
        raise StoreError(f"cannot read {wal}: {error.strerror}") from error
    db = _open_unowned(path)
    try:
        version = _check(db, path)
        with _translated(path):
            commits = read_commits(db, version)
    finally:
        db.close(True)
    if not is_owned and commits is not None and _size(wal):
        _check_log_is_its_own(path, commits)
    return find_loss(path, commits, mark, content)


def _check_log_is_its_own(path: Path, through_log: Commits) -> None:
    """Refuse the log of another database: SQLite would write it over this one.

    The identity of a database never changes, so the file alone must have the one that is read
    through the log.
    """
    try:
        alone = read_file_commits(path)
    except StoreError:
        return  # half a checkpoint is in it; only with its log is it whole
    if alone is None or not alone.database_id:
        return  # older than identities: the log brings the first one
    if alone.database_id != through_log.database_id:
        raise StoreDamaged(
            f"{path}-wal is the write-ahead log of another database. Nothing was changed. Put the "
            f"right log back (or the right database, if that was exchanged); without it restore a "
            f"backup with `outlast db restore`"
        )


def _check(db: Connection, path: Path) -> int:
    with _translated(path):
        application_id = _pragma(db, "application_id")
        version = _pragma(db, "user_version")
        bytes_min = _pragma(db, "page_count") * _pragma(db, "page_size")
    # SQLite itself takes what is missing of the last page for zeros. While the WAL holds pages the
    # file may be shorter; looked at in this order, an owner that checkpoints meanwhile is no fault.
    is_whole = _size(_beside(path, "-wal")) > 0 or path.stat().st_size >= bytes_min
    if application_id != APPLICATION_ID or version < 1:
        raise StoreDamaged(
            f"{path} is a SQLite database, but not one of outlast "
            f"(application id {application_id:#x}); it was not touched"
        )
    if not is_whole:
        raise StoreDamaged(f"{path} is damaged (its end is missing); restore it from a backup")
    if version > newest_version():
        raise StoreTooNew(
            f"{path} has schema {version}, this outlast knows up to {newest_version()}: "
            f"use the newer outlast that wrote it"
        )
    if version < newest_version():
        with _translated(path):
            found = _parts(db)
        if found != _model(version):
            raise StoreDamaged(
                f"{path} is damaged: it says that it has schema {version}, and its tables are "
                f"others; restore it from a backup"
            )
    return version


def _check_tables(db: Connection, path: Path) -> None:
    """Compare with what the migrations make of an empty database."""
    with _translated(path):
        lost = _model(newest_version()) - _parts(db)
        if lost:
            raise StoreDamaged(f"{path} has no {max(lost)}; restore it from a backup")
        if not db.execute("SELECT 1 FROM shards WHERE id = 0").fetchall():
            raise StoreDamaged(f"{path} has lost the row of its shard; restore it from a backup")


def _model(version: int) -> set[str]:
    model = connect(":memory:", apsw.SQLITE_OPEN_READWRITE)
    for number, text in migrations():
        if number <= version:
            model.execute(text)
    try:
        return _parts(model)
    finally:
        model.close(True)


def _parts(db: Connection) -> set[str]:
    """Return what a schema consists of, in words: tables, columns and indexes."""
    rows = db.execute(
        "SELECT 'table ' || name || iif(wr, ', WITHOUT ROWID', '') || iif(strict, ', STRICT', '') "
        "FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%' UNION ALL "
        "SELECT format('table %s with column %s %s%s%s%s', m.name, c.name, c.type, "
        "iif(c.\"notnull\", ' NOT NULL', ''), ' DEFAULT ' || c.dflt_value, "
        "iif(c.pk, ' KEY ' || c.pk, '')) FROM sqlite_schema m JOIN pragma_table_info(m.name) c "
        "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' UNION ALL "
        "SELECT 'index: ' || coalesce(sql, name) FROM sqlite_schema WHERE type = 'index'"
    ).fetchall()
    return {str(name) for (name,) in rows}


def _pragma(db: Connection, name: str) -> int:
    value = db.pragma(name)
    return value if isinstance(value, int) else 0


@contextmanager
def _translated(path: Path) -> Generator[None]:
    try:
        yield
    except apsw.Error as error:
        raise translate(error, str(path)) from error
    except UnicodeDecodeError as error:
        raise StoreDamaged(f"{path} is damaged: a text in it is none ({error})") from error


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
