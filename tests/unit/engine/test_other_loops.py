"""An engine that is used from another thread or loop, and one whose closing is cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Actor, Engine, Signal, UsageError, actor, handler, step, workflow

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
