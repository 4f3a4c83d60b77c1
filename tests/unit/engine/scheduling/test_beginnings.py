"""Runs that take long to begin, or to go on, leave the loop to others before the next one."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, step, workflow
from outlast._execution.bodies import starts
from outlast._journal import slices

turn = 0
begun: list[int] = []
worked: list[int] = []
ended: list[int] = []


@step
async def notes_its_turn() -> None:
    worked.append(turn)


@workflow
async def notes_its_turns() -> None:
    begun.append(turn)
    await notes_its_turn()
    ended.append(turn)


async def count_turns() -> None:
    global turn
    while True:
        turn += 1
        await asyncio.sleep(0)


@pytest.mark.parametrize(("seconds", "turns"), [(0.0, 8), (60.0, 1)])
async def test_runs_go_on_in_slices(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, seconds: float, turns: int
) -> None:
    for noted in (begun, worked, ended):
        noted.clear()
    monkeypatch.setattr(slices, "SLICE_SECONDS", seconds)
    monkeypatch.setattr(starts, "_STARTS_FIRST", 1)
    counting = asyncio.create_task(count_turns())

    runs = await asyncio.gather(*[engine.start(notes_its_turns()) for _ in range(8)])
    for run in runs:
        await run.result()

    counting.cancel()
    assert len(begun) == len(worked) == len(ended) == 8
    assert len(set(begun)) == turns
    assert len(set(ended)) >= turns
    assert len(set(worked)) >= turns
