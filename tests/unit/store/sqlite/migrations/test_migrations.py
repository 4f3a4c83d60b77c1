"""Older databases are brought up to date by their owner, and whole, whatever was killed before."""

from __future__ import annotations

import random
from pathlib import Path
from zlib import crc32

import apsw
import msgspec
import pytest

from outlast._records import pack_records
from outlast._store.sqlite.connection import Connection, connect
from outlast._store.sqlite.examination import prepare
from outlast._store.sqlite.opening import open_reader, open_writer
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables import schema as sqlite_schema
from outlast._store.sqlite.tables.rows import segment_codec
from outlast._store.sqlite.tables.schema import APPLICATION_ID, migrations, newest_version
from outlast._store.sqlite.tables.verify import faults
from outlast._world import RealWorld
from outlast.errors import (
    StoreDamaged,
    StoreError,
    StoreReadOnly,
)
from tests.conformance.driving import RUN, record, records
from tests.unit.store.sqlite.databases import clear, data_of, die_at, is_whole, make, put, query


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


async def test_an_older_database_is_brought_up_to_date_by_its_owner_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(path)
    newer = [*migrations(), (newest_version() + 1, "CREATE TABLE extra (a INTEGER) STRICT")]
    monkeypatch.setattr("outlast._store.sqlite.tables.schema.migrations", lambda: newer)

    with pytest.raises(StoreError, match="older version of outlast"):
        await SqliteStore.open(path, world=RealWorld(), read_only=True)

    assert await is_whole(path)
    reader = await SqliteStore.open(path, world=RealWorld(), read_only=True)
    with pytest.raises(StoreReadOnly, match="opened read-only"):
        await reader.prune(1, 1)
    await reader.close()
    assert newest_version() == newer[-1][0]
    assert query(path, "PRAGMA user_version") == [(newest_version(),)]
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]


@pytest.mark.crash
async def test_a_migration_killed_anywhere_is_made_whole_by_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "outlast.db"
    await make(path)
    data = data_of(path)
    rng = random.Random(22)
    died = 0
    for point in sorted(rng.sample(range(1, 110), 10)):
        clear(tmp_path)
        put(path, data)
        died += die_at(path, point, "with more migrations")

        assert not die_at(path, 0, "with more migrations")

        assert query(path, "PRAGMA user_version") == [(newest_version() + 2,)]
        found = query(path, "SELECT count(*), count(c), min(a) FROM extra")
        assert found == [(200, 200, 1)]
    assert died >= 6


def of_schema_five(path: Path) -> Connection:
    """Make a database as the outlast before checksums made it: one run with a log and a history."""
    path.touch(mode=0o600)
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.pragma("journal_mode", "wal")
    for number, text in migrations():
        if number < 6:
            db.execute(text)
            db.pragma("user_version", number)
    db.pragma("application_id", sqlite_schema.APPLICATION_ID)
    return db


def fill(db: Connection) -> None:
    """Write a run as it was written then."""
    db.execute(
        "INSERT INTO runs (id, shard, workflow, version, status, created_at, parent_key, "
        "on_parent_close, attributes, steps, crash_count, is_alone, parked_as, resident, last_seq, "
        "packed_seq, started_position, request, digest, waiting_for) VALUES (?, 0, 'w', '', "
        "'running', 5, '', 'cancel', '{}', 0, 0, 0, '', 1, 4, 2, 1, '', x'01', '')",
        (RUN,),
    )
    body = segment_codec.pack(pack_records(records(1, 2)))
    db.execute("INSERT INTO histories VALUES (?, 1, 2, ?, ?)", (RUN, body, crc32(body)))
    for seq in (1, 2, 3, 4):
        found = record(seq)
        data = msgspec.msgpack.encode(found)
        cells = (seq, RUN, *msgspec.structs.astuple(found)[:-2], crc32(b"\x99" + data[1:-2]))
        db.execute(
            "INSERT INTO journal (position, run, seq, kind, key, name, at, epoch, attempt, place, "
            "body, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            cells,
        )
    db.close()


async def test_an_older_database_gets_checksums(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    fill(of_schema_five(path))

    store = await SqliteStore.open(path, world=RealWorld())

    assert await store.read_journal(RUN) == records(1, 4)
    assert faults(open_reader(path)) == []
    await store.close()


@pytest.mark.parametrize("table", ["journal", "histories"])
async def test_what_was_damaged_before_checksums_stays_damaged(tmp_path: Path, table: str) -> None:
    path = tmp_path / "outlast.db"
    fill(of_schema_five(path))
    db = open_writer(path)
    db.execute(f"UPDATE {table} SET body = x'00ff' WHERE rowid = (SELECT max(rowid) FROM {table})")
    db.close()

    store = await SqliteStore.open(path, world=RealWorld())

    with pytest.raises(StoreDamaged):
        await store.read_journal(RUN)
    await store.close()


def test_a_migration_that_is_killed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outlast.db"
    fill(of_schema_five(path))

    def killed(db: Connection) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_schema, "seal", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(path, create=False)

    db = prepare(path, create=False)
    assert faults(db) == []
    db.close()
