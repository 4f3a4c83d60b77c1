"""What reviews and attacks found of teams: each was wrong once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from outlast import Actor, Child, Engine, Supervisor, actor, handler, workflow
from outlast.errors import RunClosed
from tests.unit.actors.crew import Done, Worker, broken, seen
from tests.unit.actors.test_supervising import member, workers


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    broken.clear()
    yield
    broken.clear()


@workflow
async def yields(name: str) -> str:
    """Return when it is cancelled."""
    seen.add(f"{name} runs")
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)
    return name


async def test_a_workflow_that_returns_when_it_is_held_is_started_again(engine: Engine) -> None:
    members = [Child(yields("y"), key="y"), *workers("a")]
    await engine.apply(Supervisor("crew", members, strategy="one_for_all"))
    await seen.count("y runs")

    await engine.actor(Worker, "a").tell(Worker.work, "poison")
    await seen.count("y runs", 3)


@actor
class Unready(Actor[Done]):
    """Cannot be started at first."""

    @handler
    async def started(self) -> None:
        seen.add("unready started")
        if seen.events.count("unready started") == 1:
            raise ValueError("not yet")

    @handler
    async def work(self) -> None:
        seen.add(f"worked after {seen.events.count('unready started')} starts")


async def test_nothing_is_handled_in_a_life_that_has_not_begun(engine: Engine) -> None:
    await engine.actor(Unready, "u").tell(Unready.work)
    await seen.count("worked after 0 starts")
    applying = asyncio.ensure_future(engine.apply(Supervisor("crew", [Child(Unready, key="u")])))
    await seen.count("unready started")
    await engine.actor(Unready, "u").tell(Unready.work)
    await applying
    await seen.count("worked after 2 starts")

    assert "worked after 1 starts" not in seen.events


async def test_who_moves_out_of_a_parked_team_is_let_go_too(engine: Engine) -> None:
    broken.add("a")
    inner = Supervisor("inner", workers("a", "b"), max_restarts=0, on_exhausted="park")
    await engine.apply(Supervisor("crew", [inner]))
    await engine.actor(Worker, "a").tell(Worker.work, "x")
    inner_is_parked = False
    for _ in range(300):
        await engine.apply(Supervisor("crew", [inner]))
        team = (await member(engine, "inner")).team
        inner_is_parked = team is not None and team.status == "parked"
        if inner_is_parked:
            break
    assert inner_is_parked
    broken.clear()

    moved = await engine.apply(
        Supervisor("crew", [*workers("a"), Supervisor("inner", workers("b"))])
    )

    assert not moved.failed
    assert await engine.actor(Worker, "a").ask(Worker.work, "y") == 1


async def test_resuming_one_that_has_ended_is_refused(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", [Child(Worker, key="a", restart="never")]))
    a = engine.actor(Worker, "a")
    await a.ask(Worker.quit)

    with pytest.raises(RunClosed):
        await engine.get(a.id).resume()
