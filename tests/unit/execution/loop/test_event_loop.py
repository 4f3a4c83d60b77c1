"""The event loop of a run: code that never comes to rest is stopped."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, workflow
from outlast.errors import (
    RunParked,
)
from tests.unit.engine import flows


async def test_a_spinning_workflow_is_parked_and_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @workflow
    async def spins() -> None:
        while True:  # noqa: ASYNC110  # what the test is about
            await asyncio.sleep(0)

    monkeypatch.setattr("outlast.limits.DRAIN_HANDLES_MAX", 5_000)
    async with Engine.open("memory://spin") as engine:
        run = await engine.start(spins())
        assert await engine.run(flows.sums(3)) == 6
        with pytest.raises(RunParked, match="spins"):
            await run.result(timeout="30s")
        assert "spins" in await run.why()
