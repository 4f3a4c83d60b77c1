"""What a supervisor does when a member fails or ends, and what survives it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from outlast import Actor, Child, Engine, Supervisor, actor, handler, workflow
from outlast._actors.supervising import SupervisorActor
from outlast._messages.actor_ids import actor_id
from outlast.errors import ActorStopped, HandlerFailed, RunClosed
from outlast.types import Restart, Strategy
from tests.unit.actors.crew import (
    Done,
    Watcher,
    Worker,
    broken,
    member,
    member_when,
    seen,
    started,
    the_team,
    unstartable,
    workers,
)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    broken.clear()
    yield
    broken.clear()


async def test_a_failed_message_is_tried_again_after_the_restart_then_given_up(
    engine: Engine,
) -> None:
    team = Supervisor("crew", workers("a", "b"))
    await engine.apply(team)
    a = engine.actor(Worker, "a")

    await a.tell(Worker.work, "poison")
    await a.tell(Worker.work, "good")
    await seen.count("a did good")

    assert seen.events == [
        "a started",
        "b started",
        "a works on poison",
        "a started",
        "a works on poison",
        "a started",
        "a works on good",
        "a did good",
    ]
    letters = [letter async for letter in engine.dead_letters()]
    assert [(x.reason, x.attempts) for x in letters] == [("failed", 2)]
    assert await a.ask(Worker.items) == ["good"]
    await member_when(engine, team, "a", lambda m: m.restarts == 2)
    assert (await member(engine, "b")).restarts == 0


async def test_what_an_ask_raises_is_its_askers_and_no_failure(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", workers("a")))

    with pytest.raises(HandlerFailed):
        await engine.actor(Worker, "a").ask(Worker.work, "poison")

    assert (await member(engine, "a")).restarts == 0


@pytest.mark.parametrize(
    ("strategy", "again"),
    [
        ("one_for_one", ["b"]),
        ("rest_for_one", ["b", "c"]),
        ("one_for_all", ["a", "b", "c"]),
    ],
)
async def test_strategies_say_who_is_started_again(
    engine: Engine, strategy: Strategy, again: list[str]
) -> None:
    team = Supervisor("crew", workers("a", "b", "c"), strategy=strategy)
    await engine.apply(team)
    seen.clear()

    await engine.actor(Worker, "b").tell(Worker.work, "poison")
    await seen.count(started(again[-1]), 2)

    starts = [event for event in seen.events if event.endswith("started")]
    assert starts[: len(again)] == [started(key) for key in again]
    assert (
        sorted(m.id.rpartition("/")[2] for m in (await the_team(engine)).members if m.restarts)
        == again
    )


async def test_who_is_started_with_another_begins_its_message_anew(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", workers("a", "b"), strategy="one_for_all"))
    await engine.actor(Worker, "a").tell(Worker.nap)
    await seen.count("a naps")

    await engine.actor(Worker, "b").tell(Worker.work, "poison")
    await seen.count("a naps", 2)

    assert not [letter async for letter in engine.dead_letters()]


async def test_stopping_means_something_else_under_each_policy(engine: Engine) -> None:
    members = [
        Child(Worker, key="always"),
        Child(Worker, key="failure", restart="on_failure"),
        Child(Worker, key="never", restart="never"),
    ]
    await engine.apply(Supervisor("crew", members))
    for key in ("always", "failure", "never"):
        await engine.actor(Worker, key).tell(Worker.quit)

    await seen.count(started("always"), 2)

    assert await engine.actor(Worker, "always").ask(Worker.work, "x") == 1
    for key in ("failure", "never"):
        with pytest.raises(ActorStopped):
            await engine.actor(Worker, key).ask(Worker.work, "x")
        await member_when(engine, Supervisor("crew", members), key, lambda m: m.status == "ended")


async def test_one_that_is_never_restarted_stops_when_it_fails(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", [Child(Worker, key="a", restart="never")]))
    await engine.actor(Watcher, "w").ask(Watcher.look_at, "a")

    await engine.actor(Worker, "a").tell(Worker.work, "poison")
    await seen.count("told")

    with pytest.raises(ActorStopped):
        await engine.actor(Worker, "a").tell(Worker.work, "x")
    assert (await engine.actor_info(Worker, "a")).status == "failed"
    assert [x.reason async for x in engine.dead_letters()] == ["failed"]


async def test_one_that_is_killed_is_started_again_with_its_state_and_mail(engine: Engine) -> None:
    team = Supervisor("crew", workers("a"))
    await engine.apply(team)
    a = engine.actor(Worker, "a")
    await a.ask(Worker.work, "one")
    await a.tell(Worker.nap)
    await seen.count("a naps")

    await engine.get(a.id).terminate("for a test")
    await a.tell(Worker.work, "two")
    await seen.count("a naps", 2)

    assert seen.events.count("a started") == 2
    assert await a.ask(Worker.items) == ["one"]
    again = await member_when(engine, team, "a", lambda m: m.restarts == 1)
    assert "it was stopped: for a test" in again.error


async def test_too_many_failures_park_and_a_person_resumes(engine: Engine) -> None:
    broken.add("a")
    team = Supervisor("crew", workers("a", "b"), max_restarts=1, on_exhausted="park")
    await engine.apply(team)
    a = engine.actor(Worker, "a")

    await a.tell(Worker.work, "late")
    await seen.count("a works on late", 2)
    await a.tell(Worker.work, "later")
    parked = await member_when(engine, team, "a", lambda m: m.status == "parked")

    assert "2 failures within 60 seconds" in parked.error
    assert (await engine.actor_info(Worker, "a")).status == "parked"
    assert (await engine.actor_info(Worker, "a")).waiting == 1
    assert await engine.actor(Worker, "b").ask(Worker.work, "x") == 1

    broken.clear()
    await engine.get(a.id).resume()
    await seen.count("a did later")
    await member_when(engine, team, "a", lambda m: m.status == "up")


async def test_a_team_that_fails_too_often_is_a_failure_of_the_team_above(engine: Engine) -> None:
    inner = Supervisor("inner", workers("a", "b"), max_restarts=0)
    team = Supervisor("crew", [*workers("x"), inner], strategy="one_for_all")
    await engine.apply(team)
    seen.clear()

    for _ in range(2):  # each counts once, however many attempts it has
        await engine.actor(Worker, "a").tell(Worker.work, "poison")
    await seen.count(started("b"), 2)

    starts = [event for event in seen.events if event.endswith("started")]
    assert starts[:3] == ["x started", "a started", "b started"]
    await member_when(engine, team, "inner", lambda m: m.restarts == 2 and m.status == "up")


@pytest.mark.parametrize("restart", ["on_failure", "never"])
async def test_who_has_ended_is_started_with_its_team(engine: Engine, restart: Restart) -> None:
    ending = Child(Worker, key="a", restart=restart)
    inner = Supervisor("inner", [ending, *workers("b", "c")], max_restarts=0)
    await engine.apply(Supervisor("crew", [inner]))
    await engine.actor(Watcher, "w").ask(Watcher.look_at, "a")
    await engine.actor(Worker, "a").tell(Worker.quit)
    await seen.count("told")

    await engine.actor(Worker, "b").tell(Worker.work, "poison")
    await seen.count(started("c"), 2)

    assert seen.events.count(started("b")) >= 2
    assert seen.events.count(started("a")) >= 2


async def test_a_team_that_was_held_begins_when_it_is_started_anew(engine: Engine) -> None:
    # The one above had no answer in time when it started the team first, held it, and starts it
    # again, as a new life, when it is applied itself (simulation seed 2546).
    inner = Supervisor("inner", workers("a", "b"))
    await engine.apply(Supervisor("crew", [inner]))
    seen.clear()
    held = engine.actor(SupervisorActor, "crew/inner")

    await held.ask(SupervisorActor.hold, "no answer", is_parked=False)
    above, spec = actor_id("outlast.Supervisor", "crew"), inner.spec("crew")
    await held.ask(SupervisorActor.apply, spec, above=above, life=2)

    assert seen.events == ["a started", "b started"]


async def test_one_that_cannot_be_started_keeps_no_other_down(engine: Engine) -> None:
    inner = Supervisor("inner", workers("a", "b"), max_restarts=1)
    await engine.apply(Supervisor("crew", [inner]))
    broken.add("b")
    unstartable.add("a")

    for _ in range(2):
        await engine.actor(Worker, "b").tell(Worker.work, "late")
    await seen.count(started("b"), 3)

    await seen.count(started("a"), 3)


async def test_one_that_is_never_restarted_stops_when_it_cannot_be_started(
    engine: Engine,
) -> None:
    unstartable.add("a")
    await engine.actor(Worker, "a").ask(Worker.work, "one")
    await engine.actor(Watcher, "w").ask(Watcher.look_at, "a")

    applied = await engine.apply(Supervisor("crew", [Child(Worker, key="a", restart="never")]))
    await seen.count("told")

    assert len(applied.failed) == 1
    with pytest.raises(ActorStopped):
        await engine.actor(Worker, "a").ask(Worker.work, "two")


async def test_a_team_that_ended_with_a_significant_member_is_started_by_the_one_above(
    engine: Engine,
) -> None:
    significant = Child(Worker, key="a", restart="never", significant=True)
    inner = Supervisor("inner", [significant, *workers("b")])
    await engine.apply(Supervisor("crew", [inner]))

    await engine.actor(Worker, "a").tell(Worker.quit)
    await seen.count(started("b"), 2)

    assert seen.events.count(started("a")) == 2
    assert await engine.actor(Worker, "a").ask(Worker.work, "x") == 1


async def test_a_significant_member_takes_its_team_along(engine: Engine) -> None:
    members = [*workers("a"), Child(Worker, key="b", restart="on_failure", significant=True)]
    await engine.apply(Supervisor("crew", members))
    await engine.actor(Watcher, "w").ask(Watcher.look_at, "a")

    await engine.actor(Worker, "b").tell(Worker.quit)
    await seen.count("told")

    for key in ("a", "b"):
        with pytest.raises(ActorStopped):
            await engine.actor(Worker, key).tell(Worker.work, "x")


async def test_a_member_may_begin_each_life_with_its_first_state(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", [Child(Worker, key="a", reset=True)]))
    a = engine.actor(Worker, "a")
    await a.ask(Worker.work, "one")

    await a.tell(Worker.quit)
    await seen.count(started("a"), 2)

    assert await a.ask(Worker.items) == []


async def test_what_is_told_twice_is_watched_once(engine: Engine) -> None:
    watcher = engine.actor(Watcher, "w")
    await engine.actor(Worker, "a").ask(Worker.work, "x")
    await watcher.ask(Watcher.look_at, "a")
    await watcher.ask(Watcher.look_at, "a")

    await engine.actor(Worker, "a").tell(Worker.quit)
    await seen.count("told")
    await watcher.ask(Watcher.look_at, "a")
    await seen.count("told", 2)

    assert await watcher.ask(Watcher.items) == [
        "a: it stopped itself",
        "a: it had stopped before",
    ]


async def test_a_message_that_fails_on_each_attempt_counts_once(engine: Engine) -> None:
    team = Supervisor("crew", workers("a", "b", "c"), max_restarts=4)
    await engine.apply(team)
    for n in range(4):
        await engine.actor(Worker, "abc"[n % 3]).tell(Worker.work, "poison")

    async with asyncio.timeout(30):
        while True:
            dead = [letter async for letter in engine.dead_letters()]
            (crew,) = [info async for info in engine.teams()]
            is_up = all(member.status == "up" for member in crew.members)
            if len(dead) == 4 and is_up:
                break
            await asyncio.sleep(0.02)

    assert crew.failures == 4
    assert await engine.actor(Worker, "a").ask(Worker.work, "good") == 1


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


async def test_a_watcher_is_told_of_one_that_stopped_before(engine: Engine) -> None:
    worker = engine.actor(Worker, "a")
    await worker.ask(Worker.work, "one")
    await engine.get(worker.id).terminate("enough")

    await engine.actor(Watcher, "w").ask(Watcher.look_at, "a")
    await seen.count("told")

    with pytest.raises(ActorStopped):
        await worker.ask(Worker.work, "two")


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


async def test_resuming_one_that_has_ended_is_refused(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", [Child(Worker, key="a", restart="never")]))
    a = engine.actor(Worker, "a")
    await a.ask(Worker.quit)

    with pytest.raises(RunClosed):
        await engine.get(a.id).resume()
