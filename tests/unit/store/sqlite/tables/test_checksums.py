"""Every row says by its checksum whether it is what was written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from outlast._store.sqlite.connection import Connection, connect
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables.columns import ALL, Table, sealed
from outlast._store.sqlite.tables.verify import damaged_rows, faults
from outlast._world import RealWorld
from outlast.errors import StoreDamaged
from outlast.types import RunId
from tests.conformance.driving import RUN, Driver
from tests.crash.damaging import build, fold


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("built")
    asyncio.run(build(place / "outlast.db", place / "kept.db"))
    fold(place / "kept.db")
    return place / "kept.db"


def other(value: object) -> int | str | bytes:
    """Return another value of the same type."""
    match value:
        case int():
            return value + 1_000
        case bytes():
            return value + b"x"
        case str():
            return f"{value}x"
        case _:
            return 1


def changes(db: Connection) -> list[tuple[Table, str]]:
    """Return every column of every table that has rows."""
    filled = [
        table for table in ALL if db.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchall()
    ]
    return [(table, column) for table in filled for column in table.columns]


def test_a_change_of_any_column_is_found(built: Path) -> None:
    assert faults(open_reader(built)) == []
    db = connect(str(built), apsw.SQLITE_OPEN_READWRITE)
    db.execute("INSERT INTO codec_keys VALUES (?, ?, ?)", sealed(("k1", b"known")))
    columns = changes(db)
    assert {table.name for table, _ in columns} == {table.name for table in ALL}
    for table, column in columns:
        key = ", ".join(table.key)
        where = f"({key}) = (SELECT {key} FROM {table.name} ORDER BY {key} DESC LIMIT 1)"
        [[before]] = db.execute(f'SELECT "{column}" FROM {table.name} WHERE {where}').fetchall()
        db.execute("BEGIN")
        try:
            wrong = other(before)
            if before is None and column in table.texts:
                wrong = "x"
            if before is None and column in ("output", "value"):
                wrong = b"x"
            db.execute(f'UPDATE {table.name} SET "{column}" = ? WHERE {where}', (wrong,))
            assert faults(db), (table.name, column)
        finally:
            db.execute("ROLLBACK")
    assert faults(db) == []
    db.close()


def test_an_entry_that_the_index_of_attributes_has_lost_is_found(built: Path) -> None:
    db = connect(str(built), apsw.SQLITE_OPEN_READWRITE)
    entries = db.execute("SELECT run FROM run_attributes ORDER BY run").fetchall()
    assert len(entries) > 1
    run = RunId(str(entries[-1][0]))
    db.execute("BEGIN")
    db.execute("UPDATE run_attributes SET value = value || 'x' WHERE run = ?", (run,))

    found = list(damaged_rows(db))
    words = faults(db)

    db.execute("ROLLBACK")
    db.close()
    assert [(damage.table, damage.run) for damage in found] == [("run_attributes", run)]
    assert words == [f"the entry of attribute 'customer' in the index of run {run!r}"]


async def test_an_index_that_lost_an_entry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    store = await SqliteStore.open(path, world=RealWorld())
    await (await Driver.begin(store)).start(RUN)
    await store.close()
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    [[root]] = db.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'runs_by_age'"
    ).fetchall()
    db.close()
    assert isinstance(root, int)
    data = bytearray(path.read_bytes())
    at = (root - 1) * 4096 + 4  # how many entries the page has
    data[at] = 0
    assert data[at - 1] == 0
    path.write_bytes(data)

    with pytest.raises(StoreDamaged, match="structure"):
        await SqliteStore.open(path, world=RealWorld())
