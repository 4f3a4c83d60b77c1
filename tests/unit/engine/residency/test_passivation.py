"""What leaves memory when it is crowded, also within a handler, and comes back in time."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine
from outlast._execution.runs.run import LiveRun
from outlast._store.rows import RunRow
from outlast.types import RunId
from tests.unit.actors.busy import Busy
from tests.unit.engine import flows


async def test_actors_that_sleep_in_a_handler_leave_memory_when_it_is_crowded(url: str) -> None:
    async with Engine.open(url, live_runs_max=10) as engine, asyncio.timeout(30):
        keys = [f"{number}" for number in range(100)]
        naps = [asyncio.ensure_future(engine.actor(Busy, key).ask(Busy.sleep, 4.0)) for key in keys]
        await asyncio.gather(*(engine.actor(Busy, key).tell(Busy.beat) for key in keys[:3]))
        passivated = 0
        while passivated < 90 or len(engine._core.scheduler.residents) > 10:
            await asyncio.sleep(0.01)
            passivated = engine._core.events.runs_passivated
        adds = [
            asyncio.ensure_future(engine.actor(Busy, key).ask(Busy.add, "behind"))
            for key in keys[:30]
        ]

        assert not any(add.done() for add in adds)
        assert await asyncio.gather(*naps) == [4.0] * 100
        assert await asyncio.gather(*adds) == [2] * 30
        assert await engine.actor(Busy, "7").ask(Busy.all) == ["slept 4.0", "behind"]


async def test_what_is_due_is_brought_in_beside_what_is_in_memory_already(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rows of those in memory say that they are due until they are written anew; they come
    # first, and must not stand for those behind them.
    async with Engine.open(url, live_runs_max=2) as engine, asyncio.timeout(30):
        for number in range(8):
            await engine.start(flows.naps(1_000), id=f"r{number}")
        core = engine._core
        recovery, store, scheduler = core.recovery, core.store, core.scheduler
        async with asyncio.timeout(30):
            while scheduler.residents:  # it has no event
                engine._core.residency.passivate_all()
                await asyncio.sleep(0.01)
        rows = [row for n in range(8) if (row := await store.read_run(RunId(f"r{n}"))) is not None]
        in_memory = {row.id for row in rows[:5]}
        brought: list[RunId] = []

        async def due_runs(_: object, __: int, limit: int) -> list[RunRow]:
            return [row for row in rows if row.id not in brought][:limit]

        async def bring(run: RunId) -> None:
            brought.append(run)

        monkeypatch.setattr(store, "due_runs", due_runs)
        monkeypatch.setattr(engine._core.messages, "try_to_bring", bring)
        monkeypatch.setattr(scheduler, "residents", dict.fromkeys(in_memory))

        await recovery._bring_due()
        monkeypatch.undo()

    assert brought == [row.id for row in rows[5:]]


async def test_an_actor_that_left_memory_within_a_handler_is_idle_after_it(url: str) -> None:
    async with Engine.open(url, live_runs_max=1) as engine, asyncio.timeout(30):
        busy = [engine.actor(Busy, f"{number}") for number in range(4)]
        await asyncio.gather(*(one.ask(Busy.sleep, 1.5) for one in busy))

        assert engine._core.events.runs_passivated > 0
        for one in busy:
            why = await engine.get(one.id).why()
            while why == "about to look at its messages":
                await asyncio.sleep(0)
                why = await engine.get(one.id).why()
            assert why == "idle: waiting for a message"


async def test_a_waiting_run_that_is_brought_in_still_waits_until_it_has_replayed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        await engine.start(flows.naps(1_000), id="r")
        scheduler, residency = engine._core.scheduler, engine._core.residency
        while scheduler.residents:  # it has no event
            residency.passivate_all()
            await asyncio.sleep(0.01)
        begin = scheduler.begin
        held: list[LiveRun] = []
        comes = asyncio.Event()

        def hold(live: LiveRun) -> None:
            held.append(live)
            comes.set()

        monkeypatch.setattr(scheduler, "begin", hold)
        await engine.get("r").signal(flows.number, 1)
        await comes.wait()

        listed = [info.id async for info in engine.runs("status:waiting")]
        begin(held[0])

    assert listed == ["r"]
