"""Steps that go on after their run has stopped waiting for them: what they did is kept."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from outlast import Engine, Record, Run, Signal, Timeout, step, wf, workflow
from outlast._execution.bodies.body import Body
from outlast.errors import StepTimeout

gates: dict[str, threading.Event] = {}
begun: dict[str, threading.Event] = {}
effects: list[str] = []
late_leave = Signal("late_leave", str)


@pytest.fixture(autouse=True)
def _clean() -> None:
    gates.clear()
    begun.clear()
    effects.clear()


def gate(name: str) -> threading.Event:
    """A gate that bodies wait at."""
    return gates.setdefault(name, threading.Event())


def has_begun(sku: str) -> threading.Event:
    """Set by the body on its thread: one that is cancelled before that never runs."""
    return begun.setdefault(sku, threading.Event())


@step
def late_reserve(sku: str) -> str:
    has_begun(sku).set()
    gate(sku).wait(60)
    effects.append(sku)
    if sku == "broken":
        raise OSError("after its effect")
    return f"reserved {sku}"


@step
def late_fail(others: list[str]) -> None:
    for sku in others:
        has_begun(sku).wait(60)
    raise LookupError("gone")


@step
async def late_stubborn(sku: str) -> str:
    has_begun(sku).set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        effects.append(sku)  # it finishes all the same
    return f"reserved {sku}"


@step
async def late_obedient(sku: str) -> str:
    has_begun(sku).set()
    await asyncio.sleep(60)
    return f"reserved {sku}"


@step(timeout=Timeout(run=timedelta(milliseconds=50)))
def late_slow(sku: str) -> str:
    gate(sku).wait(60)
    effects.append(sku)
    return f"reserved {sku}"


@workflow
async def late_group(skus: list[str]) -> str:
    try:
        async with asyncio.TaskGroup() as group:
            for sku in skus:
                group.create_task(late_reserve(sku))
            group.create_task(late_fail(skus))
    except* LookupError:
        pass
    return "closed"


@workflow
async def late_first() -> str:
    winner, _ = await wf.first(quick=late_when_begun(["apple"]), slow=late_reserve("apple"))
    await late_leave.receive()
    return winner


@step
def late_when_begun(others: list[str]) -> None:
    for sku in others:
        has_begun(sku).wait(60)


@workflow
async def late_on_loop(wait: float) -> str:
    both = asyncio.gather(late_stubborn("a"), late_obedient("b"))
    await late_when_begun(["a", "b"])
    both.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await both
    await asyncio.sleep(wait)
    return "done"


@workflow
async def late_timed_out(wait: float) -> str:
    try:
        return await late_slow("apple")
    except StepTimeout:
        await asyncio.sleep(wait)
        return "timed out"


async def late_records(run: Run[str], count: int) -> list[Record]:
    """Return the late outcomes of a run, as soon as there are so many."""
    async with asyncio.timeout(30):
        while True:
            found = [record async for record in run.journal() if record.kind == "step_late"]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


async def test_the_late_outcome_of_a_cancelled_sibling_is_kept_behind_the_end_of_its_run(
    engine: Engine,
) -> None:
    run = await engine.start(late_group(["apple", "broken"]), id="r")
    assert await run.result(timeout=30) == "closed"
    gate("apple").set()
    gate("broken").set()

    late = await late_records(run, 2)

    assert sorted(effects) == ["apple", "broken"]
    assert {record.value for record in late if record.error is None} == {"reserved apple"}
    assert [record.error for record in late if record.error] == ["OSError: after its effect"]
    assert "stopped waiting for it" in await run.why()
    assert (await run.info()).status == "completed"
    assert await run.result() == "closed"


async def test_a_late_outcome_comes_while_the_run_goes_on_and_is_seen_by_no_code(
    tmp_path: Path,
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(late_first(), id="r")
        async with asyncio.timeout(30):
            while "late_leave" not in await run.why():  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
        gate("apple").set()
        late = await late_records(run, 1)
        assert late[0].value == "reserved apple"
        kinds = [record.kind async for record in run.journal()]
        assert kinds.index("step_late") < len(kinds)

    async with Engine.open(tmp_path / "o.db") as engine:  # and replays
        again = engine.get("r", late_first)
        await again.signal(late_leave, "go")
        assert await again.result(timeout=30) == "quick"


async def test_a_step_on_the_loop_that_finishes_against_its_cancellation_is_kept(
    engine: Engine,
) -> None:
    run = await engine.start(late_on_loop(0.3), id="r")

    late = await late_records(run, 1)

    assert [(r.name.rpartition(".")[2], r.value) for r in late] == [
        ("late_stubborn", "reserved a")
    ], "one that obeys leaves nothing"
    assert await run.result(timeout=30) == "done"


async def test_a_thread_that_returns_after_its_timeout_is_kept(engine: Engine) -> None:
    run = await engine.start(late_timed_out(0.3), id="r")
    assert await run.result(timeout=30) == "timed out"
    gate("apple").set()

    late = await late_records(run, 1)

    assert late[0].value == "reserved apple"


async def test_a_thread_that_returns_while_its_timeout_is_handled_is_kept(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = engine._core.scheduler.bodies
    time_out = bodies.limits._time_out

    def and_then_the_thread_returns(body: Body, kind: str, seconds: float) -> None:
        time_out(body, kind, seconds)
        gate("apple").set()
        while body.returned is None:
            time.sleep(0.001)

    monkeypatch.setattr(bodies.limits, "_time_out", and_then_the_thread_returns)
    run = await engine.start(late_timed_out(0.3), id="r")
    assert await run.result(timeout=30) == "timed out"

    late = await late_records(run, 1)

    assert [record.value for record in late] == ["reserved apple"]


async def test_a_run_with_a_late_outcome_behind_its_end_can_be_forked(
    engine: Engine,
) -> None:
    run = await engine.start(late_group(["apple"]), id="r")
    await run.result(timeout=30)
    gate("apple").set()
    await late_records(run, 1)

    forked = await run.fork(2)

    assert await forked.result(timeout=30) == "closed"
    copied = [record.kind async for record in forked.journal()][:1]
    assert copied == ["run_started"]


async def test_a_late_outcome_is_not_kept_in_another_life_of_its_run(engine: Engine) -> None:
    run = await engine.start(late_group(["apple"]), id="r")
    await run.result(timeout=30)
    again = await engine.start(late_group(["pear"]), id="r", reuse="always")
    await again.result(timeout=30)
    gate("pear").set()
    await late_records(again, 1)
    gate("apple").set()
    async with asyncio.timeout(30):
        while "apple" not in effects:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
    await engine.run(late_group([]))  # what the thread has told is handled by now

    assert [r.value for r in await late_records(again, 1)] == ["reserved pear"]
