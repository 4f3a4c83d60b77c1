"""What a step has used is freed with it: nothing of it is left to the garbage collector.

A cycle a step is 9 objects a step, and with 20,000 steps a second a collection that stops the loop
for tens of milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from outlast import Engine, Retry, RunFailed, StepTimeout, Workflow, step, this_step, workflow

_TIMES = 20


@step
async def adds(number: int) -> int:
    return number + 1


@step
async def waits(number: int) -> int:
    await asyncio.sleep(0)
    return number


@step
def in_a_thread(number: int) -> int:
    return number


@step
async def looks_at_itself(number: int) -> int:
    return number + this_step().attempt


@step(retry=Retry(attempts=2, first="1ms"))
async def fails_once(number: int) -> int:
    if this_step().attempt == 1:
        raise ValueError("the first attempt fails")
    return number


@step
async def fails(number: int) -> int:
    raise ValueError(f"{number} is refused")


@step(timeout="1ms")
async def takes_too_long(number: int) -> int:
    await asyncio.sleep(60)
    return number


@step
async def hangs(number: int) -> int:
    await asyncio.sleep(60)
    return number


@workflow
async def of_values() -> int:
    total = 0
    for one in (adds, waits, in_a_thread, looks_at_itself):
        total += await one(1)
    return total + sum(await asyncio.gather(adds(1), waits(2)))


@workflow
async def of_retries() -> int:
    return await fails_once(1)


@workflow
async def of_failures() -> int:
    try:
        return await fails(1)
    except ValueError:
        return 0


@workflow
async def of_timeouts() -> int:
    try:
        return await takes_too_long(1)
    except StepTimeout:
        return 0


@workflow
async def of_cancelled_steps() -> int:
    try:
        async with asyncio.timeout(0.001):
            await takes_too_long(1)
    except (TimeoutError, StepTimeout):
        return 0
    return 1


@workflow
async def of_cancelled_tasks() -> int:
    tasks = [asyncio.create_task(hangs(n)) for n in range(3)]
    await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return 0


@workflow
async def of_gathered_failures() -> int:
    await asyncio.gather(*(fails(n) for n in range(3)), return_exceptions=True)
    return 0


_FLOWS = (
    of_values,
    of_retries,
    of_failures,
    of_timeouts,
    of_cancelled_steps,
    of_cancelled_tasks,
    of_gathered_failures,
)


@pytest.fixture
def _garbage_is_kept() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def _garbage() -> dict[str, int]:
    """Collect; return how often each type of ours, or of a task, is in what was found."""
    gc.collect()
    found: dict[str, int] = {}
    garbage: list[object] = gc.garbage
    for thing in garbage:
        kind = type(thing)
        if kind.__module__.startswith("outlast.") or issubclass(kind, asyncio.Task):
            found[kind.__name__] = found.get(kind.__name__, 0) + 1
    gc.garbage.clear()
    return {name: count for name, count in found.items() if count >= _TIMES / 2}


@pytest.mark.usefixtures("_garbage_is_kept")
@pytest.mark.parametrize("flow", _FLOWS, ids=lambda flow: flow.name.rpartition(".")[2])
async def test_nothing_of_a_step_waits_for_the_collector(flow: Workflow[[], int]) -> None:
    async with Engine.open(f"memory://freed-{flow.name}") as engine:
        await engine.run(flow())
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(_TIMES):
            await engine.run(flow())
        assert _garbage() == {}


@workflow
async def fails_too() -> int:
    return await fails(1)


@pytest.mark.usefixtures("_garbage_is_kept")
async def test_nothing_of_a_failed_run_waits_for_the_collector() -> None:
    async with Engine.open("memory://freed-failed") as engine:
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(_TIMES):
            run = await engine.start(fails_too())
            with pytest.raises(RunFailed):
                await run.result()
        found = _garbage()
    # The error that the caller was given, with the frames that raised it, is the caller's.
    assert set(found) <= {"RunFailed", "Run", "Bound", "WorkflowCall"}
