"""Starting runs, and what comes back from them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from outlast import Engine, step, wf, workflow
from outlast._registry import default_registry
from outlast.errors import (
    CallReused,
    EncodingError,
    IdempotencyMismatch,
    NotInRun,
    NotSupported,
    RunExists,
    RunFailed,
    RunNotFound,
    RunParked,
    RunTimedOut,
    StepFailed,
    StepTimeout,
    UsageError,
    WaitTimeout,
)
from outlast.types import RunId
from tests.unit.engine import flows


async def test_a_run_returns_what_its_code_returns(engine: Engine) -> None:
    assert await engine.run(flows.sums(10)) == 90


async def test_an_expected_error_of_a_step_is_a_value(engine: Engine) -> None:
    assert await engine.run(flows.catches(7)) == "Declined 7"


async def test_a_failed_run_tells_the_original_error(engine: Engine) -> None:
    run = await engine.start(flows.fails("no luck"))

    with pytest.raises(RunFailed, match="ValueError: no luck") as raised:
        await run.result()

    assert raised.value.type_name == "ValueError"
    assert "flows.py" in raised.value.traceback
    assert (await run.info()).status == "failed"


async def test_an_undeclared_error_of_a_step_comes_as_step_failed(engine: Engine) -> None:
    @workflow
    async def sees() -> str:
        try:
            return await flows.decline_undeclared(3)
        except StepFailed as error:
            return f"{error.type_name}|{error.message}"

    assert await engine.run(sees()) == "Declined|declined with code 3"


async def test_a_step_is_tried_again_until_it_succeeds(engine: Engine) -> None:
    @workflow
    async def tries() -> int:
        return await flows.third_time("retry")

    assert await engine.run(tries()) == 3
    assert flows.calls.count("retry") >= 3


async def test_a_step_that_takes_too_long_fails(engine: Engine) -> None:
    @workflow
    async def waits() -> str:
        try:
            await flows.too_slow()
        except StepTimeout as error:
            return error.kind
        return "in time"

    assert await engine.run(waits()) == "run"


async def test_plain_functions_run_on_a_thread(engine: Engine) -> None:
    @workflow
    async def both() -> int:
        return sum(await asyncio.gather(*(flows.blocking_add(k, 1) for k in range(5))))

    assert await engine.run(both()) == 15


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


async def test_waiting_too_long_leaves_the_run_alone(engine: Engine) -> None:
    run = await engine.start(flows.naps(0.3))

    with pytest.raises(WaitTimeout):
        await run.result(timeout="20ms")

    assert await run.result() == "awake"


async def test_a_run_has_a_timeout_of_its_own(engine: Engine) -> None:
    run = await engine.start(flows.naps(100), timeout="50ms")

    with pytest.raises(RunTimedOut):
        await run.result(timeout="30s")

    assert (await run.info()).status == "timed_out"


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


async def test_a_step_that_spent_its_attempts_may_park_the_run(engine: Engine) -> None:
    @workflow
    async def careful() -> str:
        return await flows.parks("park")

    flows.calls.clear()
    run = await engine.start(careful())

    with pytest.raises(RunParked, match="spent its 2 attempts"):
        await run.result(timeout="30s")
    assert (await run.info()).status == "parked"
    assert "spent its 2 attempts" in await run.why()
    await run.resume()
    assert await run.result(timeout="30s", parked="wait") == "mended"


async def test_a_call_is_used_once(engine: Engine) -> None:
    call = flows.sums(1)
    await engine.run(call)

    with pytest.raises(CallReused):
        await engine.run(call)


async def test_a_workflow_awaited_outside_a_run_says_what_to_do() -> None:
    with pytest.raises(NotInRun, match=r"engine\.run"):
        await flows.sums(1)


async def test_a_step_awaited_outside_a_run_is_its_function() -> None:
    assert await flows.add(1, 2) == 3
    assert await flows.blocking_add(1, 2) == 3


async def test_wrong_arguments_fail_where_they_are_written() -> None:
    with pytest.raises(TypeError):
        flows.sums()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # the point


async def test_a_value_that_cannot_be_stored_is_refused_before_anything_is(engine: Engine) -> None:
    with pytest.raises(EncodingError, match="seconds"):
        await engine.start(flows.naps(float("nan")), id="nan")
    with pytest.raises(RunNotFound):
        await engine.get("nan").info()


async def test_features_of_later_versions_say_so(engine: Engine) -> None:
    with pytest.raises(NotSupported):
        await engine.start(flows.sums(1), queue="mail")
    with pytest.raises(NotSupported):
        await engine.start(flows.sums(1), budget=3)
    with pytest.raises(NotSupported):
        await engine.get("x").fork(1, version="2")


async def test_only_calls_of_workflows_can_be_started(engine: Engine) -> None:
    with pytest.raises(UsageError):
        await engine.start(flows.add(1, 2))


async def test_logical_time_and_chance_are_the_runs_own(engine: Engine) -> None:
    @workflow
    async def chance() -> list[str]:
        return [str(wf.uuid()), str(wf.random().random()), wf.now().isoformat(), wf.run_id]

    first = await engine.run(chance(), id="c1")
    second = await engine.run(chance(), id="c2")

    assert first[3] == "c1"
    assert first[:2] != second[:2]


async def test_a_timed_out_run_is_asked_to_stop_once(engine: Engine) -> None:
    run = await engine.start(flows.naps(100), timeout="50ms")
    with pytest.raises(RunTimedOut):
        await run.result(timeout="30s")

    kinds = [record.kind async for record in run.journal()]

    assert kinds.count("cancel_requested") == 1


async def test_lengths_that_make_no_sense_are_refused(engine: Engine) -> None:
    with pytest.raises(UsageError):
        await engine.start(flows.naps(1), delay=-1)
    with pytest.raises(UsageError):
        await engine.start(flows.naps(1), timeout="soon")
    with pytest.raises(UsageError):
        await engine.get("x").cancel(grace=-5)


cut_short: list[str] = []


@step
async def is_cut_short(mark: str) -> str:
    """Take long the first time."""
    cut_short.append(mark)
    if cut_short.count(mark) == 1:
        await asyncio.sleep(30)
    return mark


@workflow
async def takes_long(mark: str) -> str:
    """One step."""
    return await is_cut_short(mark)


async def test_a_step_that_a_shutdown_has_ended_is_done_by_the_next_engine(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        await engine.start(takes_long("long"), id="r")
        async with asyncio.timeout(30):
            while not cut_short:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.005)
        await engine.drain(grace="10ms")

    async with Engine.open(path) as engine:
        assert await engine.get("r", takes_long).result("30s") == "long"


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


begun: list[int] = []


@step
async def running_noted(n: int) -> int:
    begun.append(n)
    return n


async def test_the_steps_of_a_new_run_begin_in_the_order_in_which_they_were_asked_for(
    engine: Engine,
) -> None:
    @workflow
    async def wide() -> list[int]:
        return await asyncio.gather(*(running_noted(n) for n in range(30)))

    for _ in range(5):
        begun.clear()
        assert await engine.run(wide()) == begun == list(range(30))


async def test_an_engine_that_is_left_twice_is_closed_once() -> None:
    before = default_registry.engines
    engine = Engine.open("memory://left-twice")
    async with engine:
        assert default_registry.engines == before + 1
        await engine.__aexit__(None, None, None)
    assert default_registry.engines == before
