"""Actors that rest as a row in memory: the row is the newest, or not there."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine
from outlast.errors import ActorStopped
from outlast.types import RunId
from tests.unit.actors.crew import Worker
from tests.unit.actors.kept import Kept


async def test_who_was_read_from_the_store_is_not_woken_from_an_older_row(engine: Engine) -> None:
    worker = engine.actor(Worker, "a")
    await worker.ask(Worker.work, "one")

    # While a verb has the actor to itself, a message cannot wake it: it is read from the store.
    async with engine._core.scheduler.run_locks.alone_with(RunId(worker.id)):
        await worker.tell(Worker.work, "two")
    await worker.options(delay="1h").tell(Worker.work, "late")  # it leaves, and is not kept
    await worker.ask(Worker.work, "three")

    assert await worker.ask(Worker.items) == ["one", "two", "three"]


async def test_a_resting_actor_is_stopped_and_keeps_its_state(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    await asyncio.sleep(0.05)

    await engine.get(kept.id).terminate("enough")

    with pytest.raises(ActorStopped):
        await kept.ask(Kept.add, "late")
    assert (await engine.actor_info(Kept, "a")).state == {"lines": ["x"]}
