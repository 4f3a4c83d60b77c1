"""A start that becomes durable while somebody is alone with its run."""

from __future__ import annotations

import pytest

from outlast import Engine, RunTerminated, step, workflow
from outlast.types import RunId

RUN = RunId("r")


@step(name="scheduler.once")
async def once() -> str:
    return "done"


@workflow(name="scheduler.flow")
async def flow() -> str:
    return await once()


async def test_it_comes_into_memory_only_behind_whoever_is_alone_with_it(engine: Engine) -> None:
    scheduler = engine._core.scheduler
    async with scheduler.run_locks.alone_with(RUN):
        run = await engine.start(flow(), id=RUN)
        assert RUN not in scheduler.residents

    assert await run.result() == "done"


async def test_one_that_is_closed_meanwhile_never_runs(engine: Engine) -> None:
    core = engine._core
    async with core.scheduler.run_locks.alone_with(RUN):
        work = core.inactive_runs.close(RUN, "terminated", "not wanted")
        closing = core.world.spawn(work, name="close")
        await core.world.pass_turn()  # it waits for its turn, before the start is stored
        run = await engine.start(flow(), id=RUN)

    assert await closing
    with pytest.raises(RunTerminated):
        await run.result()
    assert [record.kind for record in await core.store.read_journal(RUN)] == [
        "run_started",
        "run_closed",
    ]
