"""Applying teams: who joins, who leaves, who moves, and which teams are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from outlast import Actor, Child, Engine, Supervisor, actor, handler
from outlast.errors import ActorStopped, NotSupported, UsageError
from tests.unit.actors.crew import (
    Done,
    Watcher,
    Worker,
    broken,
    feed,
    member,
    member_when,
    seen,
    started,
    the_team,
    workers,
)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    broken.clear()
    yield
    broken.clear()


async def test_members_are_started_in_order_and_applying_again_changes_nothing(
    engine: Engine,
) -> None:
    team = Supervisor("crew", [*workers("a", "b"), Supervisor("inner", workers("c"))])

    first = await engine.apply(team)
    again = await engine.apply(team)

    assert seen.events == ["a started", "b started", "c started"]
    assert [one.rpartition(".")[2] for one in first.started] == [
        "Worker/a",
        "Worker/b",
        "Supervisor/crew/inner",
        "Worker/c",
    ]
    assert again.started == again.stopped == again.changed == ()
    assert len(again.unchanged) == 3
    assert (await the_team(engine)).status == "up"


async def test_workflows_are_members_too(engine: Engine) -> None:
    calls = [Child(feed("f", False), key="f"), Child(feed("g", True), key="g", restart="never")]
    await engine.apply(Supervisor("crew", calls, strategy="one_for_all"))
    await seen.count("g runs")
    await seen.count("f runs")

    await engine.get("crew/f").terminate("for a test")
    await seen.count("f runs", 2)
    await engine.apply(Supervisor("crew", calls[1:]))

    assert (await engine.get("crew/f").info()).status == "cancelled"
    team = Supervisor("crew", calls[1:])
    ended = await member_when(engine, team, "g", lambda m: m.status == "ended")
    assert "the feed broke" in ended.error


async def test_who_is_not_in_the_team_any_more_is_stopped_and_may_come_back(
    engine: Engine,
) -> None:
    await engine.apply(Supervisor("crew", workers("a", "b", "c")))
    await engine.actor(Worker, "b").ask(Worker.work, "one")

    less = await engine.apply(Supervisor("crew", workers("a")))
    with pytest.raises(ActorStopped):
        await engine.actor(Worker, "b").tell(Worker.work, "x")
    more = await engine.apply(Supervisor("crew", workers("b", "a")))

    assert [one[-1] for one in less.stopped] == ["c", "b"]
    assert [one[-1] for one in more.started] == ["b"]
    assert await engine.actor(Worker, "b").ask(Worker.items) == ["one"]


async def test_who_moves_to_another_team_is_let_go_first(engine: Engine) -> None:
    def crew(above: list[Child], first: list[Child], second: list[Child]) -> Supervisor:
        inner = [Supervisor("first", first), Supervisor("second", second)]
        return Supervisor("crew", [*above, *inner])

    a, b = Child(Worker, key="a", restart="never"), Child(Worker, key="b", restart="never")
    await engine.apply(crew([], [a], [b]))
    up = await engine.apply(crew([b], [], [a]))
    down = await engine.apply(crew([], [a, b], []))

    assert not up.failed
    assert not down.failed
    assert sorted(one[-1] for one in up.started) == sorted(one[-1] for one in down.started)
    assert await engine.actor(Worker, "a").ask(Worker.work, "x") == 1
    assert await engine.actor(Worker, "b").ask(Worker.work, "x") == 1


async def test_an_actor_has_one_place(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", workers("a")))

    other = await engine.apply(Supervisor("other", workers("a", "b")))

    (why,) = other.failed.values()
    assert "has a place in another team" in why
    assert [one[-1] for one in other.started] == ["b"]


async def test_a_team_is_stopped_and_applied_anew(engine: Engine) -> None:
    team = Supervisor("crew", [*workers("a"), Supervisor("inner", workers("b"))])
    await engine.apply(team)
    await engine.actor(Watcher, "w").ask(Watcher.look_at, "a")

    await engine.get((await the_team(engine)).id).terminate("enough")
    await seen.count("told")
    again = await engine.apply(team)

    assert [one[-1] for one in again.started] == ["a", "r", "b"]
    assert await engine.actor(Worker, "b").ask(Worker.work, "x") == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Supervisor("a/b", []),
        lambda: Supervisor("", []),
        lambda: Supervisor("a", workers("x", "x")).spec(),
        lambda: Supervisor("a", [], max_restarts=-1),
        lambda: Supervisor("a", [], within=0),
        lambda: Child(Worker, key=""),
    ],
)
def test_what_cannot_be_a_team_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(UsageError):
        make()


@actor
class Misnamed(Actor[Done]):
    """Has a handler of a name that means something else."""

    @handler
    async def started(self, when: str) -> None:
        """Take an argument."""


@actor(durable=False)
class Fleeting(Actor[Done]):
    """Is in memory only."""


async def test_what_cannot_be_supervised_is_refused_before_anything_starts(
    engine: Engine,
) -> None:
    with pytest.raises(UsageError, match="takes no arguments"):
        await engine.apply(Supervisor("crew", [*workers("a"), Child(Misnamed, key="m")]))
    with pytest.raises(NotSupported):
        await engine.apply(Supervisor("crew", [*workers("a"), Child(Fleeting, key="f")]))
    with pytest.raises(UsageError, match="applies a Supervisor"):
        await engine.apply(cast("Supervisor", workers("a")[0]))

    assert seen.events == []


async def test_a_team_that_never_had_a_member_does_not_stop_it(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", workers("a")))
    await engine.apply(Supervisor("other", workers("a", "b"), max_restarts=0))

    await engine.apply(Supervisor("other", workers("b")))

    assert await engine.actor(Worker, "a").ask(Worker.work, "x") == 1


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
