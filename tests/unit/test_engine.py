"""`Engine`: what it is opened with, what its verbs refuse, on which loop, and how it closes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from outlast import Actor, Engine, Signal, actor, handler, step, workflow
from outlast._registry import default_registry
from outlast.engine import run_loop
from outlast.errors import (
    EngineClosed,
    NotSupported,
    StoreError,
    UsageError,
)
from tests.unit.engine import flows


@pytest.mark.parametrize(
    "options", [{"url": 5}, {"live_runs_max": "x"}, {"resources": 5}, {"registry": 5}]
)
def test_an_engine_is_not_opened_with_odd_things(options: dict[str, object]) -> None:
    opening = cast("Callable[..., Engine]", Engine.open)

    with pytest.raises(UsageError, match=next(iter(options))):
        opening(**options)


async def test_text_with_a_lone_surrogate_is_refused_in_words(engine: Engine) -> None:
    bad = "a\ud800"
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: engine.start(flows.decides(), id=bad),
        lambda: anext(aiter(engine.runs(f"workflow:{bad}"))),
        lambda: engine.token(bad),
        lambda: engine.answer(bad, 1),
        lambda: engine.approve(bad, by="ann"),
        lambda: engine.diff(bad, "r"),
        lambda: anext(aiter(engine.actors(bad))),
        lambda: engine.actor_info(bad, "k"),
        lambda: engine.actor_info("k", bad),
        lambda: engine.get("r").signal(bad, 1, allow_undeclared=True),
        lambda: engine.get("r").signal("n", 1, dedup=bad, allow_undeclared=True),
        lambda: engine.get("r").cancel(bad),
        lambda: engine.get("r").read(bad),
        lambda: anext(aiter(engine.get("r").stream(bad))),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            await call()


async def test_an_engine_is_refused_after_a_fork(engine: Engine) -> None:
    core = engine._core  # the pid it was opened under
    core._process = os.getpid() + 1  # as a child of fork would see it

    with pytest.raises(StoreError, match="fork"):
        await engine.start(flows.sums(1))

    core._process = os.getpid()


async def test_a_closed_engine_says_so(url: str) -> None:
    async with Engine.open(url) as engine:
        run = await engine.start(flows.sums(1))
        await run.result()

    with pytest.raises(EngineClosed):
        await engine.start(flows.sums(1))
    with pytest.raises(EngineClosed):
        await run.result()


async def test_features_of_later_versions_say_so(engine: Engine) -> None:
    with pytest.raises(NotSupported):
        await engine.start(flows.sums(1), queue="mail")
    with pytest.raises(UsageError, match="budget= of start takes"):
        await engine.start(flows.sums(1), budget=3)  # type: ignore[arg-type]  # no budget
    with pytest.raises(NotSupported):
        await engine.get("x").fork(1, version="2")


async def test_an_engine_that_is_left_twice_is_closed_once() -> None:
    before = default_registry.engines
    engine = Engine.open("memory://left-twice")
    async with engine:
        assert default_registry.engines == before + 1
        await engine.__aexit__(None, None, None)
    assert default_registry.engines == before


async def fails() -> None:
    raise ValueError("mine")


async def which() -> str:
    return type(asyncio.get_running_loop()).__module__.split(".")[0]


def test_without_uvloop_errors_of_a_program_have_no_other_error_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ValueError, match="mine") as raised:
        run_loop(fails())
    assert raised.value.__context__ is None
    assert run_loop(which()) == "asyncio"


def test_with_uvloop_its_loop_is_used() -> None:
    pytest.importorskip("uvloop")
    assert run_loop(which()) == "uvloop"


done: list[str] = []


go_on = Signal("go_on_from_other_loops", int)


@dataclass
class Heard:
    words: list[str]


@actor
class LoopListener(Actor[Heard]):
    @classmethod
    def initial(cls) -> Heard:
        return Heard([])

    @handler
    async def hear(self, word: str) -> int:
        self.state.words.append(word)
        return len(self.state.words)


@step
async def loops_charge() -> str:
    done.append("charged")
    return "ok"


@workflow
async def loops_order() -> str:
    return await loops_charge()


@workflow
async def loops_waits() -> int:
    return await go_on.receive()


@step
def loops_slow() -> str:
    time.sleep(0.5)
    return "slow"


@workflow
async def loops_slowly() -> str:
    return await loops_slow()


VERBS: dict[str, Callable[[Engine], Coroutine[object, object, object]]] = {
    "run": lambda engine: engine.run(loops_order(), id="new"),
    "start": lambda engine: engine.start(loops_order(), id="new"),
    "signal": lambda engine: engine.get("waits").signal(go_on, 1),
    "cancel": lambda engine: engine.get("waits").cancel(),
    "terminate": lambda engine: engine.get("waits").terminate(),
    "pause": lambda engine: engine.get("waits").pause(),
    "fork": lambda engine: engine.get("waits").fork(2),
    "result": lambda engine: engine.get("waits").result(),
    "info": lambda engine: engine.get("waits").info(),
    "tell": lambda engine: engine.actor(LoopListener, "a").tell(LoopListener.hear, "x"),
    "ask": lambda engine: engine.actor(LoopListener, "a").ask(LoopListener.hear, "x"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_from_another_loop_is_refused_before_anything_is_stored(
    engine: Engine, verb: str
) -> None:
    done.clear()
    waits = await engine.start(loops_waits(), id="waits")
    before = [record async for record in waits.journal()]

    def elsewhere() -> None:
        with pytest.raises(UsageError, match="event loop"):
            asyncio.run(VERBS[verb](engine))

    await asyncio.to_thread(elsewhere)

    runs = [info.id async for info in engine.runs()]
    assert runs == ["waits"]
    assert [actor.id async for actor in engine.actors(LoopListener)] == []
    assert [record async for record in waits.journal()] == before
    assert done == []


@pytest.mark.parametrize("late", [0.0, 0.005, 0.1])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_cancelled_closing_finishes_and_then_the_cancellation_goes_on(
    tmp_path: Path, late: float, busy: bool
) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def program() -> None:
        async with Engine.open(tmp_path / "o.db") as engine:
            if busy:
                await engine.start(loops_slowly(), id="slow")
            inside.set()
            await leave.wait()

    task = asyncio.create_task(program())
    await inside.wait()
    leave.set()
    await asyncio.sleep(late)
    was_over = task.done()
    task.cancel()
    await asyncio.wait([task], timeout=60)

    assert task.cancelled() or was_over
    async with Engine.open(tmp_path / "o.db") as engine:  # the lock is free
        assert await engine.run(loops_order()) == "ok"
        if busy:
            assert await engine.get("slow").result(timeout=30) == "slow"
