"""Steps that write one stream at the same time, while their machine crashes.

A reader of the end hears each word of each step once, in its order, and no offset is used twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import pytest

from outlast import Actor, Retry, Stream, actor, handler, step, wf, workflow
from outlast.errors import HandlerFailed
from outlast.testing import Sim

words = Stream("stream_seeds.words", str)
WRITERS = ("a", "b", "c")
COUNT = 12


@step(retry=Retry(attempts=50))
async def speak(writer: str, pause: float) -> str:
    for number in range(COUNT):
        await words.write(f"{writer}{number}")
        await asyncio.sleep(pause)
    return writer


@workflow
async def conversation() -> list[str]:
    await words.write("begin")
    said = await asyncio.gather(*(speak(w, 0.01 + 0.013 * n) for n, w in enumerate(WRITERS)))
    await wf.sleep("1h")
    await words.write("end")
    return said


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(12))
async def test_words_of_steps_are_heard_once_after_crashes(seed: int) -> None:
    async with Sim(seed=seed, crash=0.04) as sim:
        run = await sim.start(conversation())
        assert await sim.result(run) == list(WRITERS)

        events = [event async for event in sim.get(run).stream(words)]
        records = [r.key for r in await sim.journal(run) if r.kind == "stream_written"]
        crashes = sim.crashes

    heard = [event.value for event in events if event.kind == "data"]
    offsets = [event.offset for event in events]
    assert offsets == sorted(set(offsets))
    assert (heard[0], heard[-1]) == ("begin", "end")
    for writer in WRITERS:
        said = [word for word in heard[1:-1] if f"{word}".startswith(writer)]
        assert said == [f"{writer}{number}" for number in range(COUNT)]
    assert len(heard) == 2 + COUNT * len(WRITERS)
    assert len(records) <= 2 + len(WRITERS) * (crashes + 1)


tries: Counter[str] = Counter()


@dataclass
class Heard:
    messages: int = 0


@actor(attempts=20)
class Speaker(Actor[Heard]):
    """Says what each message tells it to, in a step, and fails after that two times of three."""

    @handler
    async def say(self, name: str) -> int:
        await words.write(f"{name}!")
        await speak(name, 0.013)
        tries[name] += 1
        if tries[name] % 3:
            raise ValueError(name)
        self.state.messages += 1
        return self.state.messages


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(12))
async def test_words_of_an_actor_are_heard_once_after_crashes(seed: int) -> None:
    tries.clear()
    tries["z1"] = 2  # an ask is not tried again
    names = [f"m{number}" for number in range(6)]
    async with Sim(seed=seed, crash=0.03) as sim:
        speaker = sim.actor(Speaker, "one")
        for name in names:
            await speaker.options(dedup=name).tell(Speaker.say, name)
        with suppress(HandlerFailed):  # as after a crash between two of its tries
            await speaker.options(dedup="z1").ask(Speaker.say, "z1")
            names.append("z1")
        await sim.get(speaker.id).terminate("the test is over")
        events = [event async for event in speaker.stream(words)]

    offsets = [event.offset for event in events]
    assert offsets == sorted(set(offsets))
    heard = [event.value for event in events if event.kind == "data"]
    expected = [[f"{name}!", *(f"{name}{number}" for number in range(COUNT))] for name in names]
    assert heard == [word for words_of_one in expected for word in words_of_one]
