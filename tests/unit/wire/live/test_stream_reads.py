"""Who reads stored streams holds a place until it has taken what was read; nobody has them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from outlast import Engine, limits
from outlast._wire.formats.conversions import Conversions
from outlast._wire.live.runstreams import RunStreams


@pytest.fixture
async def streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunStreams]:
    monkeypatch.setattr(limits, "SSE_READS_MAX", 4)
    async with Engine.open(tmp_path / "outlast.db") as engine:
        core = engine._core
        conversions = Conversions(core.world)
        yield RunStreams(core.world, core.reader, conversions)
        conversions.close()


async def test_one_holder_leaves_places_for_others(streams: RunStreams) -> None:
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(streams.reading("token a"))
        waiting = asyncio.create_task(held.enter_async_context(streams.reading("token a")))
        await held.enter_async_context(streams.reading("token b"))
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    async with streams.reading("token a"), streams.reading("token a"):
        pass


async def test_who_waits_and_goes_leaves_nothing_behind(streams: RunStreams) -> None:
    async with AsyncExitStack() as held:
        for holder in "abcd":
            await held.enter_async_context(streams.reading(holder))
        waiting = [asyncio.create_task(_hold(streams, "e")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    assert not streams._reads_by
    await _hold(streams, "e")


async def _hold(streams: RunStreams, holder: str) -> None:
    async with streams.reading(holder):
        pass
