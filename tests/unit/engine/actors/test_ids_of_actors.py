"""Runs and actors never take each other's ids."""

from __future__ import annotations

import pytest
from typing_extensions import override

from outlast import Actor, Engine, actor, handler, workflow
from outlast._registry import Registry
from outlast.errors import RunExists, UsageError
from outlast.types import OnConflict, Reuse


@actor
class Purse(Actor[int]):
    @classmethod
    @override
    def initial(cls) -> int:
        return 0

    @handler
    async def put(self, cents: int) -> int:
        self.state += cents
        return self.state


@workflow
async def takes_the_id() -> str:
    return "taken"


def id_of(engine: Engine, key: str) -> str:
    return engine.actor(Purse, key).id


@pytest.mark.parametrize("on_conflict", ["attach", "fail", "terminate", "replace"])
@pytest.mark.parametrize("reuse", ["always", "if_failed", "never"])
@pytest.mark.parametrize("is_stopped", [False, True])
async def test_no_start_touches_an_actor(
    engine: Engine, on_conflict: OnConflict, reuse: Reuse, *, is_stopped: bool
) -> None:
    purse = engine.actor(Purse, "ann")
    assert await purse.ask(Purse.put, 5) == 5
    if is_stopped:
        await engine.get(purse.id).terminate()

    with pytest.raises(UsageError, match="is the id of an actor"):
        await engine.start(takes_the_id(), id=purse.id, on_conflict=on_conflict, reuse=reuse)

    assert (await engine.actor_info(Purse, "ann")).state == 5
    if not is_stopped:
        assert await purse.ask(Purse.put, 1) == 6


async def test_a_run_cannot_take_the_id_of_an_actor_that_is_to_come(engine: Engine) -> None:
    with pytest.raises(UsageError, match="is the id of an actor"):
        await engine.start(takes_the_id(), id=id_of(engine, "bob"))

    assert await engine.actor(Purse, "bob").ask(Purse.put, 1) == 1


async def test_an_engine_without_the_actors_class_leaves_it_alone_too() -> None:
    async with Engine.open("memory://ids-of-actors") as engine:
        assert await engine.actor(Purse, "ann").ask(Purse.put, 5) == 5
        actor_id = id_of(engine, "ann")
        registry = Registry()
        registry.add_workflow(takes_the_id.definition)
        async with Engine.open("memory://ids-of-actors", registry=registry) as other:
            reuses: tuple[Reuse, ...] = ("always", "if_failed", "never")
            for reuse in reuses:
                start = other.start(
                    takes_the_id(), id=actor_id, on_conflict="terminate", reuse=reuse
                )
                with pytest.raises(RunExists, match="is the id of an actor"):
                    await start
        assert await engine.actor(Purse, "ann").ask(Purse.put, 1) == 6
