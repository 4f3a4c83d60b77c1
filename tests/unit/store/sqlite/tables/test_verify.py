"""Journals whose packed parts do not fit one another are found, though every checksum is right."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from outlast import Actor, Engine, actor, handler, step, workflow
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.tables.verify import faults


@step
async def torn_step(n: int) -> int:
    return n


@workflow
async def torn_steps() -> int:
    return await torn_step(1) + await torn_step(2)


@actor
class TornCounter(Actor[int]):
    @classmethod
    def initial(cls) -> int:
        return 0

    @handler
    async def up(self) -> int:
        self.state += await torn_step(1)
        return self.state


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    path = tmp_path / "o.db"
    async with Engine.open(path) as engine:
        for run in ("r", "s"):
            await (await engine.start(torn_steps(), id=run)).result()
        for _ in range(3):
            await engine.actor(TornCounter, "a").ask(TornCounter.up)
        await engine.get("r").fork(2)
    return path


def found(database: Path) -> list[str]:
    reader = open_reader(database)
    try:
        return faults(reader)
    finally:
        reader.close(True)


def test_what_an_engine_leaves_fits(database: Path) -> None:
    assert found(database) == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            "INSERT INTO histories SELECT * FROM histories WHERE run = 'r' LIMIT 1",
            "records 1 to {last}, out of place, of run 'r'",
        ),
        ("DELETE FROM histories WHERE run = 'r'", "records up to {last}, missing, of run 'r'"),
    ],
)
def test_parts_that_overlap_or_are_gone_are_told(database: Path, damage: str, told: str) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    last: object = connection.execute("SELECT packed_seq FROM runs WHERE id = 'r'").fetchone()[0]
    connection.execute(damage)
    connection.close()

    (fault,) = found(database)
    assert fault == f"what is packed of the journal, {told.format(last=last)}"
