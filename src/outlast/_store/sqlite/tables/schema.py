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
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import apsw

from outlast._store.sqlite.connection import Connection, connect
from outlast._store.sqlite.files.lock import had_database, lock_path
from outlast._store.sqlite.files.set_aside import refuse_interrupted, remove_remains
from outlast._store.sqlite.files.write_ahead_log import sync_path
from outlast._store.sqlite.opening import (
    PRAGMAS,
    WRITER_PRAGMAS,
    beside,
    pragma,
    size_of,
    translated,
)
from outlast._store.sqlite.tables.seal import CHECKSUMS_SCHEMA, seal
from outlast.errors import StoreDamaged, StoreError, StoreMissing, StoreTooNew

APPLICATION_ID = 0x4F75744C  # "OutL", in the file's header
PARTIAL = ".partial"  # how the name of a directory ends in which a backup is made


def refuse_hard_links(path: Path) -> None:
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


def missing(path: Path) -> StoreMissing:
    """Return the error for a database that is not there."""
    return StoreMissing(f"there is no database at {path}: check the path")


# ------------------------------------------------------------------------ making
def create_database(path: Path, begin: Callable[[Connection], None] | None = None) -> None:
    """Make an empty database; under its name it is complete. `begin` gives it its first rows."""
    building = beside(path, ".creating")
    try:
        # SQLite would make it readable for all, and gives its WAL the same permissions.
        os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot create a database at {path}: {error.strerror}") from error
    with translated(path):
        db = connect(str(building), apsw.SQLITE_OPEN_READWRITE)
        try:
            db.execute(PRAGMAS).fetchall()
            db.pragma("journal_mode", "wal")
            db.execute(WRITER_PRAGMAS).fetchall()
            migrate(db, building)
            if begin is not None:
                begin(db)
        finally:
            db.close()  # the last connection empties the WAL into the file and removes it
    sync_path(building)
    building.rename(path)
    sync_path(path.parent)


def migrate(db: Connection, path: Path) -> None:
    """Bring a database up to date, one transaction a migration."""
    with translated(path):
        for number, text in migrations():
            db.execute("BEGIN IMMEDIATE")
            try:
                if number > pragma(db, "user_version"):
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
    for file in resources.files("outlast._store.sqlite").joinpath("migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_\w+\.sql", file.name)
        if match is not None:
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found)


def newest_version() -> int:
    """Return the number of the newest schema."""
    return migrations()[-1][0]


def remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed left of a database that it was making."""
    # We hold the lock, so whoever was building these is dead.
    try:
        remove_remains(path)
    except OSError as error:
        raise StoreError(f"cannot clear {error.filename}: {error.strerror}") from error
    for suffix in (".creating", ".creating-wal", ".creating-shm", ".creating-journal"):
        try:
            beside(path, suffix).unlink(missing_ok=True)
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
        for file in (beside(path, suffix) for suffix in ("-wal", ".mark", ".reserve"))
        if file.exists()
    ]
    return [*found, lock_path(path)] if had_database(path) else found


def check(db: Connection, path: Path) -> int:
    """Return the schema of a database that is ours.

    Raises:
        StoreDamaged, StoreTooNew: it cannot be used.
    """
    with translated(path):
        application_id = pragma(db, "application_id")
        version = pragma(db, "user_version")
        bytes_min = pragma(db, "page_count") * pragma(db, "page_size")
    # SQLite itself takes what is missing of the last page for zeros. While the WAL holds pages the
    # file may be shorter; looked at in this order, an owner that checkpoints meanwhile is no fault.
    is_whole = size_of(beside(path, "-wal")) > 0 or path.stat().st_size >= bytes_min
    if application_id != APPLICATION_ID or version < 1:
        raise StoreDamaged(
            f"{path} is a SQLite database, but not one of outlast "
            f"(application id {application_id:#x}); it was not touched"
        )
    if not is_whole:
        raise StoreDamaged(f"{path} is damaged (its end is missing); restore it from a backup")
    if version > newest_version():
        raise StoreTooNew(
            f"{path} has schema {version}, this outlast knows up to {newest_version()}: use the "
            "newer version of outlast that wrote it"
        )
    if version < newest_version():
        with translated(path):
            found = _parts(db)
        if found != _model(version):
            raise StoreDamaged(
                f"{path} is damaged: it says that it has schema {version}, and its tables are "
                f"others; restore it from a backup"
            )
    return version


def check_tables(db: Connection, path: Path) -> None:
    """Compare with what the migrations make of an empty database."""
    with translated(path):
        lost = missing_part(db, newest_version())
        if lost is not None:
            raise StoreDamaged(f"{path} has no {lost}; restore it from a backup")
        if not db.execute("SELECT 1 FROM shards WHERE id = 0").fetchall():
            raise StoreDamaged(f"{path} has lost the row of its shard; restore it from a backup")


def missing_part(db: Connection, version: int) -> str | None:
    """Return a table, column or index that a database of this schema should have and has not."""
    return max(_model(version) - _parts(db), default=None)


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
    """Return what a schema consists of, in words: tables, columns, indexes, views and triggers."""
    rows = db.execute(
        "SELECT 'table ' || name || iif(wr, ', WITHOUT ROWID', '') || iif(strict, ', STRICT', '') "
        "FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%' UNION ALL "
        "SELECT format('table %s with column %s %s%s%s%s', m.name, c.name, c.type, "
        "iif(c.\"notnull\", ' NOT NULL', ''), ' DEFAULT ' || c.dflt_value, "
        "iif(c.pk, ' KEY ' || c.pk, '')) FROM sqlite_schema m JOIN pragma_table_info(m.name) c "
        "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' UNION ALL "
        "SELECT type || ': ' || coalesce(sql, name) FROM sqlite_schema WHERE type <> 'table'"
    ).fetchall()
    return {str(name) for (name,) in rows}
