"""Bodies on the host loop: each has a task of its own, and nothing of one reaches another."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from outlast import Engine, Err, Ok, StepTimeout, Timeout, step, workflow
from outlast._execution.bodies.context import waiting_for_engine

NAME: ContextVar[str] = ContextVar("NAME", default="nobody's")
tasks: dict[str, asyncio.Task[object] | None] = {}
seen: list[str] = []
gate: asyncio.Event
began: asyncio.Queue[str]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    global gate, began
    gate, began = asyncio.Event(), asyncio.Queue()
    tasks.clear()
    seen.clear()
    async with Engine.open(tmp_path / "outlast.db") as opened:
        yield opened


@step
async def at_once(name: str) -> str:
    seen.append(f"{name} {NAME.get()}")
    NAME.set(name)
    tasks[name] = asyncio.current_task()
    began.put_nowait(name)
    return NAME.get()


@step
async def waits(name: str) -> str:
    NAME.set(name)
    tasks[name] = asyncio.current_task()
    began.put_nowait(name)
    await gate.wait()
    assert asyncio.current_task() is tasks[name]
    return NAME.get()


@step
async def cancels_itself(name: str) -> str:
    tasks[name] = task = asyncio.current_task()
    began.put_nowait(name)
    assert task is not None
    task.cancel()
    return name


@step
async def in_time() -> str:
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()
    return "never"


@step(timeout=Timeout(run=0.05))
async def too_slow() -> None:
    await asyncio.Event().wait()


@step
async def raises(name: str) -> str:
    raise ValueError(name)


@workflow
async def together(kinds: list[str]) -> list[str]:
    calls = {"at_once": at_once, "waits": waits, "cancels": cancels_itself, "raises": raises}
    made = [calls[kind](f"{kind} {n}") for n, kind in enumerate(kinds)]
    return [f"{found}" for found in await asyncio.gather(*made, return_exceptions=True)]


@workflow
async def limited() -> str:
    match await in_time().catch(TimeoutError):
        case Err():
            return "caught"
        case Ok(value):
            return value


@workflow
async def slow() -> str:
    try:
        await too_slow()
    except StepTimeout as error:
        return error.kind
    return "none"


async def begun(count: int) -> None:
    for _ in range(count):
        await began.get()


async def test_bodies_begin_in_order_and_share_no_context_variable(engine: Engine) -> None:
    assert await engine.run(together(["at_once"] * 4)) == [f"at_once {n}" for n in range(4)]

    assert seen == [f"at_once {n} nobody's" for n in range(4)]


async def test_each_body_has_a_task_of_its_own(engine: Engine) -> None:
    await engine.run(together(["at_once"] * 4))

    assert len(set(tasks.values())) == 4


async def test_a_body_that_waits_keeps_its_task_and_others_go_on(engine: Engine) -> None:
    run = await engine.start(together(["waits", "at_once", "waits", "at_once"]))
    await begun(4)
    gate.set()

    assert await run.result() == ["waits 0", "at_once 1", "waits 2", "at_once 3"]
    assert tasks["waits 0"] is not tasks["waits 2"]
    assert tasks["waits 0"] is not tasks["at_once 3"]


async def test_a_body_that_cancels_its_task_harms_no_other(engine: Engine) -> None:
    kinds = ["cancels", "at_once", "waits", "cancels", "at_once"]
    run = await engine.start(together(kinds))
    await begun(len(kinds))
    gate.set()

    assert await run.result() == [f"{kind} {n}" for n, kind in enumerate(kinds)]


async def test_a_task_that_is_cancelled_after_its_body_harms_no_other(engine: Engine) -> None:
    await engine.run(together(["at_once"]))
    kept = tasks["at_once 0"]
    assert kept is not None
    kept.cancel()

    assert await engine.run(together(["at_once", "at_once"])) == ["at_once 0", "at_once 1"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_bodies_run_also_where_tasks_are_eager(engine: Engine) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(vars(asyncio)["eager_task_factory"])
    try:
        run = await engine.start(together(["at_once", "waits", "at_once", "cancels", "waits"]))
        await begun(5)
        gate.set()
        assert len(await run.result()) == 5
        assert await engine.run(together(["at_once"])) == ["at_once 0"]
    finally:
        loop.set_task_factory(None)


async def test_what_one_raises_is_its_own(engine: Engine) -> None:
    found = await engine.run(together(["raises", "at_once", "raises"]))

    assert found[1] == "at_once 1"
    assert "raises 0" in found[0]
    assert "raises 2" in found[2]


async def test_a_timeout_inside_of_a_body_ends_that_body(engine: Engine) -> None:
    assert await engine.run(limited()) == "caught"


async def test_a_timeout_of_a_step_ends_its_body_and_others_go_on(engine: Engine) -> None:
    assert await engine.run(slow()) == "run"
    assert await engine.run(together(["at_once"])) == ["at_once 0"]


async def test_nothing_of_it_is_left_when_the_engine_has_closed(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        await engine.run(together(["at_once"]))

    left = [task.get_name() for task in asyncio.all_tasks()]
    assert [name for name in left if name.startswith("outlast")] == []


async def test_a_body_that_waits_is_known_by_its_key(engine: Engine) -> None:
    run = await engine.start(together(["waits"]))
    await begun(1)
    task = tasks["waits 0"]
    assert task is not None
    assert task.get_name().startswith("0")
    assert "waits" in task.get_name()
    gate.set()
    await run.result()


# ------------------------------------------------------------- what once reached other runs
@step
async def works(number: int, seconds: float) -> int:
    if seconds and number % 2:
        await asyncio.sleep(seconds)
    return number


@workflow
async def impatient(number: int, seconds: float) -> str:
    for turn in range(10):
        try:
            async with asyncio.timeout(0.001 * (1 + (number + turn) % 5)):
                while True:
                    await works(turn, seconds)
        except TimeoutError:
            pass
    return "done"


@workflow
async def patient(seconds: float) -> str:
    for number in range(50):
        await works(number, seconds)
    return "done"


@pytest.mark.parametrize("seconds", [0.0, 0.0005], ids=["none waits", "some wait"])
async def test_timeouts_of_some_runs_touch_no_step_of_others(seconds: float) -> None:
    # Commits that take no time make steps end in every turn of the loop.
    async with Engine.open(f"memory://{uuid4()}") as engine:
        for _ in range(4):
            runs = [await engine.start(impatient(number, seconds)) for number in range(20)]
            runs += [await engine.start(patient(seconds)) for _ in range(20)]

            assert [await run.result(timeout=30) for run in runs] == ["done"] * 40


open_scopes: list[AsyncIterator[int]] = []


async def within_a_scope() -> AsyncIterator[int]:
    with anyio.move_on_after(0.01):
        yield 1


@step
async def leaves_a_scope_open() -> int:
    open_scopes.append(within_a_scope())
    return await anext(open_scopes[-1])


@step
async def pays() -> str:
    await asyncio.sleep(0.05)
    return "paid"


@workflow
async def leaving() -> list[object]:
    return [*await asyncio.gather(leaves_a_scope_open(), *(pays() for _ in range(5)))]


async def test_a_scope_that_a_body_leaves_open_cancels_no_other(engine: Engine) -> None:
    assert await engine.run(leaving()) == [1, *["paid"] * 5]


sessions: dict[asyncio.Task[object] | None, str] = {}


@step
async def uses_a_session(name: str) -> str:
    return sessions.setdefault(asyncio.current_task(), name)


@workflow
async def with_sessions() -> list[str]:
    return [*await asyncio.gather(*(uses_a_session(f"{n}") for n in range(10)))]


async def test_what_is_kept_by_the_present_task_is_one_bodys_alone(engine: Engine) -> None:
    assert await engine.run(with_sessions()) == [f"{n}" for n in range(10)]


async def test_the_end_of_a_body_is_told_outside_of_its_context(engine: Engine) -> None:
    told: list[str] = []
    engine._core.scheduler.observers.add(lambda _: told.append(NAME.get()))

    await engine.run(together(["at_once", "at_once"]))

    assert told
    assert set(told) == {"nobody's"}


waiting: list[asyncio.Event] = []


@step
async def wait_for_engine() -> str:
    with waiting_for_engine():
        waiting[0].set()
        if len(waiting) == 1:
            await asyncio.Event().wait()
    return "done"


@workflow
async def waits_for_engine() -> str:
    return await wait_for_engine()


async def test_a_step_that_only_waits_for_the_engine_does_not_delay_its_closing(
    tmp_path: Path,
) -> None:
    waiting[:] = [asyncio.Event()]
    async with Engine.open(tmp_path / "w.db") as engine:
        await engine.start(waits_for_engine(), id="w")
        await waiting[0].wait()
        async with asyncio.timeout(20):
            await engine.drain("1h")

    waiting.append(asyncio.Event())
    async with Engine.open(tmp_path / "w.db") as engine:
        assert await engine.get("w", waits_for_engine).result() == "done"
