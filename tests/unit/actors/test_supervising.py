"""Teams: who is started with whom, what a failure does, what survives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from outlast import Actor, Child, Engine, MemberInfo, Supervisor, TeamInfo, actor, handler
from outlast.errors import ActorStopped, HandlerFailed, NotSupported, UsageError
from outlast.types import Restart, Strategy
from tests.unit.actors.crew import Done, Watcher, Worker, broken, feed, seen, unstartable


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    broken.clear()
    yield
    broken.clear()


def workers(*keys: str) -> list[Child]:
    return [Child(Worker, key=key) for key in keys]


async def the_team(engine: Engine) -> TeamInfo:
    async for team in engine.teams():
        return team
    raise AssertionError("there is no team")


async def member(engine: Engine, key: str) -> MemberInfo:
    team = await the_team(engine)
    return next(m for m in team.members if m.id.endswith(f"/{key}"))


async def member_when(
    engine: Engine, team: Supervisor, key: str, condition: Callable[[MemberInfo], bool]
) -> MemberInfo:
    """Return a member once it stands as it should: its supervisor answers in turn."""
    for _ in range(300):
        await engine.apply(team)
        found = await member(engine, key)
        if condition(found):
            return found
    raise AssertionError(f"never so: {await member(engine, key)}")


def started(key: str) -> str:
    return f"{key} started"


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


async def test_a_member_may_begin_each_life_with_its_first_state(engine: Engine) -> None:
    await engine.apply(Supervisor("crew", [Child(Worker, key="a", reset=True)]))
    a = engine.actor(Worker, "a")
    await a.ask(Worker.work, "one")

    await a.tell(Worker.quit)
    await seen.count(started("a"), 2)

    assert await a.ask(Worker.items) == []


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
