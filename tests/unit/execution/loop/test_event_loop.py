"""The event loop of a run: code that never comes to rest is stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from outlast import Engine, Signal, workflow
from outlast.errors import RunParked
from tests.unit.engine import flows

seen: list[str] = []


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


# --------------------------------------------------------------------------------- anyio
more = Signal("event_loop.more", str)


@workflow
async def swallows_in_a_scope() -> list[str]:
    """Wait on in a cancelled scope of anyio, which cancels each wait again."""
    heard: list[str] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        while len(heard) < 2:
            try:
                heard.append(await more.receive())
            except asyncio.CancelledError:
                seen.append("cancelled")
    return heard


async def test_a_scope_that_cancels_again_and_again_lets_the_run_rest(tmp_path: Path) -> None:
    seen.clear()
    path = str(tmp_path / "outlast.db")
    async with Engine.open(path) as engine:
        run = await engine.start(swallows_in_a_scope(), id="s")
        await flows.until_waiting(run)
        await run.signal(more, "one")
        assert 0 < len(seen) < 1_000
    async with Engine.open(path) as engine:
        again = engine.get("s")
        await again.signal(more.name, "two")
        async with asyncio.timeout(20):
            assert await again.result() == ["one", "two"]
