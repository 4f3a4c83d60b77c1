"""Counting runs, and doing something to all that a query wants."""

from __future__ import annotations

import asyncio

import pytest

from outlast import BulkOutcome, Engine, Run, Signal, limits, workflow
from outlast.errors import QueryError, RunCancelled, UsageError
from outlast.types import BulkAction

go = Signal("many_go", int)
broken: set[str] = set()


@workflow
async def waits_to_go(name: str) -> str:
    """Wait, then end as is told."""
    await go.receive()
    if name in broken:
        raise ValueError(name)
    return name


async def some(engine: Engine, count: int) -> list[Run[str]]:
    return [await engine.start(waits_to_go(f"{n}"), id=f"many-{n}") for n in range(count)]


async def done(engine: Engine, action: BulkAction, query: str) -> list[BulkOutcome]:
    return [outcome async for outcome in engine.bulk(action, query)]


async def until_counted(engine: Engine, query: str, count: int) -> None:
    async with asyncio.timeout(30):
        while await engine.count(query) != count:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def test_a_count_is_that_of_the_listing(engine: Engine) -> None:
    runs = await some(engine, 5)
    await runs[0].terminate()

    assert await engine.count() == 5
    assert await engine.count("status:open") == 4
    assert await engine.count("status:terminated id:many-0") == 1
    assert await engine.count("status:open workflow:nothing") == 0
    with pytest.raises(QueryError):
        await engine.count("status:nothing")


async def test_counting_stops_at_its_limit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await some(engine, 4)
    monkeypatch.setattr(limits, "COUNT_MAX", 3)

    assert await engine.count() == 3


async def test_all_that_a_query_wants_are_cancelled_and_no_other(engine: Engine) -> None:
    runs = await some(engine, limits.BULK_AT_ONCE + 3)
    other = await engine.start(waits_to_go("other"), id="other")

    outcomes = await done(engine, "cancel", "status:open id:many-")

    assert {outcome.id for outcome in outcomes} == {run.id for run in runs}
    assert all(outcome.error is None for outcome in outcomes)
    for run in runs:
        with pytest.raises(RunCancelled):
            await run.result("30s")
    await other.signal(go, 1)
    assert await other.result("30s") == "other"


async def test_runs_are_paused_and_resumed_together(engine: Engine) -> None:
    await some(engine, 3)

    assert len(await done(engine, "pause", "")) == 3
    await until_counted(engine, "status:paused", 3)
    assert await done(engine, "pause", "") == []
    assert len(await done(engine, "resume", "id:many-")) == 3
    await until_counted(engine, "status:paused", 0)


async def test_runs_that_failed_are_retried_and_completed_ones_passed_over(engine: Engine) -> None:
    broken.update(("0", "1"))
    runs = await some(engine, 3)
    for run in runs:
        await run.signal(go, 1)
    await until_counted(engine, "status:closed", 3)
    broken.clear()

    outcomes = await done(engine, "retry", "workflow:waits_to_go")

    assert sorted(outcome.id for outcome in outcomes) == ["many-0", "many-1"]
    assert [await run.result("30s") for run in runs] == ["0", "1", "2"]


async def test_one_that_refuses_does_not_keep_it_from_the_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some(engine, 3)
    cancel = Run[object].cancel

    async def refuse_one(self: Run[object], reason: str = "") -> None:
        if self.id == "many-1":
            raise UsageError("not this one")
        await cancel(self, reason)

    monkeypatch.setattr(Run, "cancel", refuse_one)

    outcomes = {outcome.id: outcome.error for outcome in await done(engine, "cancel", "")}

    assert outcomes == {"many-0": None, "many-1": "not this one", "many-2": None}


async def test_only_what_can_be_done_is_done(engine: Engine) -> None:
    with pytest.raises(UsageError, match="bulk does cancel"):
        await done(engine, "explode", "")  # type: ignore[arg-type]  # the mistake that is tested
