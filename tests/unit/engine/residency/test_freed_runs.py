"""Runs that have ended or left memory are freed at once, without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from outlast import Engine
from outlast._execution.runs.run import LiveRun
from tests.unit.engine import flows


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def runs_in_memory() -> int:
    """Count the runs that something still holds."""
    return sum(1 for thing in gc.get_objects() if isinstance(thing, LiveRun))


async def test_ended_runs_are_freed_at_once() -> None:
    async with Engine.open("memory://freed-ended") as engine:
        before = runs_in_memory()
        for _ in range(20):
            await engine.run(flows.sums(5))
            assert await engine.run(flows.naps(0.001)) == "awake"

        assert runs_in_memory() - before <= 1


async def test_passivated_runs_are_freed_at_once() -> None:
    async with Engine.open("memory://freed-passivated", live_runs_max=5) as engine:
        before = runs_in_memory()
        for _ in range(50):
            await engine.start(flows.collects(1))
            await engine.start(flows.naps(1_000))
        async with asyncio.timeout(30):
            while len(engine._core.scheduler.residents) > 5:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)

        assert runs_in_memory() - before <= 6
