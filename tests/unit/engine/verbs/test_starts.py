"""Starting runs: under ids that are free, in use, or have been; now or later."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, workflow
from outlast.errors import (
    EncodingError,
    IdempotencyMismatch,
    RunExists,
    RunFailed,
    RunNotFound,
    RunParked,
    UsageError,
)
from tests.unit.engine import flows


async def test_a_run_returns_what_its_code_returns(engine: Engine) -> None:
    assert await engine.run(flows.sums(10)) == 90


async def test_starting_again_under_an_id_attaches(engine: Engine) -> None:
    first = await engine.start(flows.naps(0.05), id="nap")
    second = await engine.start(flows.naps(0.05), id="nap")

    assert (first.created, second.created) == (True, False)
    assert await second.result() == "awake"
    third = await engine.start(flows.naps(0.05), id="nap")
    assert (third.created, await third.result()) == (False, "awake")


async def test_the_same_id_with_other_arguments_is_refused(engine: Engine) -> None:
    await engine.start(flows.naps(10), id="nap")

    with pytest.raises(IdempotencyMismatch, match="seconds"):
        await engine.start(flows.naps(11), id="nap")
    with pytest.raises(IdempotencyMismatch, match="workflow"):
        await engine.start(flows.decides(), id="nap")


async def test_on_conflict_fail_refuses_an_open_run(engine: Engine) -> None:
    await engine.start(flows.naps(10), id="nap")

    with pytest.raises(RunExists):
        await engine.start(flows.naps(10), id="nap", on_conflict="fail")


@pytest.mark.parametrize("how", ["terminate", "replace"])
async def test_an_open_run_can_make_way_for_a_new_one(engine: Engine, how: str) -> None:
    await engine.start(flows.naps(100), id="nap")

    again = await engine.start(
        flows.naps(0.01), id="nap", on_conflict="terminate" if how == "terminate" else "replace"
    )

    assert again.created
    assert await again.result() == "awake"


async def test_a_parked_run_does_not_make_way_for_it_cannot_clean_up(engine: Engine) -> None:
    @workflow(name="unit.stuck")
    async def stuck() -> str:
        return await flows.parks("stuck")

    flows.calls.clear()
    run = await engine.start(stuck(), id="p")
    with pytest.raises(RunParked):
        await run.result()
    with pytest.raises(RunExists, match="parked: it cannot clean up"):
        await engine.start(stuck(), id="p", on_conflict="replace")
    assert (await run.info()).status == "parked"

    again = await engine.start(stuck(), id="p", on_conflict="terminate")
    assert (again.created, await again.result()) == (True, "mended")


async def test_a_failed_run_gives_way_and_never_keeps_it(engine: Engine) -> None:
    first = await engine.start(flows.fails("x"), id="f")
    with pytest.raises(RunFailed):
        await first.result()

    kept = await engine.start(flows.fails("x"), id="f", reuse="never")
    anew = await engine.start(flows.fails("y"), id="f")

    assert (kept.created, anew.created) == (False, True)
    with pytest.raises(RunFailed, match="y"):
        await anew.result()


async def test_always_starts_anew_after_success(engine: Engine) -> None:
    assert await engine.run(flows.sums(2), id="s") == 2
    assert await engine.run(flows.sums(3), id="s", reuse="always") == 6


async def test_of_two_racing_starts_one_creates(engine: Engine) -> None:
    runs = await asyncio.gather(*(engine.start(flows.naps(0.2), id="race") for _ in range(20)))

    assert sum(run.created for run in runs) == 1


async def test_a_delayed_run_starts_later(engine: Engine) -> None:
    run = await engine.start(flows.sums(2), delay="1s")

    assert (await run.info()).status == "pending"
    assert await run.result(timeout="30s") == 2


async def test_a_value_that_cannot_be_stored_is_refused_before_anything_is(engine: Engine) -> None:
    with pytest.raises(EncodingError, match="seconds"):
        await engine.start(flows.naps(float("nan")), id="nan")
    with pytest.raises(RunNotFound):
        await engine.get("nan").info()


async def test_only_calls_of_workflows_can_be_started(engine: Engine) -> None:
    with pytest.raises(UsageError):
        await engine.start(flows.add(1, 2))
