"""Cancelling and terminating runs: cleanup, code that swallows it, steps in flight."""

from __future__ import annotations

import pytest

from outlast import Engine, workflow
from outlast.errors import (
    RunCancelled,
    RunTerminated,
)
from tests.unit.engine import flows


async def test_cancelling_ends_a_run_with_its_cleanup(engine: Engine) -> None:
    flows.calls.clear()
    run = await engine.start(flows.cleans_up())
    await flows.until_waiting(run)
    await run.cancel("enough")

    with pytest.raises(RunCancelled, match="enough"):
        await run.result(timeout="30s")
    assert flows.calls.count("cleanup") == 3


async def test_a_swallowed_cancellation_comes_again(engine: Engine) -> None:
    run = await engine.start(flows.swallows())
    await flows.until_waiting(run)
    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result(timeout="30s")


async def test_code_that_catches_a_cancellation_may_complete(engine: Engine) -> None:
    run = await engine.start(flows.returns_anyway())
    await flows.until_waiting(run)
    await run.cancel()

    assert await run.result(timeout="30s") == "caught"


async def test_cancelling_stops_a_step_in_flight(engine: Engine) -> None:
    @workflow
    async def busy() -> None:
        await flows.too_slow.options(timeout="1m")()

    run = await engine.start(busy())
    await flows.until_waiting(run)
    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result(timeout="30s")


async def test_a_terminated_run_runs_no_more_code(engine: Engine) -> None:
    flows.calls.clear()
    run = await engine.start(flows.cleans_up())
    await flows.until_waiting(run)
    await run.terminate("now")

    with pytest.raises(RunTerminated, match="now"):
        await run.result(timeout="30s")
    assert flows.calls == []


async def test_cancelling_twice_or_after_the_end_is_harmless(engine: Engine) -> None:
    run = await engine.start(flows.sums(1))
    await run.result()
    await run.cancel()
    await run.cancel()
    await run.terminate()

    assert (await run.info()).status == "completed"


async def test_a_delayed_run_that_is_cancelled_runs_no_code(engine: Engine) -> None:
    run = await engine.start(flows.fails("ran"), delay="1h")
    await run.cancel("changed my mind")

    with pytest.raises(RunCancelled, match="changed my mind"):
        await run.result(timeout="30s")
