"""A run that asks for its own result."""

from __future__ import annotations

import asyncio

import pytest

from outlast import CallCycle, Engine, Run, Signal, Update, step, wf, workflow
from outlast.errors import RunFailed, UpdateFailed

look = Update("own_result_look", str, str)
over = Signal("own_result_over", str)


@workflow(name="own_result.waits")
async def waits(in_task: bool, timeout: str | None = None) -> object:
    """Wait for its own end."""
    handle = wf.get(wf.run_id)
    if in_task:
        return await asyncio.create_task(handle.result(timeout))
    return await handle.result(timeout)


@step(name="own_result.step")
async def waits_in_step(run: Run[object]) -> object:
    """Wait for the end of the run that the step is of."""
    return await run.result()


@workflow(name="own_result.waits_in_step")
async def has_waiting_step() -> object:
    """Have a step that waits for the run's end."""
    return await waits_in_step(wf.get(wf.run_id))


@workflow(name="own_result.listens")
async def listens() -> str:
    """Have a handler that waits for the run's end."""

    @look.handler
    async def on_look(_: str) -> str:
        return f"{await wf.get(wf.run_id).result()}"

    return await over.receive()


@pytest.mark.parametrize("in_task", [False, True])
@pytest.mark.parametrize("timeout", [None, "1h"])
async def test_a_run_that_asks_for_its_own_result_is_refused(
    engine: Engine, *, in_task: bool, timeout: str | None
) -> None:
    run = await engine.start(waits(in_task, timeout), id="r")

    with pytest.raises(RunFailed, match=f"{CallCycle.__name__}: r -> r: this ask would deadlock"):
        await run.result("30s")


async def test_a_handler_that_asks_for_its_own_runs_result_is_refused(engine: Engine) -> None:
    run = await engine.start(listens())

    with pytest.raises(UpdateFailed, match=CallCycle.__name__):
        await run.update(look, "x", timeout="5s")

    await run.signal(over, "done")
    assert await run.result("30s") == "done"


async def test_a_step_that_asks_for_its_own_runs_result_is_refused(engine: Engine) -> None:
    run = await engine.start(has_waiting_step())

    with pytest.raises(RunFailed, match=CallCycle.__name__):
        await run.result("30s")
