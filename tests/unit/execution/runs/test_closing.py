"""What leaves memory unwinds inside of its own tasks, and says nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import anyio
import pytest

from outlast import Actor, Call, Engine, Signal, Update, actor, handler, step, wf, workflow
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


# ------------------------------------------------------------- no effect of what unwinds
rename = Update("closing.rename", str, str)


@workflow
async def waits_in_a_handler() -> str:
    done = asyncio.Event()

    @rename.handler
    async def handle(name: str) -> str:
        with at("handler"):
            said = await go.receive()
        done.set()
        return f"{name} {said}"

    await done.wait()
    return "renamed"


async def test_an_update_that_is_handled_has_no_outcome_when_its_run_leaves(engine: Engine) -> None:
    run = await engine.start(waits_in_a_handler(), id="u")
    asked = asyncio.ensure_future(run.update(rename, "Ann", id="u1"))
    async with asyncio.timeout(10):
        while "signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
    await let_leave(engine)
    assert [name for name, _ in left] == ["handler"]

    await run.signal(go, "Lee")
    assert await run.result() == "renamed"
    assert await run.update(rename, "Ann", id="u1") == "Ann Lee"
    asked.cancel()


@workflow
async def child_of_group() -> str:
    return await go.receive()


@workflow
async def awaits_children_in_a_group() -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(child_of_group()) for _ in range(2)]
        group.create_task(go.receive())
    return [task.result() for task in tasks]


async def test_children_are_not_cancelled_when_their_parent_leaves_memory(engine: Engine) -> None:
    run = await engine.start(awaits_children_in_a_group(), id="p")
    await flows.until_waiting(run)
    await engine._core.writer.flushed()
    children = ["p.0.1-1", "p.0.2-1"]
    for child in children:
        await flows.until_waiting(engine.get(child))
    await let_leave(engine)
    for name in (*children, "p"):
        await engine.get(name).signal(go, name)
    assert sorted(await run.result()) == sorted(children)


@dataclass
class Seen:
    names: list[str] = field(default_factory=list[str])


@actor(name="closing.Inner")
class Inner(Actor[Seen]):
    """Asks back."""

    @handler
    async def ask_back(self) -> str:
        return await wf.actor(Outer, "o").ask(Outer.wait)


@actor(name="closing.Outer", reentrant="chain")
class Outer(Actor[Seen]):
    """Waits in a message that comes while it waits for an answer."""

    @handler(read=True)
    async def names(self) -> list[str]:
        return self.state.names

    @handler
    async def begin(self) -> str:
        return await wf.actor(Inner, "i").ask(Inner.ask_back)

    @handler
    async def wait(self) -> str:
        try:
            await asyncio.sleep(0.6)
        except BaseException as error:
            raise ValueError("it unwinds") from error
        self.state.names.append("waited")
        return "waited"


async def test_a_message_within_a_message_stays_open_when_its_actor_leaves(engine: Engine) -> None:
    outer = engine.actor(Outer, "o")
    await outer.ask(Outer.names)
    asked = asyncio.ensure_future(outer.ask(Outer.begin))
    async with asyncio.timeout(10):
        while "timer" not in await engine.get(outer.id).why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
    engine._core.residency.passivate_all()
    async with asyncio.timeout(10):
        assert await asked == "waited"
        assert await outer.ask(Outer.names) == ["waited"]
