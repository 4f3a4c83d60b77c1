"""Steps that write one stream at the same time, while their machine crashes.

A reader of the end hears each word of each step once, in its order, and no offset is used twice.
"""

from __future__ import annotations

import asyncio

import pytest

from outlast import Retry, Stream, step, wf, workflow
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
