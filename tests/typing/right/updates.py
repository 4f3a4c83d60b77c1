"""A user's program with updates that must pass both checkers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from outlast import Engine, Run, Update, wf, workflow
from outlast.client import Client


@dataclass
class Item:
    """What is asked."""

    name: str


@dataclass
class Receipt:
    """What is answered."""

    position: int


add_item = Update("typed.add_item", Item, Receipt)
remove = Update("typed.remove", str, int)
rename = Update("typed.rename", dict[str, str], list[str])


@workflow
async def cart() -> list[str]:
    """Take items."""
    items: list[str] = []

    @add_item.validator
    def check(item: Item) -> None:
        if item.name in items:
            raise ValueError(item.name)

    @add_item.handler
    async def add(item: Item) -> Receipt:
        items.append(item.name)
        return Receipt(len(items))

    @remove.handler(on_close="abandon")
    def take_out(name: str) -> int:
        items.remove(name)
        return len(items)

    @rename.handler
    async def change(names: dict[str, str]) -> list[str]:
        return [names.get(item, item) for item in items]

    await wf.until(lambda: len(items) == 2)
    return items


@workflow
async def buyer(run: Run[list[str]]) -> int:
    """Update another run."""
    receipt = await run.update(add_item, Item("tea"), id="tea")
    assert_type(receipt, Receipt)
    return receipt.position


async def main() -> None:
    """Use an engine, and a server."""
    async with Engine.open("memory://types") as engine:
        run = await engine.start(cart())
        assert_type(await run.update(add_item, Item("tea"), timeout="5s"), Receipt)
        assert_type(await run.update(remove, "tea"), int)
        assert_type(await run.update(rename, {"tea": "cup"}), list[str])
        assert_type(await run.update("typed.remove", "tea"), object)
    async with Client("http://127.0.0.1:8787") as client:
        assert_type(await client.get("cart").update(add_item, Item("tea")), Receipt)
