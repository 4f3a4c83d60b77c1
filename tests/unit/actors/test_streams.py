"""Streams of an actor: they outlast its messages, and a message that fails has said nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Actor, ActorRef, Engine, Retry, Stream, actor, handler, step
from outlast.errors import HandlerFailed, NotSupported, RunNotFound
from outlast.types import StreamEvent

words = Stream("actor_streams.words", str)
tries: list[str] = []


class Broken(Exception):
    """What a handler of the test raises."""


@dataclass
class Said:
    count: int = 0


@step
async def dictate(text: str) -> int:
    """Say words from within a step."""
    for word in text.split():
        await words.write(word)
    return len(text.split())


@step(retry=Retry(attempts=1, then="park"))
async def never() -> None:
    """Park the actor."""
    await words.write("well")
    raise Broken


@actor
class Talker(Actor[Said]):
    """Says what it is told to say."""

    @handler
    async def say(self, text: str) -> int:
        await words.write(text)
        self.state.count += 1
        return self.state.count

    @handler
    async def dictated(self, text: str) -> int:
        return await dictate(text)

    @handler
    async def say_and_fail(self, text: str) -> None:
        await words.write("well")
        await dictate(text)
        raise Broken(text)

    @handler
    async def say_and_wait(self, text: str) -> None:
        await words.write(text)
        await never()

    @handler(read=True)
    async def whisper(self) -> None:
        await words.write("psst")

    @handler
    async def close(self) -> None:
        self.stop()


@actor(attempts=3)
class Stubborn(Actor[Said]):
    """Fails at first, and says the same each time."""

    @handler
    async def say(self, text: str) -> None:
        await words.write("well")
        await dictate(text)
        tries.append(text)
        if len(tries) < 3:
            raise Broken(text)

    @handler
    async def count_tries(self) -> int:
        return len(tries)


def talker(engine: Engine, key: str = "a") -> ActorRef[Talker]:
    return engine.actor(Talker, key)


async def heard(
    events: AsyncIterator[StreamEvent[str]], count: int, begun: asyncio.Event | None = None
) -> list[StreamEvent[str]]:
    """Return so many events of a stream that does not end; `begun` is set with the first."""
    found: list[StreamEvent[str]] = []
    async with asyncio.timeout(20):
        async for event in events:
            found.append(event)
            if begun is not None:
                begun.set()
            if len(found) == count:
                break
    return found


def left(events: list[StreamEvent[str]]) -> list[str | None]:
    """Return the words that have not been taken back."""
    gone = {event.writer for event in events if event.kind == "retract"}
    return [event.value for event in events if event.kind == "data" and event.writer not in gone]


async def test_offsets_go_on_from_message_to_message(engine: Engine) -> None:
    one = talker(engine)
    await one.ask(Talker.say, "hello")
    await one.ask(Talker.dictated, "big wide world")
    await one.ask(Talker.say, "bye")

    events = await heard(one.stream(words), 5)

    assert [event.value for event in events] == ["hello", "big", "wide", "world", "bye"]
    assert [event.offset for event in events] == [0, 1, 2, 3, 4]
    assert left(await heard(one.stream(words, offset=3), 2)) == ["world", "bye"]
    async for event in engine.get(one.id).stream(words.name, offset=4):
        assert event.value == "bye"
        break


async def test_a_message_that_fails_has_said_nothing(engine: Engine) -> None:
    one = talker(engine)
    await one.ask(Talker.say, "first")
    begun = asyncio.Event()
    live = asyncio.create_task(heard(one.stream(words), 7, begun))
    await begun.wait()
    with pytest.raises(HandlerFailed):
        await one.ask(Talker.say_and_fail, "not this")
    await one.ask(Talker.say, "last")

    events = await live

    assert [event.kind for event in events].count("retract") == 2
    assert left(events) == ["first", "last"]
    assert left(await heard(one.stream(words), 2)) == ["first", "last"]


async def test_each_try_of_a_message_is_another_writer(engine: Engine) -> None:
    tries.clear()
    one = engine.actor(Stubborn, "a")
    await one.tell(Stubborn.say, "at last")

    events: list[StreamEvent[str]] = []

    async def listen() -> None:
        async for event in one.stream(words):
            events.append(event)

    listening = asyncio.create_task(listen())
    assert await one.ask(Stubborn.count_tries) == 3  # handled after the message before it
    assert left(await heard(one.stream(words), 3)) == ["well", "at", "last"]
    listening.cancel()
    writers = [event.writer for event in events if event.value == "well"]
    assert len(set(writers)) == len(writers)


async def test_streams_go_on_where_they_ended_in_another_process(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "a.db") as engine:
        await talker(engine).ask(Talker.dictated, "one two")
        with pytest.raises(HandlerFailed):
            await talker(engine).ask(Talker.say_and_fail, "no")
    async with Engine.open(tmp_path / "a.db") as engine:
        await talker(engine).ask(Talker.say, "three")
        events = await heard(talker(engine).stream(words), 3)

    assert [event.value for event in events] == ["one", "two", "three"]
    assert events[-1].offset == 6  # two words, two more, and what took them back


async def test_a_stream_ends_when_its_actor_has_stopped(engine: Engine) -> None:
    one = talker(engine)
    await one.ask(Talker.say, "hello")
    begun = asyncio.Event()
    live = asyncio.create_task(heard(one.stream(words), 2, begun))
    await begun.wait()
    await one.ask(Talker.close)

    assert [event.kind for event in await live] == ["data", "end"]


async def test_an_actor_that_is_stopped_while_parked_has_said_nothing(engine: Engine) -> None:
    one = talker(engine)
    await one.ask(Talker.say, "hello")
    begun = asyncio.Event()
    live = asyncio.create_task(heard(one.stream(words), 6, begun))
    await begun.wait()
    await one.tell(Talker.say_and_wait, "not this")
    async with asyncio.timeout(20):
        while (await engine.get(one.id).info()).status != "parked":  # noqa: ASYNC110  # it is asked
            await asyncio.sleep(0.01)
    await engine.get(one.id).terminate("by the test")

    events = await live
    assert [event.kind for event in events][-3:] == ["retract", "retract", "end"]
    assert left(events) == ["hello"]
    assert left(await heard(one.stream(words), 2)) == ["hello"]


async def test_a_handler_that_only_reads_cannot_write(engine: Engine) -> None:
    with pytest.raises(HandlerFailed, match="except those with read=True"):
        await talker(engine).ask(Talker.whisper)


async def test_an_actor_that_got_no_message_has_no_stream(engine: Engine) -> None:
    with pytest.raises(RunNotFound):
        await heard(talker(engine, "nobody").stream(words), 1)


@actor(durable=False)
class Passing(Actor[Said]):
    """Keeps nothing."""

    @handler
    async def say(self, text: str) -> None:
        await words.write(text)


async def test_an_actor_in_memory_only_has_no_streams(engine: Engine) -> None:
    with pytest.raises(NotSupported, match="durable=False"):
        await heard(engine.actor(Passing, "a").stream(words), 1)
