"""What steps open and share: opened when first asked for, closed with the run or the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from outlast import Engine, Signal, step, this_step, workflow
from outlast.errors import RunFailed
from outlast.testing import crash_everywhere

events: list[str] = []
go = Signal("held_go", str)


@pytest.fixture(autouse=True)
def clean() -> None:
    events.clear()


@asynccontextmanager
async def line() -> AsyncGenerator[list[str]]:
    task = asyncio.current_task()
    events.append("open")
    await asyncio.sleep(0.01)
    yield events
    assert asyncio.current_task() is task, "closed in another task than it was opened in"
    events.append("close")


@asynccontextmanager
async def broken() -> AsyncGenerator[list[str]]:
    events.append("open")
    if len(events) == 1:
        raise ConnectionError("nobody answers")
    yield events


@step
async def say(word: str, scope: str = "run") -> str:
    shared = await this_step().opened("line", line, scope="run" if scope == "run" else "engine")
    shared.append(word)
    return word


@step
async def try_broken() -> int:
    try:
        return len(await this_step().opened("broken", broken))
    except ConnectionError:
        return len(await this_step().opened("broken", broken))


@step(where="thread")
def say_on_a_thread() -> None:
    asyncio.run(this_step().opened("line", line))


@workflow
async def talk(scope: str = "run") -> str:
    await asyncio.gather(say("a", scope), say("b", scope))
    await say("c", scope)
    return "done"


@workflow
async def pause() -> str:
    await say("a")
    word = await go.receive()
    return await say(word)


@workflow
async def fail_to_open() -> int:
    return await try_broken()


@workflow
async def talk_on_a_thread() -> None:
    await say_on_a_thread()


async def test_steps_of_a_run_share_what_the_first_has_opened(engine: Engine) -> None:
    await (await engine.start(talk())).result()
    async with asyncio.timeout(5):
        while "close" not in events:  # noqa: ASYNC110  # it is closed in the background
            await asyncio.sleep(0.01)

    assert events[0] == "open"
    assert sorted(events[1:3]) == ["a", "b"]
    assert events[3:] == ["c", "close"]


async def test_what_the_engine_has_open_is_closed_with_it(tmp_path: Path) -> None:
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        await (await engine.start(talk("engine"))).result()
        await (await engine.start(talk("engine"))).result()
        assert "close" not in events
    assert events.count("open") == 1
    assert events[-1] == "close"


async def test_a_run_that_leaves_memory_closes_and_opens_again(engine: Engine) -> None:
    run = await engine.start(pause(), id="p")
    async with asyncio.timeout(10):
        while "a" not in events or engine._core.scheduler.residents:  # it has no event
            engine._core.residency.passivate_all()
            await asyncio.sleep(0.01)
        while "close" not in events:  # noqa: ASYNC110  # it is closed in the background
            await asyncio.sleep(0.01)
    await run.signal(go, "b")
    assert await run.result() == "b"
    async with asyncio.timeout(10):
        while events[-1] != "close":  # noqa: ASYNC110  # the same
            await asyncio.sleep(0.01)
    assert events == ["open", "a", "close", "open", "b", "close"]


async def test_a_run_that_replays_opens_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    async with Engine.open(path) as engine:
        await engine.start(pause(), id="p")
        async with asyncio.timeout(5):
            while "a" not in events:  # noqa: ASYNC110  # the step does not tell
                await asyncio.sleep(0.01)
    events.clear()

    async with Engine.open(path) as engine:
        await engine.get("p").signal(go, "b")
        assert await engine.get("p").result() == "b"
    assert events == ["open", "b", "close"]


async def test_an_opening_that_fails_is_tried_by_who_asks_next(engine: Engine) -> None:
    assert await (await engine.start(fail_to_open())).result() == 2


async def test_a_step_on_a_thread_cannot_share(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="only in async steps that run on the event loop"):
        await (await engine.start(talk_on_a_thread())).result()


async def test_sharing_survives_a_crash_at_each_record() -> None:
    assert await crash_everywhere(talk()) == []
