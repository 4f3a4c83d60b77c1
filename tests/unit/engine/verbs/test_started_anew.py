"""A run that is started anew at once has nothing of its earlier life."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from outlast import Engine, Signal, step, workflow
from outlast.errors import RunClosed
from outlast.types import OnConflict

word = Signal("anew.word", str)


@step
async def anew_step(n: int) -> int:
    return n


@workflow
async def anew_naps() -> str:
    await anew_step(1)
    await asyncio.sleep(0.05)
    return "woke"


@workflow
async def anew_waits() -> str:
    return await word.receive()


async def test_the_late_outcome_of_a_terminated_life_is_not_the_next_one_s(engine: Engine) -> None:
    for number in range(20):
        run = await engine.start(anew_naps(), id=f"r{number}")
        await run.terminate()
        again = await engine.start(anew_naps(), id=f"r{number}")
        with suppress(RunClosed):  # on a slow machine it has ended by now
            await again.pause()
            await again.resume()
        assert await again.result("30s", parked="wait") == "woke"
        seqs = [record.seq async for record in again.journal()]
        assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("how", ["terminate", "replace"])
async def test_a_start_that_another_one_overtook_ends_that_one_too(
    engine: Engine, how: OnConflict
) -> None:
    for turns in range(12):
        run = f"r{turns}"
        await engine.start(anew_waits(), id=run)
        first = asyncio.create_task(engine.start(anew_waits(), id=run, on_conflict=how))
        for _ in range(turns):
            await asyncio.sleep(0)
        second = asyncio.create_task(engine.start(anew_waits(), id=run))
        async with asyncio.timeout(30):
            await asyncio.gather(first, second)
        assert first.result().created


async def test_a_verb_that_is_cancelled_as_its_turn_comes_is_cancelled(engine: Engine) -> None:
    exclusion = engine._core.scheduler.run_locks
    run = (await engine.start(anew_waits(), id="r"))._id

    async def alone() -> None:
        async with exclusion.alone_with(run):
            pass

    async with exclusion.alone_with(run):
        waiting = asyncio.create_task(alone())
        await asyncio.sleep(0)
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(10), exclusion.alone_with(run):
        pass
