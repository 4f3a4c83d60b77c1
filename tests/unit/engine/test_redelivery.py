"""Signals and updates that are sent again under their ids after their types have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.versions import ran

PROGRAM = """
from dataclasses import dataclass, field
from outlast import Engine, Signal, SignalConflict, Update, UpdateConflict, evolve, wf, workflow

@dataclass
class Item:
    sku: str
{fields}

{evolved}

go = Signal("go", int)
said = Signal("said", Item)
change = Update("change", Item, str)

@workflow
async def listens(reads: bool) -> list[str]:
    @change.handler
    async def on_change(item: Item) -> str:
        return item.sku

    heard = []
    if reads:
        heard.append((await said.receive()).sku)
    await go.receive()
    return heard

async def send(engine, *items):
    for number, item in enumerate(items):
        for id in ("asleep", "awake", "delayed"):
            run = engine.get(id)
            try:
                await run.signal(said, item, dedup="s1")
                print("signal", id, "ok")
            except SignalConflict as error:
                print("signal", id, error)
        for id in ("awake", "asleep"):
            try:
                print("update", id, await engine.get(id).update(change, item, id="u1"))
            except UpdateConflict as error:
                print("update", id, error)

async def begin(engine):
    for id in ("asleep", "awake"):
        run = await engine.start(listens(id == "awake"), id=id)
        await run.signal(said, {first}, dedup="s1")
        print(await run.update(change, {first}, id="u1"))
    run = await engine.start(listens(True), id="delayed", delay="1h")
    await run.signal(said, {first}, dedup="s1")

async def again(engine):
    await send(engine, {first})

async def other(engine):
    await send(engine, Item("other"))
"""


def program(fields: str = "", evolved: str = "", first: str = "Item('a')") -> str:
    """Return one version of the program."""
    text = PROGRAM.replace("{fields}", f"    {fields}").replace("{evolved}", evolved)
    return text.replace("{first}", first)


SAME = ["signal asleep ok", "signal awake ok", "signal delayed ok", "update awake a"]
EVOLVED = """
@dataclass
class Item1:
    sku: str

@evolve(Item1)
def _(old: Item1) -> Item:
    return Item(old.sku, [])
"""


@pytest.mark.parametrize(
    "now",
    [
        program(),
        program("count: int = 1"),
        program("tags: list[str]", EVOLVED, "Item('a', [])"),
    ],
)
def test_the_same_message_under_its_id_is_no_conflict(now: str, tmp_path: Path) -> None:
    ran(tmp_path, program(), "begin")

    assert ran(tmp_path, now, "again") == [*SAME, "update asleep a"]


def test_another_message_under_a_used_id_is_a_conflict(tmp_path: Path) -> None:
    ran(tmp_path, program(), "begin")

    lines = ran(tmp_path, program("count: int = 1"), "other")

    assert len(lines) == 5
    assert all("another payload" in line for line in lines[:3])
    assert all("was used for another update" in line for line in lines[3:])


def test_a_message_that_cannot_be_read_is_compared_by_its_bytes(tmp_path: Path) -> None:
    ran(tmp_path, program("count: int = 1", first="Item('a', 2)"), "begin")

    lines = ran(tmp_path, program(), "again")

    assert len(lines) == 5
    assert all("compared by their bytes" in line for line in lines)
    assert all("count" in line for line in lines)
