"""What is told of runs: those that a query asks for, as they stand in memory."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from outlast import Engine
from outlast._store.rows import RunRow
from outlast.types import RunId
from tests.unit.engine import flows


async def test_runs_are_listed_by_what_they_are(engine: Engine) -> None:
    await engine.run(flows.sums(1), id="a", attributes={"customer": "42"})
    nap = await engine.start(flows.naps(100), id="b", attributes={"customer": "43"})
    await flows.until_waiting(nap)

    async def ids(query: str) -> list[str]:
        return [info.id async for info in engine.runs(query)]

    assert await ids("") == ["b", "a"]
    assert await ids("status:completed") == ["a"]
    assert await ids("status:waiting") == ["b"]
    assert await ids("customer:43 since:1h") == ["b"]
    assert await ids("workflow:sums") == ["a"]
    assert await ids("workflow:nothing") == []


async def test_a_run_that_has_ended_in_the_store_is_not_told_as_running(engine: Engine) -> None:
    # Its end is durable a moment before the loop hears of it, and a reader may come between.
    run = await engine.start(flows.naps(60.0))
    core = engine._core
    await core.writer.flushed()
    assert run.id in core.scheduler.residents
    row = await core.store.read_run(RunId(run.id))
    assert row is not None
    ended = msgspec.structs.replace(row, status="failed", closed_at=row.created_at)

    assert core.reader.refreshed(ended) == ended
    assert core.reader.refreshed(row).status == "waiting"


async def test_a_run_that_leaves_memory_while_its_row_is_read_is_read_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await engine.start(flows.naps(1_000), id="leaving")
    core = engine._core
    read_run = core.store.read_run
    row = await read_run(RunId(run.id))
    assert row is not None
    old = msgspec.structs.replace(row, status="running", waiting_for="")

    async def leaving(run_id: RunId) -> RunRow | None:
        if not core.scheduler.residents:
            return await read_run(run_id)
        async with asyncio.timeout(30):
            while core.scheduler.residents:  # it has no event
                core.residency.passivate_all()
                await asyncio.sleep(0.01)
        return old

    await flows.until_waiting(run)
    monkeypatch.setattr(core.store, "read_run", leaving)
    assert "engine" not in await run.why()


async def test_a_suspect_waits_for_its_turn(engine: Engine) -> None:
    run = await engine.start(flows.naps(60.0))
    core = engine._core
    await core.writer.flushed()
    row = await core.store.read_run(RunId(run.id))
    assert row is not None
    core.scheduler.held.add(row.id)
    live = core.scheduler.residents.pop(row.id)

    assert core.reader._why(row) == "waiting to be recovered"
    died = msgspec.structs.replace(row, crash_count=3)
    assert "its process died 3 times" in core.reader._why(died)
    core.scheduler.residents[row.id] = live
