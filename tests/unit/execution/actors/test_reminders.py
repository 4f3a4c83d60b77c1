"""Reminders, and words to those who have stopped: with the commit of the message, over restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Actor, Engine, actor, handler, wf
from outlast._store.rows import RunRow
from outlast.errors import HandlerFailed, UsageError
from outlast.types import RunId
from tests.unit.actors.crew import Worker, seen


@pytest.fixture(autouse=True)
def clean() -> None:
    seen.clear()


@dataclass
class Ticks:
    count: int = 0


@actor(attempts=1)
class Clock(Actor[Ticks]):
    """Reminds itself."""

    @handler
    async def begin(self, every: str, word: str = "tick", name: str = "") -> None:
        self.reminder(every=every, name=name).tell(Clock.tick, word)

    @handler
    async def begin_and_fail(self) -> None:
        await self.reminder(every="20ms").tell(Clock.tick, "never")
        raise ValueError("nothing of it holds")

    @handler
    async def tick(self, word: str) -> None:
        self.state.count += 1
        seen.add(word)
        if word == "bad":
            raise ValueError(word)

    @handler
    async def end(self, name: str) -> None:
        self.cancel_reminder(name)

    @handler
    async def quit(self) -> None:
        self.stop()

    @handler
    async def quit_and_fail(self) -> None:
        self.stop()
        raise ValueError("it stays")

    @handler
    async def tell_worker(self, key: str) -> None:
        await wf.actor(Worker, key).tell(Worker.work, "too late")


async def test_a_reminder_comes_again_and_again_until_it_is_cancelled(engine: Engine) -> None:
    clock = engine.actor(Clock, "a")
    await clock.ask(Clock.begin, "10ms")
    await seen.count("tick", 3)

    await clock.ask(Clock.end, "tick")
    count = seen.events.count("tick")
    await clock.options(delay="50ms").ask(Clock.end, "nothing")

    assert seen.events.count("tick") == count
    assert (await engine.actor_info(Clock, "a")).waiting == 0


async def test_a_reminder_set_while_others_are_woken_is_not_forgotten(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovery, store = engine._core.recovery, engine._core.store
    looks: list[int] = []

    async def read_before_the_actor_left(shards: Collection[int], _: int) -> None:
        looks.append(len(shards))
        async with asyncio.timeout(30):
            while not recovery._alarm.is_expected_meanwhile:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.001)

    monkeypatch.setattr(store, "next_wake", read_before_the_actor_left)
    await engine.actor(Clock, "a").ask(Clock.begin, "10ms")

    await seen.count("tick", 3)
    assert looks, "the first reminder woke the actor"


async def test_one_that_is_due_soon_does_not_wait_for_those_in_memory(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The row of an actor in memory says that it is due until its message has ended.
    await engine.actor(Clock, "at work").ask(Clock.begin, "1h")
    await engine.actor(Clock, "soon").ask(Clock.begin, "1h")
    recovery, store, world = engine._core.recovery, engine._core.store, engine._core.world
    at_work = await store.read_run(RunId(engine.actor(Clock, "at work").id))
    assert at_work is not None
    now = world.now()
    engine._core.scheduler.residents[at_work.id] = None  # type: ignore[assignment]  # in memory

    async def due(*_: object) -> list[RunRow]:
        return [at_work]

    async def first_behind(_: object, after: int) -> int:
        assert after >= now
        return after + 3_000

    monkeypatch.setattr(store, "due_runs", due)
    monkeypatch.setattr(store, "next_wake", first_behind)

    at = await recovery._bring_due()
    del engine._core.scheduler.residents[at_work.id]

    assert at is not None
    assert at - world.now() <= 3_000


async def test_setting_it_again_keeps_its_rhythm_and_another_replaces_it(engine: Engine) -> None:
    clock = engine.actor(Clock, "a")
    await clock.ask(Clock.begin, "1h")
    await clock.ask(Clock.begin, "1h")

    assert (await engine.actor_info(Clock, "a")).waiting == 1

    await clock.ask(Clock.begin, "10ms", "tock")
    await seen.count("tock", 2)
    assert "tick" not in seen.events


async def test_names_tell_reminders_apart(engine: Engine) -> None:
    clock = engine.actor(Clock, "a")
    await clock.ask(Clock.begin, "10ms", "one", "first")
    await clock.ask(Clock.begin, "15ms", "two", "second")

    await seen.count("one", 2)
    await seen.count("two", 2)


async def test_a_reminder_goes_on_after_its_message_was_given_up(engine: Engine) -> None:
    await engine.actor(Clock, "a").ask(Clock.begin, "10ms", "bad")

    await seen.count("bad", 3)

    async with asyncio.timeout(30):
        letters = list[str]()
        while len(letters) < 2:
            letters = [letter.reason async for letter in engine.dead_letters()]
    assert letters[:2] == ["failed", "failed"]


async def test_a_handler_that_fails_sets_no_reminder(engine: Engine) -> None:
    clock = engine.actor(Clock, "a")
    with pytest.raises(HandlerFailed):
        await clock.ask(Clock.begin_and_fail)

    await clock.options(delay="60ms").ask(Clock.end, "nothing")

    assert not seen.events


async def test_a_reminder_is_no_dead_letter_when_its_actor_stops(engine: Engine) -> None:
    clock = engine.actor(Clock, "a")
    await clock.ask(Clock.begin, "1h")

    await clock.ask(Clock.quit)

    assert [letter async for letter in engine.dead_letters()] == []


async def test_a_reminder_survives_a_restart_and_comes_once_for_what_was_missed(
    tmp_path: Path,
) -> None:
    async with Engine.open(tmp_path / "a.db") as engine:
        await engine.actor(Clock, "a").ask(Clock.begin, "500ms")
    before = seen.events.count("tick")  # none, unless closing took long
    await asyncio.sleep(2.2)  # several come due while nothing runs
    assert seen.events.count("tick") == before

    opened = time.monotonic()
    async with Engine.open(tmp_path / "a.db") as engine:
        await seen.count("tick", before + 3)
        came, passed = seen.events.count("tick") - before, time.monotonic() - opened

    # One for the four that were missed, one at any moment after, then one each half second.
    assert came <= 2 + passed / 0.5


async def test_a_reminder_is_not_for_the_hot_path(engine: Engine) -> None:
    with pytest.raises(HandlerFailed, match="every"):
        await engine.actor(Clock, "a").ask(Clock.begin, "1ms")
    with pytest.raises(UsageError):
        engine.actor(Clock, "a").options(priority=2_000_000)


async def test_what_a_handler_tells_a_stopped_actor_is_a_dead_letter(engine: Engine) -> None:
    await engine.actor(Worker, "w").ask(Worker.quit)

    await engine.actor(Clock, "a").ask(Clock.tell_worker, "w")

    (letter,) = [letter async for letter in engine.dead_letters()]
    assert (letter.actor.rpartition("/")[2], letter.handler, letter.reason) == (
        "w",
        "work",
        "stopped",
    )


async def test_a_reminders_dead_letter_that_is_sent_again_is_one_message(engine: Engine) -> None:
    await engine.actor(Clock, "a").ask(Clock.begin, "1h", "bad", "late")
    await engine.actor(Clock, "a").ask(Clock.begin, "10ms", "bad", "soon")
    await seen.count("bad", 1)
    await engine.actor(Clock, "a").ask(Clock.end, "soon")
    letters = [letter.number async for letter in engine.dead_letters()]

    await engine.redrive(letters[0])
    await seen.count("bad", len(letters) + 1)
    await engine.actor(Clock, "a").options(delay="60ms").ask(Clock.end, "nothing")

    assert (await engine.actor_info(Clock, "a")).waiting == 1  # the one of every hour


async def test_a_handler_that_fails_does_not_stop_its_actor(engine: Engine) -> None:
    clock = engine.actor(Clock, "a")
    with pytest.raises(HandlerFailed):
        await clock.ask(Clock.quit_and_fail)

    await clock.ask(Clock.end, "nothing")
