"""What the simulation of teams found, each on its own; see tests/simulation/teams.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outlast import Child, Engine, Supervisor
from outlast.errors import ActorStopped
from tests.simulation.teams import run_team_seed
from tests.unit.actors.crew import Watcher, Worker, broken, seen
from tests.unit.actors.test_supervising import member, member_when, started, workers


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    broken.clear()
    yield
    broken.clear()


@pytest.mark.parametrize("seed", [8, 11, 21, 35, 51, 53, 57, 139, 167, 182, 220])
def test_seeds_that_found_something(seed: int) -> None:
    run_team_seed(seed)


async def test_a_team_that_never_had_a_member_does_not_stop_it(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", workers("a")))
    await engine.apply(Supervisor("other", workers("a", "b"), max_restarts=0))

    await engine.apply(Supervisor("other", workers("b")))

    assert await engine.actor(Worker, "a").ask(Worker.work, "x") == 1


async def test_one_that_is_never_restarted_is_not_started_with_others(engine: Engine) -> None:
    children = [*workers("a"), Child(Worker, key="b", restart="never")]
    team = Supervisor("crew", children, strategy="one_for_all")
    await engine.apply(team)

    await engine.actor(Worker, "a").tell(Worker.quit)
    await seen.count(started("a"), 2)

    await member_when(engine, team, "b", lambda m: m.status == "ended")
    assert seen.events.count(started("b")) == 1
    with pytest.raises(ActorStopped):
        await engine.actor(Worker, "b").ask(Worker.work, "x")


async def test_one_that_was_stopped_at_rest_is_taken_in(engine: Engine) -> None:
    worker = engine.actor(Worker, "a")
    assert await worker.ask(Worker.work, "one") == 1
    await engine.get(worker.id).terminate("enough")

    applied = await engine.apply(Supervisor("crew", workers("a")))

    assert not applied.failed
    assert await worker.ask(Worker.work, "two") == 2


async def test_changed_conditions_start_one_that_has_ended_in_a_new_life(engine: Engine) -> None:
    first = Supervisor("crew", [Child(Worker, key="a", restart="on_failure")])
    await engine.apply(first)
    await engine.actor(Worker, "a").tell(Worker.quit)
    await member_when(engine, first, "a", lambda m: m.status == "ended")

    applied = await engine.apply(Supervisor("crew", workers("a")))

    assert [one[-1] for one in applied.started] == ["a"]
    assert (await member(engine, "a")).restarts == 1
    assert await engine.actor(Worker, "a").ask(Worker.work, "x") == 1


async def test_changed_conditions_are_no_start(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", workers("a")))

    await engine.apply(Supervisor("crew", [Child(Worker, key="a", restart="on_failure")]))

    assert seen.events == [started("a")]


async def test_a_watcher_is_told_of_one_that_stopped_before(engine: Engine) -> None:
    worker = engine.actor(Worker, "a")
    await worker.ask(Worker.work, "one")
    await engine.get(worker.id).terminate("enough")

    await engine.actor(Watcher, "w").ask(Watcher.look_at, "a")
    await seen.count("told")

    with pytest.raises(ActorStopped):
        await worker.ask(Worker.work, "two")
