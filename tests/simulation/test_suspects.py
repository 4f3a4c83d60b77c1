"""Runs that kill their process: one is parked in the end, however long it takes to do so."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Actor, Stream, actor, handler, step, workflow
from outlast.errors import RunParked
from outlast.testing import Sim

words = Stream("suspects.words", str)


class Machine:
    """What the step of a test crashes."""

    sim: Sim


@step
async def deadly_step(seconds: float) -> None:
    """Kill the process after a while."""
    await asyncio.sleep(seconds)
    Machine.sim.crash()
    await asyncio.sleep(1)


@step
async def long_step() -> str:
    """Take long, and do no harm."""
    await asyncio.sleep(60)
    return "done"


@workflow
async def deadly(seconds: float) -> None:
    await deadly_step(seconds)


@workflow
async def healthy() -> str:
    return await long_step()


@actor(name="suspects.Bomb")
class Bomb(Actor[int]):
    @handler
    async def go_off(self, seconds: float) -> None:
        await words.write("tick")
        await deadly_step(seconds)

    @handler
    async def say(self, word: str) -> None:
        await words.write(word)


@pytest.mark.sim
@pytest.mark.parametrize("seconds", [0.3, 4.5, 40.0])
@pytest.mark.parametrize("others", [0, 2])
async def test_what_kills_its_process_late_is_parked_too(seconds: float, others: int) -> None:
    async with Sim(seed=1) as sim:
        Machine.sim = sim
        runs = [await sim.start(healthy()) for _ in range(others)]
        run = await sim.start(deadly(seconds))
        with pytest.raises(RunParked, match="died 6 times"):
            await sim.result(run)
        assert [await sim.result(one) for one in runs] == ["done"] * others
        assert sim.crashes <= 12


@pytest.mark.sim
async def test_a_message_that_kills_its_process_late_is_a_dead_letter() -> None:
    async with Sim(seed=1) as sim:
        Machine.sim = sim
        bomb = sim.actor(Bomb, "a")
        await bomb.tell(Bomb.go_off, 4.5)
        letters = 0
        while not letters:
            await sim.advance(5)
            letters = len([letter async for letter in sim.engine.dead_letters()])
        assert sim.crashes <= 12

        await bomb.ask(Bomb.say, "calm")
        await sim.get(bomb.id).terminate("the test is over")
        events = [event async for event in bomb.stream(words)]
        # Nothing is left of the message that was given up.
        assert [event.value for event in events if event.kind == "data"] == ["calm"]
