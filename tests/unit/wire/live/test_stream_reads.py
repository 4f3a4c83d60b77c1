"""Reads of stored streams: each holds a place until it is taken, and a retried run's go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from outlast import Engine, limits, step, workflow
from outlast._wire.formats.conversions import Conversions
from outlast._wire.live.runstreams import RunStreams
from tests.unit.wire.live.test_runstreams import values_of, whole
from tests.unit.wire.served import Served, words


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


broken: set[str] = set()


@step
async def retried_say(text: str) -> str:
    await words.write(text)
    if text in broken:
        raise ValueError("broken")
    return text


@workflow
async def retried_saying() -> str:
    await retried_say("one")
    return await retried_say("two")


async def test_a_retried_runs_stream_goes_on_behind_what_was_read(server: Served) -> None:
    broken.add("two")
    await server.request("POST", "/v1/workflows/retried_saying/runs", {"id": "r"})
    await server.request("GET", "/v1/runs/r/result")
    path = "/v1/runs/r/streams/served_words"
    before = await whole(server, path)
    assert before[-1].data == {"status": "failed"}
    broken.clear()
    assert (await server.request("POST", "/v1/runs/r/retry", {})).status == 202
    result = await server.request("GET", "/v1/runs/r/result")
    assert result.json()["result"] == "two"

    for seen in (before[:-1], before):
        rest = await whole(server, path, seen[-1].id)
        assert values_of([*seen, *rest]) == ["one", "two"]
    info = (await server.request("GET", "/v1/runs/r")).json()
    assert info["started_at"] >= info["created_at"]
