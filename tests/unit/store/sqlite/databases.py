"""Databases that tests make, copy, look into, and kill processes over."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import apsw
import msgspec

from outlast._store.sqlite.connection import Cell, connect
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables.columns import Table
from outlast._world import RealWorld
from tests.conformance.driving import RUN, Driver, records
from tests.preloaded import run_program
from tests.unit.store.sqlite.processes import program_of

# Every SQL statement and every line of the module is a point at which the process may die.
KILL_AT = """
import apsw
from outlast._store.sqlite import examination as sqlite_examination
from outlast._store.sqlite.tables import schema as sqlite_schema

files = (sqlite_examination.__file__, sqlite_schema.__file__)
points = int(sys.argv[2])

def count():
    global points
    points -= 1
    if points == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def lines(frame, event, _):
    if frame.f_code.co_filename not in files:
        return None
    if event == "line":
        count()
    return lines

def statements(connection):
    def trace(*_):
        count()
        return True
    connection.exec_trace = trace

def extra():
    last = known()[-1][0]
    return known() + [
        (last + 1, "CREATE TABLE extra (a INTEGER NOT NULL, b TEXT) STRICT; INSERT INTO extra "
            "SELECT position, kind FROM journal; CREATE INDEX extra_a ON extra (a)"),
        (last + 2, "ALTER TABLE extra ADD COLUMN c TEXT; UPDATE extra SET c = b"),
    ]
known = sqlite_schema.migrations
if len(sys.argv) > 3:
    sqlite_schema.migrations = extra

async def main(world):
    apsw.connection_hooks.append(statements)
    import threading
    threading.settrace(lines)
    store = await SqliteStore.open(path, world=world)
    threading.settrace(None)
    apsw.connection_hooks.clear()
    say("opened", points)
    await store.close()
"""


async def make(path: Path) -> None:
    """Make a database with one run of 200 records, closed cleanly."""
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    await engine.start(RUN)
    await engine.receipt(engine.on(RUN, *records(2, 200)))
    await store.close()


async def is_whole(path: Path) -> bool:
    store = await SqliteStore.open(path, world=RealWorld())
    found = [r.seq for r in await store.read_journal(RUN)]
    await store.close()
    return found == list(range(1, 201))


def contents(path: Path) -> dict[str, bytes]:
    """Return what lies beside the database, the database included; the lock is not data."""
    return {
        file.name: file.read_bytes() if file.is_file() else b"directory"
        for file in path.parent.iterdir()
        if not file.name.endswith(".lock")
    }


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def data_of(path: Path) -> bytes:
    return path.read_bytes()


def clear(directory: Path) -> None:
    for file in directory.iterdir():
        file.unlink()


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    db = connect(str(path), apsw.SQLITE_OPEN_READONLY)
    rows = [tuple(row) for row in db.execute(sql).fetchall()]
    db.close()
    return rows


def exchange(path: Path, table: Table, column: str, where: Sequence[str]) -> None:
    """Exchange a column of two rows, and make their checksums fit."""
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    [one, other] = [
        db.execute(f"SELECT {table.selected} FROM {table.name} WHERE {w}").fetchall()[0]
        for w in where
    ]
    place = table.columns.index(column)
    for row, other_row, w in ((one, other, where[0]), (other, one, where[1])):
        cells = [cell for cell in row[:-1] if isinstance(cell, int | str | bytes | None)]
        taken = other_row[place]
        assert isinstance(taken, bytes)
        cells[place] = taken
        fits: Cell = crc32(msgspec.msgpack.encode(tuple(cells)))
        db.execute(
            f'UPDATE {table.name} SET "{column}" = ?, {table.checksum} = ? WHERE {w}',
            (taken, fits),
        )
    db.close()


# ------------------------------------------------------------------------- being killed
def die_at(path: Path, point: int, *more: str) -> bool:
    """Open in a process that kills itself at a point; say whether it came so far."""
    place = path.parent.with_name(path.parent.name + "-program")  # out of what is compared
    place.mkdir(exist_ok=True)
    program = place / "program.py"
    program.write_text(program_of(KILL_AT))
    done = run_program(program, str(path), str(point), *more)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0
