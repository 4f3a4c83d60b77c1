"""Opening a database file: to write it, to read it with its log, to read the file alone.

Invariant: none of these connections empties or deletes a log at its close but a writing one.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import apsw

from outlast._store.sqlite.connection import BUSY_MILLISECONDS, Connection, connect
from outlast._store.sqlite.faults import translate
from outlast.errors import StoreDamaged

_STATEMENTS_CACHED = 300  # every statement has a text for each power of two rows


PRAGMAS = (
    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA foreign_keys=ON;"
    "PRAGMA temp_store=MEMORY;"
)
# WAL alone would let the last commits vanish at a power loss.
WRITER_PRAGMAS = "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;" + (
    "PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;" if sys.platform == "darwin" else ""
)


def open_writer(path: Path) -> Connection:
    """Return a writing connection to an existing database."""
    with translated(path):
        db = connect(str(path), apsw.SQLITE_OPEN_READWRITE, statements_cached=_STATEMENTS_CACHED)
        db.set_busy_timeout(BUSY_MILLISECONDS)
        db.execute(PRAGMAS + WRITER_PRAGMAS).fetchall()
    return db


def open_reader(path: Path) -> Connection:
    """Return a reading connection; it works beside an owner and without one."""
    with translated(path):
        try:
            return _open_reading(str(path), 0)
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            # A database on a read-only disk cannot have the shared memory of a WAL. It needs none
            # when nothing is in the WAL, for then there is no writer.
            if size_of(beside(path, "-wal")):
                raise
            return open_file_alone(path)


def open_file_alone(path: Path) -> Connection:
    """Return a reading connection to the database file without its log; it makes no files."""
    quoted = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return _open_reading(f"file:{quoted}?immutable=1", apsw.SQLITE_OPEN_URI)


def _open_reading(name: str, flags: int) -> Connection:
    db = connect(name, apsw.SQLITE_OPEN_READONLY | flags)
    try:
        # The last one to close a database would delete its log, and an owner that lost its locks
        # to a program in its own process does not look like one.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.set_busy_timeout(BUSY_MILLISECONDS)
        db.execute(PRAGMAS + "PRAGMA query_only=ON").fetchall()
        db.execute("SELECT 1 FROM sqlite_schema").fetchall()
    except BaseException:
        db.close(True)
        raise
    return db


def pragma(db: Connection, name: str) -> int:
    """Return the number that a pragma has."""
    value = db.pragma(name)
    return value if isinstance(value, int) else 0


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Raise the errors of ours for what goes wrong in this block."""
    try:
        yield
    except apsw.Error as error:
        raise translate(error, str(path)) from error
    except UnicodeDecodeError as error:
        raise StoreDamaged(
            f"{path} is damaged: a text in it is not valid UTF-8 ({error})"
        ) from error


def beside(path: Path, suffix: str) -> Path:
    """Return a file beside a database."""
    return path.with_name(path.name + suffix)


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
