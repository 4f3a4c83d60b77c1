"""Handles of runs: results that are awaited, and arguments that are refused."""

from __future__ import annotations

from typing import cast

import pytest

from outlast import Engine
from outlast.errors import (
    RunFailed,
    RunNotFound,
    UsageError,
    WaitTimeout,
)
from tests.unit.engine import flows


@pytest.mark.parametrize("reason", [5, b"x", None, "\udcff", "x" * 20_000])
async def test_a_reason_that_is_no_text_is_refused(engine: Engine, reason: object) -> None:
    run = await engine.start(flows.naps(30))

    with pytest.raises(UsageError, match="the reason"):
        await run.cancel(cast("str", reason))
    with pytest.raises(UsageError, match="the reason"):
        await run.terminate(cast("str", reason))

    await run.cancel("enough")


async def test_a_name_that_is_none_is_refused(engine: Engine) -> None:
    run = await engine.start(flows.naps(30))

    with pytest.raises(UsageError, match="value's name"):
        await run.read(cast("str", 5))
    with pytest.raises(UsageError, match="stream's name"):
        async for _ in run.stream(cast("str", 5)):
            pass
    with pytest.raises(UsageError, match="parked"):
        await run.result(parked=cast("None", "x"))  # type: ignore[arg-type]  # the point
    with pytest.raises(UsageError, match="attribute"):
        await engine.start(flows.naps(0), attributes=cast("dict[str, str]", {1: 2}))
    await run.terminate()


async def test_a_failed_run_tells_the_original_error(engine: Engine) -> None:
    run = await engine.start(flows.fails("no luck"))

    with pytest.raises(RunFailed, match="ValueError: no luck") as raised:
        await run.result()

    assert raised.value.type_name == "ValueError"
    assert "flows.py" in raised.value.traceback
    assert (await run.info()).status == "failed"


async def test_waiting_too_long_leaves_the_run_alone(engine: Engine) -> None:
    run = await engine.start(flows.naps(0.3))

    with pytest.raises(WaitTimeout):
        await run.result(timeout="20ms")

    assert await run.result() == "awake"


async def test_an_unknown_run_fails_at_the_first_await(engine: Engine) -> None:
    run = engine.get("nobody")

    with pytest.raises(RunNotFound):
        await run.result()
    with pytest.raises(RunNotFound):
        await run.info()
    with pytest.raises(RunNotFound):
        await run.signal("x", 1)
    with pytest.raises(RunNotFound):
        await run.cancel()


async def test_a_typed_handle_decodes_the_result(engine: Engine) -> None:
    await engine.run(flows.sums(4), id="typed")

    assert await engine.get("typed", flows.sums).result() == 12
    assert await engine.get("typed").result() == 12


async def test_lengths_that_make_no_sense_are_refused(engine: Engine) -> None:
    with pytest.raises(UsageError):
        await engine.start(flows.naps(1), delay=-1)
    with pytest.raises(UsageError):
        await engine.start(flows.naps(1), timeout="soon")
    with pytest.raises(UsageError):
        await engine.get("x").cancel(grace=-5)
