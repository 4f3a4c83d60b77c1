from __future__ import annotations

import random
import stat
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from outlast._store.contract import RunFilter
from outlast._store.sqlite.connection import connect
from outlast._store.sqlite.examination import prepare
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld
from outlast.errors import (
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreTooNew,
)
from tests.conformance.driving import RUN, record, records
from tests.unit.store.sqlite.databases import (
    contents,
    data_of,
    die_at,
    is_whole,
    make,
    put,
)
from tests.unit.store.sqlite.processes import output_of, python

OPEN_AND_CLOSE = """
async def main(world):
    try:
        store = await SqliteStore.open(path, world=world)
    except StoreLocked:
        say("locked")
    else:
        say("opened", len(await store.list_runs(RunFilter(), None, 10)))
        await store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


# ------------------------------------------------------------------------------ creating
async def test_a_new_database_is_private_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "outlast.db"
    store = await SqliteStore.open(path, world=RealWorld())
    await store.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "outlast.db", "outlast.db.lock", "outlast.db.mark", "outlast.db.reserve",
    ]  # fmt: skip


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_missing_database_is_made_only_when_asked_for(path: Path, read_only: bool) -> None:
    for place in (path, path.parent / "absent" / "outlast.db"):
        with pytest.raises(StoreMissing, match="there is no database at"):
            await SqliteStore.open(place, world=RealWorld(), read_only=read_only, create=False)
    assert contents(path) == {}


async def test_leftovers_of_a_killed_creation_are_cleared(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"outlast.db.creating{suffix}").write_bytes(b"half of it")

    await make(path)

    assert await is_whole(path)
    assert not [name for name in contents(path) if "creating" in name]


async def test_a_directory_that_cannot_be_made_is_said_clearly(path: Path) -> None:
    put(path, b"a file")

    with pytest.raises(StoreError, match="cannot create the directory"):
        await SqliteStore.open(path / "sub" / "outlast.db", world=RealWorld())


# --------------------------------------------------------------------- what is no store
def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(20_000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _directory(path: Path) -> None:
    path.mkdir()


def _log_without_database(path: Path) -> None:
    path.with_name("outlast.db-wal").write_bytes(b"what is left of it")


def _somebody_elses(path: Path) -> None:
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    db.execute("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)")
    db.close()


def _somebody_elses_with_a_log(path: Path) -> None:
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    db.execute("PRAGMA journal_mode=WAL; CREATE TABLE theirs (a)").fetchall()
    copies = {p: p.read_bytes() for p in (path, path.with_name("outlast.db-wal"))}
    db.close()
    for copy, data in copies.items():
        copy.write_bytes(data)


def _changed_by(sql: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        db = connect(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute(sql)
        db.execute("PRAGMA journal_mode=WAL")
        db.close()

    return change


def _cut_in_half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (_garbage, StoreDamaged, "is not a SQLite database"),
        (_empty, StoreDamaged, "is empty"),
        (_directory, StoreDamaged, "is a directory"),
        (_log_without_database, StoreDamaged, "is missing, but it once existed"),
        (_somebody_elses, StoreDamaged, "not one of outlast"),
        (_somebody_elses_with_a_log, StoreDamaged, "not one of outlast"),
    ],
)
async def test_what_is_no_store_is_refused_and_left_as_it_is(
    path: Path,
    damage: Callable[[Path], None],
    error: type[StoreError],
    message: str,
    read_only: bool,
) -> None:
    damage(path)
    before = contents(path)

    with pytest.raises(error, match=message) as caught:
        await SqliteStore.open(path, world=RealWorld(), read_only=read_only)

    assert str(path) in str(caught.value)
    after = contents(path)
    assert {name: after[name] for name in before} == before
    # A reader needs shared memory beside a database with a log.
    assert set(after) - set(before) <= {"outlast.db-shm"}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (_changed_by("PRAGMA user_version=99"), StoreTooNew, "has schema 99"),
        (_changed_by("PRAGMA application_id=7"), StoreDamaged, "not one of outlast"),
        (_changed_by("PRAGMA user_version=0"), StoreDamaged, "not one of outlast"),
        (_changed_by("DROP TABLE streams"), StoreDamaged, "no table streams"),
        (
            _changed_by("ALTER TABLE runs DROP COLUMN waiting_for"),
            StoreDamaged,
            "no table runs with column waiting_for",
        ),
        (_changed_by("DELETE FROM shards"), StoreDamaged, "lost the row of its shard"),
        (_cut_in_half, StoreDamaged, "is damaged"),
    ],
)
async def test_a_store_that_cannot_be_used_is_refused_and_left_as_it_is(
    path: Path,
    damage: Callable[[Path], None],
    error: type[StoreError],
    message: str,
    read_only: bool,
) -> None:
    await make(path)
    damage(path)
    before = data_of(path)

    with pytest.raises(error, match=message) as caught:
        await SqliteStore.open(path, world=RealWorld(), read_only=read_only)

    assert str(path) in str(caught.value)
    assert data_of(path) == before


async def test_a_truncated_database_is_refused_or_whole_but_never_wrong(path: Path) -> None:
    await make(path)
    data = data_of(path)
    rng = random.Random(11)
    refused = 0
    for _ in range(40):
        put(path, data[: rng.randrange(len(data))])
        try:
            assert await is_whole(path)
        except StoreDamaged:
            refused += 1
    assert refused == 40


async def test_a_flipped_bit_is_noticed_or_harmless(path: Path) -> None:
    await make(path)
    data = data_of(path)
    rng = random.Random(12)
    refused = 0
    for _ in range(60):
        at = rng.randrange(len(data))
        flipped = bytes((data[at] ^ (1 << rng.randrange(8)),))
        put(path, data[:at] + flipped + data[at + 1 :])
        try:
            store = await SqliteStore.open(path, world=RealWorld())
        except StoreError:
            refused += 1
            continue
        try:
            found = await store.read_journal(RUN)
        except StoreError:
            refused += 1
        else:
            assert found == [record(1, kind="run_started"), *records(2, 200)]
        finally:
            await store.close()
    assert refused > 0


@pytest.mark.crash
async def test_a_creation_killed_anywhere_leaves_a_place_that_opens(tmp_path: Path) -> None:
    rng = random.Random(21)
    died = 0
    for attempt, point in enumerate(sorted(rng.sample(range(1, 160), 10))):
        path = tmp_path / str(attempt) / "outlast.db"
        died += die_at(path, point)
        died += die_at(path, point // 2 + 1)
        assert output_of(OPEN_AND_CLOSE, path) == "opened 0"
    assert died >= 10


async def test_of_several_starts_at_once_one_makes_the_database(path: Path) -> None:
    starts = [python(OPEN_AND_CLOSE, path) for _ in range(4)]
    outputs: list[str] = []
    for process in starts:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        outputs.append(out.strip())

    assert "opened 0" in outputs
    assert set(outputs) <= {"opened 0", "locked"}
    store = await SqliteStore.open(path, world=RealWorld(), read_only=True)
    assert await store.list_runs(RunFilter(), None, 10) == []
    await store.close()


def test_a_database_with_two_names_is_refused_until_one_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    prepare(path, create=True).close(True)
    other = tmp_path / "other" / "outlast.db"
    other.parent.mkdir()
    other.hardlink_to(path)

    for name in (path, other):
        with pytest.raises(StoreError, match=r"has 2 names .*outlast db backup"):
            prepare(name, create=False)
    assert [file.name for file in other.parent.iterdir()] == ["outlast.db"]

    other.unlink()
    prepare(path, create=False).close(True)
