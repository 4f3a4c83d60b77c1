"""Signals and updates that are sent again under their ids after their types have changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Engine, Signal, SignalConflict, Update, UpdateConflict, workflow
from outlast.errors import DeadLetterNotFound
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
    assert all("a different payload" in line for line in lines[:3])
    assert all("was used for another update" in line for line in lines[3:])


def test_a_message_that_cannot_be_read_is_compared_by_its_bytes(tmp_path: Path) -> None:
    ran(tmp_path, program("count: int = 1", first="Item('a', 2)"), "begin")

    lines = ran(tmp_path, program(), "again")

    assert len(lines) == 5
    assert all("so the bytes were compared" in line for line in lines)
    assert all("count" in line for line in lines)


@dataclass
class Order:
    """Values whose bytes differ with the order in which they were made."""

    tags: frozenset[str]
    counts: dict[str, int]


place_order = Update("redelivery_order", Order, str)
over = Signal("redelivery_over", str)


@workflow(name="redelivery.takes_orders")
async def takes_orders() -> str:
    """Handle orders until told to stop."""

    @place_order.handler
    async def on_order(order: Order) -> str:
        return f"{sum(order.counts.values())}"

    return await over.receive()


@pytest.mark.parametrize("has_ended", [False, True])
async def test_an_update_of_the_same_value_in_other_bytes_is_the_same(
    engine: Engine, *, has_ended: bool
) -> None:
    run = await engine.start(takes_orders())
    first = Order(frozenset("abcdef"), {"x": 1, "y": 2})
    assert await run.update(place_order, first, id="u") == "3"
    if has_ended:
        await run.signal(over, "now")
        await run.result("30s")

    same = Order(frozenset("fedcba"), {"y": 2, "x": 1})
    assert await run.update(place_order, same, id="u") == "3"
    as_json = {"counts": {"y": 2, "x": 1}, "tags": ["f", "a", "b", "c", "d", "e"]}
    assert await run.update(place_order.name, as_json, id="u") == "3"
    with pytest.raises(UpdateConflict):
        await run.update(place_order, Order(frozenset("a"), {"x": 3}), id="u")


async def test_json_of_a_type_that_is_not_known_here_is_compared_as_json(engine: Engine) -> None:
    run = await engine.start(takes_orders())
    name = "redelivery_unknown"
    await run.signal(name, {"a": 1, "b": [2]}, dedup="d", allow_undeclared=True)

    await run.signal(name, {"b": [2], "a": 1}, dedup="d", allow_undeclared=True)

    for other in ({"a": 1, "b": [3]}, {"a": True, "b": [2]}, {"a": 1.0, "b": [2]}):
        with pytest.raises(SignalConflict):
            await run.signal(name, other, dedup="d", allow_undeclared=True)


redriven = Signal("redelivery_redriven", int)


@workflow
async def hears_twice() -> list[int]:
    return [await redriven.receive(), await redriven.receive()]


async def test_a_dead_letter_that_is_sent_again_twice_at_once_comes_once(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(hears_twice(), id="r")
        await run.pause()  # so the signal waits in the mailbox
        await run.signal(redriven, 1)
        await run.terminate()
        [letter] = [found async for found in engine.dead_letters()]
        again = await engine.start(hears_twice(), id="r")

        sent = (engine.redrive(letter.number) for _ in range(3))
        ended = await asyncio.gather(*sent, return_exceptions=True)
        await again.signal(redriven, 2)

        assert await again.result("30s") == [1, 2]
        errors = [error for error in ended if error is not None]
        assert all(isinstance(error, DeadLetterNotFound) for error in errors)
