"""What leaves memory unwinds inside of its own tasks, and says nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

import anyio
import pytest

from outlast import Call, Engine, Signal, step, wf, workflow
from outlast.errors import Passivating
from tests.unit.engine import flows

go = Signal("closing.go", str)
place = ContextVar("place", default="outside")
seen: list[object] = []
left: list[tuple[str, asyncio.Task[object] | None]] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    seen.clear()
    left.clear()


@contextmanager
def at(name: str) -> Generator[None]:
    """Set a context variable, and set it back in the same context."""
    token = place.set(name)
    try:
        yield
    finally:
        place.reset(token)
        left.append((name, asyncio.current_task()))


@step(name="closing.stuck")
async def stuck() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def around(name: str) -> AsyncGenerator[None]:
    with at(name):
        yield


async def numbers() -> AsyncIterator[int]:
    try:
        for number in range(10):
            yield number
    finally:
        left.append(("generator", asyncio.current_task()))


@workflow
async def contexts() -> str:
    """Wait inside of a context manager, in several tasks."""

    async def one(name: str) -> None:
        async with around(name):
            await go.receive()

    with at("main"):
        background = asyncio.create_task(one("background"))
        async with asyncio.TaskGroup() as group:
            group.create_task(one("grouped"))
            await asyncio.gather(one("gathered"), one("too"))
        await background
    return await go.receive()


async def sleeps() -> None:
    with anyio.CancelScope():
        await anyio.sleep_forever()


@workflow
async def scopes() -> str:
    """Wait in anyio's scopes and groups."""
    with anyio.CancelScope():
        async with anyio.create_task_group() as group:
            group.start_soon(sleeps)
            with anyio.fail_after(1_000), at("scope"):
                async for _ in numbers():
                    await go.receive()
    return ""


@workflow
async def shields() -> str:
    with at("shield"):
        await asyncio.shield(go.receive())
    return ""


@workflow
async def waits() -> str:
    tasks = [asyncio.create_task(go.receive()) for _ in range(3)]
    with at("wait"):
        await asyncio.wait(tasks)
    return ""


@workflow
async def swallows() -> str:
    """Catch what leaving raises, and wait again."""
    lock, waiting = asyncio.Lock(), asyncio.create_task(go.receive())
    await lock.acquire()
    for _ in range(3):
        try:
            await lock.acquire()
        except BaseException as error:  # noqa: BLE001  # the point
            seen.append(type(error))
    try:
        await go.receive()
    except BaseException as error:  # noqa: BLE001  # the point
        seen.append(type(error))
        await asyncio.sleep(1)
    return await waiting


@workflow
async def never_gives_up() -> str:
    waiting = asyncio.create_task(go.receive())
    while not waiting.done():
        try:
            await asyncio.Event().wait()
        except GeneratorExit:
            raise
        except BaseException:  # noqa: BLE001  # the point
            await asyncio.sleep(0)
    return ""


@workflow
async def awaits_own() -> str:
    """Have a task wait for the one that waits for it."""
    main = asyncio.current_task()
    assert main is not None

    async def other() -> None:
        await main

    await asyncio.gather(other(), go.receive())
    return ""


@workflow
async def asks_in_cleanup() -> str:
    try:
        await go.receive()
    finally:
        for act in (lambda: wf.now(), lambda: wf.step("x", lambda: 1), lambda: wf.uuid()):
            try:
                act()
            except Passivating:
                seen.append("refused")
    return ""


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    return said


async def let_leave(engine: Engine) -> None:
    async with asyncio.timeout(10):
        while engine._core.scheduler.residents:  # it has no event
            engine._core.residency.passivate_all()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("flow", "names"),
    [
        (contexts, ["background", "gathered", "grouped", "main", "too"]),
        (scopes, ["generator", "scope"]),
        (shields, ["shield"]),
        (waits, ["wait"]),
        (swallows, []),
        (never_gives_up, []),
        (awaits_own, []),
        (asks_in_cleanup, []),
    ],
)
async def test_a_run_leaves_memory_in_its_own_tasks_and_in_silence(
    flow: Callable[[], Call[str]],
    names: list[str],
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
    unraisable: list[object],
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")
    run = await engine.start(flow(), id="leaves")
    await flows.until_waiting(run)
    gc.collect()

    await let_leave(engine)
    gc.collect()

    assert sorted(name for name, task in left if task is not None) == names
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert unraisable == []


async def test_code_that_unwinds_has_no_effect(engine: Engine) -> None:
    run = await engine.start(asks_in_cleanup(), id="asks")
    await flows.until_waiting(run)
    await let_leave(engine)
    assert seen == ["refused"] * 3
    kinds = [record.kind async for record in run.journal()]
    assert kinds[0] == "run_started"
    assert "step_done" not in kinds


async def test_code_may_catch_it_and_wait_again_a_while(engine: Engine) -> None:
    run = await engine.start(swallows(), id="swallows")
    await flows.until_waiting(run)
    await let_leave(engine)
    assert seen == [Passivating] * 4
