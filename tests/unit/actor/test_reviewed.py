"""What a review of the actors found: each was wrong once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outlast import Actor, Engine, Stream, Topic, actor, handler, step, wf
from outlast.errors import ActorStopped, HandlerFailed, RunNotFound


@dataclass
class Seen:
    lines: list[str] = field(default_factory=list[str])


words = Stream("words", str)
news = Topic("reviewed-news", str)
_gate: list[asyncio.Event] = []
_mended: list[bool] = []


@step
async def talks() -> None:
    await words.write("last words")
    await asyncio.sleep(5)


@step
async def fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


@step
async def waits() -> None:
    await _gate[0].wait()


@actor(durable=False)
class Hot(Actor[Seen]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)


@actor(attempts=2)
class Kept(Actor[Seen]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def add_after(self, line: str) -> int:
        await waits()
        return await self.add(line)

    @handler
    async def tell_soon(self, other: str) -> None:
        await wf.actor(Kept, other).options(timeout="30s").tell(Kept.add, "in time")

    @handler
    async def tell_hot(self) -> None:
        await wf.actor(Hot, "hot").tell(Hot.add, "told")

    @handler
    async def leave_things(self) -> None:
        asyncio.get_running_loop().call_later(0.01, print)
        await asyncio.gather(talks(), fails())

    @handler(topic=news)
    async def on_news(self, line: str) -> None:
        if not _mended:
            raise ValueError("not yet")
        self.state.lines.append(line)

    @handler
    async def publish(self, line: str) -> None:
        await news.publish(line)

    @handler(read=True)
    async def all(self) -> list[str]:
        return self.state.lines


async def test_a_deadline_is_counted_from_when_the_handler_sends(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    await asyncio.sleep(0.05)

    await kept.ask(Kept.tell_soon, "b")

    assert await engine.actor(Kept, "b").ask(Kept.add, "then") == 2
    assert [x async for x in engine.dead_letters()] == []


async def test_a_durable_actor_tells_one_in_memory(engine: Engine) -> None:
    await engine.actor(Kept, "a").ask(Kept.tell_hot)

    assert await engine.actor(Hot, "hot").ask(Hot.add, "then") == 2


async def test_what_a_message_left_behind_counts_for_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        async with Engine.open(tmp_path / "outlast.db") as engine:
            kept = engine.actor(Kept, "a")
            with pytest.raises(HandlerFailed, match="no"):
                await kept.ask(Kept.leave_things)
            await asyncio.sleep(0.05)
            await kept.ask(Kept.add, "x")
    async with Engine.open(tmp_path / "outlast.db") as engine:
        assert await engine.actor(Kept, "a").ask(Kept.all) == ["x", "x"]


async def test_a_reading_question_with_a_key_is_answered_again(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    asking = kept.options(dedup="k", timeout="30s")

    first, second = await asyncio.gather(asking.ask(Kept.all), asking.ask(Kept.all))

    assert (first, second) == (["x"], ["x"])
    assert await asking.ask(Kept.all) == ["x"]


async def are_waiting(engine: Engine, count: int) -> bool:
    try:
        return (await engine.actor_info(Kept, "a")).waiting == count
    except RunNotFound:
        return False


async def test_who_waits_for_an_actor_that_is_stopped_is_told(engine: Engine) -> None:
    _gate[:] = [asyncio.Event()]
    kept = engine.actor(Kept, "a")
    asks = [asyncio.ensure_future(kept.ask(Kept.add_after, f"{n}")) for n in range(3)]
    async with asyncio.timeout(30):
        while not await are_waiting(engine, 3):  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)

    await engine.get(kept.id).terminate("enough")

    for found in await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 30):
        assert isinstance(found, ActorStopped)
    assert (await engine.actor_info(Kept, "a")).status == "completed"


async def test_a_resting_actor_is_stopped_and_keeps_its_state(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    await asyncio.sleep(0.05)

    await engine.get(kept.id).terminate("enough")

    with pytest.raises(ActorStopped):
        await kept.ask(Kept.add, "late")
    assert (await engine.actor_info(Kept, "a")).state == {"lines": ["x"]}


async def test_a_message_whose_sender_gave_up_is_delivered(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    for number in range(20):
        sending = asyncio.ensure_future(kept.tell(Kept.add, f"{number}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])

    lines = await kept.options(timeout="30s").ask(Kept.add, "end")

    assert lines == len(await kept.ask(Kept.all))
    assert (await engine.actor_info(Kept, "a")).waiting == 0


async def test_a_first_message_that_failed_does_not_cost_the_subscription(engine: Engine) -> None:
    _mended.clear()
    kept = engine.actor(Kept, "a")
    await kept.tell(Kept.on_news, "too early")
    await kept.ask(Kept.add, "then")
    _mended.append(True)

    await engine.actor(Kept, "b").ask(Kept.publish, "news")

    for _ in range(1_000):
        if await kept.ask(Kept.all) == ["then", "news"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await kept.ask(Kept.all))


_asleep: list[asyncio.Event] = []


@actor
class Sleeper(Actor[Seen]):
    """Sleeps, and asks one that sleeps."""

    @handler
    async def sleep(self) -> None:
        _asleep[0].set()
        await asyncio.sleep(3600)

    @handler
    async def ask_another(self) -> None:
        await wf.actor(Sleeper, "other").ask(Sleeper.sleep)


async def test_closing_waits_for_nobody_who_only_waits(url: str) -> None:
    _asleep[:] = [asyncio.Event()]
    async with asyncio.timeout(30), Engine.open(url) as engine:
        await engine.actor(Sleeper, "one").tell(Sleeper.ask_another)
        await _asleep[0].wait()
