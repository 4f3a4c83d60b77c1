"""Runs that take long to begin leave the loop to others before the next one."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, limits, workflow

turn = 0
begun: list[int] = []


@workflow
async def notes_its_turn(value: str) -> int:
    begun.append(turn)
    return len(value)


async def count_turns() -> None:
    global turn
    while True:
        turn += 1
        await asyncio.sleep(0)


@pytest.mark.parametrize("size", [limits.RUN_LIGHT_BYTES + 1, 1])
async def test_runs_with_large_inputs_begin_in_turns_of_their_own(
    engine: Engine, size: int
) -> None:
    begun.clear()
    counting = asyncio.create_task(count_turns())
    texts = [f"{n}" * size for n in range(8)]

    runs = await asyncio.gather(*[engine.start(notes_its_turn(text)) for text in texts])
    results = [await run.result() for run in runs]

    counting.cancel()
    assert results == [size] * 8
    assert (len(set(begun)) == 8) == (size > 1)
