"""What a client gives has the types of what it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from outlast import Actor, Secret, actor, handler, workflow
from outlast.client import BulkDone, Client, RemoteActor


@dataclass
class Count:
    number: int = 0


@actor
class Counter(Actor[Count]):
    @handler
    async def add(self, number: int) -> int:
        self.state.number += number
        return self.state.number


@workflow
async def greet(name: str) -> str:
    return name


async def main(client: Client) -> None:
    assert_type(await client.run(greet("Ann"), id="a"), str)
    assert_type(await client.run("greet", {"name": "Ann"}), object)
    counter = client.actor(Counter, "c")
    assert_type(counter, RemoteActor[Counter])
    assert_type(await counter.options(timeout="2s").ask(Counter.add, 1), int)
    assert_type(await client.actor("Counter", "c").ask("add", number=1), object)
    assert_type(await client.bulk("cancel", "status:waiting", expected=3), BulkDone)
    assert_type(Secret("x").reveal(), str)
