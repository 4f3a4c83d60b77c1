"""Starts under the id of a run whose input was stored by an older version of the program."""

from __future__ import annotations

from pathlib import Path

from tests.unit.engine.versions import ran

PROGRAM = """
from dataclasses import dataclass
from outlast import Engine, IdempotencyMismatch, Signal, workflow

go = Signal("go", int)

@dataclass
class Order:
    sku: str
    {fields}

@workflow
async def buy(order: Order) -> str:
    await go.receive()
    return order.sku

async def begin(engine):
    await engine.start(buy(Order("apple")), id="r")

async def again(engine):
    try:
        await engine.start(buy(Order("{sku}")), id="r")
        print("attached")
    except IdempotencyMismatch as error:
        print(error)
"""


def program(fields: str = "count: int = 1", sku: str = "apple") -> str:
    return PROGRAM.replace("{fields}", fields).replace("{sku}", sku)


def test_a_start_attaches_after_its_class_has_grown_and_its_fields_have_moved(
    tmp_path: Path,
) -> None:
    grown = program("gift: bool = False\n    count: int = 1")
    ran(tmp_path, program(), "begin")

    assert ran(tmp_path, grown, "again") == ["attached"]
    (text,) = ran(tmp_path, grown.replace('Order("apple")', 'Order("apple", True)'), "again")
    assert "$.order.gift: false is not true" in text


def test_a_start_says_that_the_stored_input_cannot_be_read(tmp_path: Path) -> None:
    ran(tmp_path, program(), "begin")

    (text,) = ran(tmp_path, program("pieces: int = 1"), "again")

    assert "its input cannot be compared" in text
    assert "a field that the class does not have: count" in text
    assert "is not nothing" not in text


EVOLVED = """
from dataclasses import dataclass
from outlast import Engine, evolve, workflow

@dataclass
class Old:
    sku: str

@dataclass
class Order:
    {field}: str

@workflow
async def buy(order: Order) -> str:
    return f"{order}"

async def begin(engine):
    await engine.start(buy(Order("apple")), id="r", delay="0.1s")

async def evolves(engine):
    run = engine.get("r", buy)
    async with asyncio.timeout(30):
        while (await run.info()).status != "parked":
            await asyncio.sleep(0.01)

    @evolve(Old)
    def _(old: Old) -> Order:
        return Order(old.sku)

    async with asyncio.timeout(30):
        while (await run.info()).status != "completed":
            await asyncio.sleep(0.01)
    print(await run.result())
"""


def test_a_conversion_that_is_declared_while_open_lets_parked_runs_go_on(tmp_path: Path) -> None:
    ran(tmp_path, EVOLVED.replace("{field}", "sku"), "begin")

    assert ran(tmp_path, EVOLVED.replace("{field}", "article"), "evolves") == [
        "Order(article='apple')"
    ]
