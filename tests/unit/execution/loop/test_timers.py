"""Sleeps and bounds of a run: of any length, without end, and of no length that there is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Engine, workflow
from outlast.errors import (
    RunFailed,
)
from tests.unit.engine import flows

NEVER = ["1e12", "1e13", "1e18", "inf"]


@workflow
async def sleeps(seconds: str) -> str:
    """Sleep as stock asyncio does."""
    await asyncio.sleep(float(seconds))
    return "awake"


@workflow
async def waits_within(seconds: str) -> str:
    """Wait for something that comes, with a bound that never does."""
    async with asyncio.timeout(float(seconds)):
        await asyncio.wait_for(asyncio.sleep(0.01), float(seconds))
    return "awake"


@pytest.mark.parametrize("seconds", NEVER)
async def test_a_sleep_for_ever_is_a_wait_like_any_other(tmp_path: Path, seconds: str) -> None:
    for _ in range(2):
        async with Engine.open(tmp_path / "outlast.db") as engine:
            run = await engine.start(sleeps(seconds), id="long")
            neighbour = await engine.run(flows.sums(3))

            assert neighbour == 6
            async with asyncio.timeout(30):
                while "timer" not in await run.why():  # noqa: ASYNC110  # it has no event
                    await asyncio.sleep(0.01)
            assert [i.id async for i in engine.runs("status:waiting,running")] == ["long"]
    async with Engine.open(tmp_path / "outlast.db", read_only=True) as reader:
        assert (await reader.get("long").info()).wake_at is not None


async def test_a_bound_that_never_comes_is_no_bound(engine: Engine) -> None:
    assert await engine.run(waits_within("inf"), timeout="30s") == "awake"


async def test_not_a_number_fails_the_run_that_asks_for_it(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="NaN"):
        await engine.run(sleeps("nan"), timeout="30s")
    assert await engine.run(sleeps("0.01"), timeout="30s") == "awake"


async def test_a_scope_that_runs_out_raises_wait_timeout(engine: Engine) -> None:
    assert await engine.run(flows.bounded()) == "late"
