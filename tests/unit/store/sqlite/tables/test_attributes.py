"""The index of attributes: what it spares, what of it is lost, and databases from before it."""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec
import pytest

from outlast._store.contract import RunFilter
from outlast._store.sqlite.connection import Connection, connect
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables.checks import Checks, Reading
from outlast._store.sqlite.tables.listing import list_runs
from outlast._world import RealWorld
from outlast.errors import StoreDamaged
from outlast.types import RunId
from tests.conformance.driving import Driver

GOLD = RunFilter(attributes=(("tier", "gold"),))
RUNS = 2_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


async def make(path: Path, count: int = RUNS) -> None:
    """Make a database with runs of which every hundredth is gold."""
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    rows = [
        msgspec.structs.replace(
            engine.row(RunId(f"r{n:04}"), created_at=n),
            attributes='{"tier": "gold"}' if n % 100 == 0 else '{"tier": "blue"}',
        )
        for n in range(count)
    ]
    await engine.commit(*[engine.starting(row) for row in rows])
    await store.close()


def reading(path: Path, db: Connection) -> Reading:
    return Reading(db, Checks(path, open_reader))


def steps_of(path: Path, which: RunFilter) -> int:
    """Return how many steps of SQLite's machine a listing takes, in hundreds."""
    db = open_reader(path)
    count = 0

    def step() -> bool:
        nonlocal count
        count += 1
        return False

    db.set_progress_handler(step, 100)
    assert list_runs(reading(path, db), which, None, 50)
    db.close()
    return count


async def test_a_rare_attribute_costs_what_it_finds_not_what_there_is(path: Path) -> None:
    await make(path)
    some = RunFilter(attributes=(("tier", "gold"),), created_from=RUNS - 300)
    both = RunFilter(attributes=(("tier", "gold"), ("tier", "gold")))

    assert steps_of(path, RunFilter(words=("r0001",))) > 300
    assert steps_of(path, GOLD) < 60
    assert steps_of(path, both) < 60
    assert steps_of(path, some) < 20


async def test_a_page_of_a_common_attribute_is_not_sorted(path: Path) -> None:
    await make(path)

    assert steps_of(path, RunFilter(attributes=(("tier", "blue"),))) < 80


async def test_runs_of_a_database_from_before_the_index_are_found(path: Path) -> None:
    await make(path, 300)
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    for name in ("attributes_of_new", "attributes_before", "attributes_after", "attributes_of_old"):
        db.execute(f"DROP TRIGGER {name}")
    db.execute("DROP VIEW attributes_of_runs")
    db.execute("DROP TABLE run_attributes")
    db.execute("DROP INDEX mailbox_bytes")
    db.execute("DROP TABLE codec_keys")
    db.pragma("user_version", 8)
    db.close()

    store = await SqliteStore.open(path, world=RealWorld())
    found = [row.id for row in await store.list_runs(GOLD, None, 10)]
    await store.close()

    assert found == ["r0200", "r0100", "r0000"]


@pytest.mark.parametrize("kind", ["TRIGGER attributes_after", "VIEW attributes_of_runs"])
async def test_a_database_that_would_not_keep_its_index_is_refused(path: Path, kind: str) -> None:
    await make(path, 1)
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.execute(f"DROP {kind}")
    db.close()

    with pytest.raises(StoreDamaged, match=f"has no {kind.split()[0].lower()}: CREATE"):
        await SqliteStore.open(path, world=RealWorld())


async def test_a_run_that_the_index_has_lost_is_in_every_listing(path: Path) -> None:
    await make(path, 300)
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.execute("DELETE FROM run_attributes WHERE run = 'r0100'")
    db.close()

    store = await SqliteStore.open(path, world=RealWorld())
    found = [row.id for row in await store.list_runs(GOLD, None, 10)]
    damaged = list(store.damaged_runs)
    await store.close()

    assert found == ["r0200", "r0100", "r0000"]
    assert damaged == ["r0100"]


async def test_a_run_whose_attributes_are_damaged_is_deleted_all_the_same(path: Path) -> None:
    await make(path, 3)
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.execute("UPDATE runs SET attributes = '{\"tier' WHERE id = 'r0000'")
    assert db.execute("SELECT * FROM run_attributes WHERE run = 'r0000'").fetchall() == []
    db.execute("DELETE FROM runs WHERE id = 'r0000'")
    db.close()

    store = await SqliteStore.open(path, world=RealWorld())
    found = [row.id for row in await store.list_runs(RunFilter(), None, 10)]
    await store.close()

    assert found == ["r0002", "r0001"]
