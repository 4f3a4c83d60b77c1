"""Async generators that a workflow leaves open: their cleanup runs to its end, on replay alike."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from outlast import Engine, Run, Signal, step, workflow
from outlast.testing import Sim, crash_everywhere, replay

go = Signal("generators.go", str)
seen: list[str] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    seen.clear()


@step(name="generators.note")
async def note(what: str) -> str:
    seen.append(what)
    return what


async def numbers(kind: str, name: str = "") -> AsyncIterator[int]:
    try:
        for n in range(10):
            yield n
    finally:
        if kind == "step":
            await note(f"cleanup{name}")
        elif kind == "sleep":
            await asyncio.sleep(60)
        elif kind == "signal":
            await go.receive()
        seen.append(f"closed{name}")


@workflow(name="generators.breaks")
async def breaks(kind: str, goes_on: bool) -> str:
    async for n in numbers(kind):
        if n == 2:
            break
    if goes_on:
        for _ in range(5):  # the cleanup's step is in flight beside the first of them
            await note("between")
    return "done"


@workflow(name="generators.two")
async def two() -> list[str]:
    first, second = numbers("step", " 1"), numbers("step", " 2")
    await anext(first)
    await anext(second)
    del second
    del first
    return [await note("between"), await note("between")]


@workflow(name="generators.cycle")
async def in_a_cycle() -> str:
    generator = numbers("step")
    held: list[object] = [generator]
    await anext(generator)
    held.append(held)
    del held, generator
    await note("before")
    gc.collect()
    return await note("after")


@workflow(name="generators.waits")
async def waits() -> str:
    async for n in numbers("signal"):
        if n == 2:
            break
    return "done"


@workflow(name="generators.in_task")
async def left_in_a_task() -> str:
    async def reads() -> None:
        async for _ in numbers("plain"):
            await asyncio.Event().wait()

    task = asyncio.create_task(reads())
    await note("begun")
    return f"{task.done()}"


async def ended(run: Run[str]) -> str:
    return await run.result("30s")


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("kind", ["plain", "step"])
async def test_the_cleanup_of_a_generator_left_by_break_runs_to_its_end(
    engine: Engine, kind: str, goes_on: bool
) -> None:
    run = await engine.start(breaks(kind, goes_on))

    assert await ended(run) == "done"

    assert "closed" in seen
    if goes_on:
        assert seen.index("closed") < len(seen) - 1  # while the body went on
    await replay(breaks, [record async for record in run.journal()])


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_cleanup_that_sleeps_is_waited_for(goes_on: bool) -> None:
    async with Sim(seed=1) as sim:
        run = await sim.start(breaks("sleep", goes_on))
        assert await sim.result(run) == "done"
        await replay(breaks, await sim.journal(run))

    assert "closed" in seen


@pytest.mark.parametrize("kind", ["plain", "step", "sleep"])
async def test_a_cleanup_survives_a_crash_at_every_record(kind: str) -> None:
    assert await crash_everywhere(breaks(kind, goes_on=True)) == []
    assert await crash_everywhere(breaks(kind, goes_on=False)) == []


async def test_generators_dropped_together_are_closed_in_order_of_their_start(
    engine: Engine,
) -> None:
    run = await engine.start(two())
    await run.result("30s")

    cleanups = [what for what in seen if what.startswith("cleanup")]
    assert cleanups == ["cleanup 1", "cleanup 2"]
    await replay(two, [record async for record in run.journal()])


async def test_a_collection_in_another_thread_does_not_move_a_cleanup(engine: Engine) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def holds(phase: str, _: Mapping[str, int]) -> None:
        if phase == "start" and threading.current_thread() is collecting:
            has_begun.set()
            may_end.wait(60)  # the other threads go on, as whenever it calls Python code

    collecting = threading.Thread(target=gc.collect)
    gc.callbacks.append(holds)
    try:
        collecting.start()
        await asyncio.to_thread(has_begun.wait)
        run = await engine.start(breaks("step", goes_on=True))
        await ended(run)
    finally:
        may_end.set()
        collecting.join()
        gc.callbacks.remove(holds)

    assert seen[-1] == "between", "the cleanup came while the body went on"
    await replay(breaks, [record async for record in run.journal()])


async def test_a_generator_that_only_the_collector_finds_is_closed_at_the_end(
    engine: Engine,
) -> None:
    run = await engine.start(in_a_cycle())
    await ended(run)

    assert seen == ["before", "after", "cleanup", "closed"]
    await replay(in_a_cycle, [record async for record in run.journal()])
    assert await crash_everywhere(in_a_cycle()) == []


async def test_a_request_to_cancel_reaches_a_cleanup(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(waits())
        async with asyncio.timeout(30):
            while "generators.go" not in await run.why():  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.005)
        await run.cancel("enough")
        assert await ended(run) == "done"  # the body had returned before

    assert seen == []


async def test_a_cleanup_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(waits(), id="w")
        async with asyncio.timeout(30):
            while "generators.go" not in await run.why():  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.005)
    seen.clear()
    async with Engine.open(tmp_path / "o.db") as engine:
        again = engine.get("w", waits)
        await again.signal(go, "x")
        assert await ended(again) == "done"

    assert seen == ["closed"]


async def test_a_generator_that_a_left_task_executes_ends_with_it(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    run = await engine.start(left_in_a_task())

    assert await ended(run) == "False"
    assert "closed" in seen
    assert "already running" not in caplog.text


@workflow
async def steps_of_a_generator() -> list[int]:
    """Take values of a generator in tasks of their own."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    made = numbers()
    return [await asyncio.ensure_future(made.__anext__()) for _ in range(3)]


async def test_a_task_may_take_the_next_value_of_a_generator(engine: Engine) -> None:
    assert await engine.run(steps_of_a_generator()) == [0, 1, 2]
