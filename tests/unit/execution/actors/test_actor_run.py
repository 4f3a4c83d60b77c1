"""What is kept of messages that have ended: no timers, records, heartbeats or large values."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from outlast import Engine
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._world import Timer
from outlast.types import RunId
from tests.unit.actors.busy import Busy, gates


async def test_an_actor_that_wakes_often_leaves_no_timers_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Timer] = []
    call_at = Scheduler.call_at

    def noted(self: Scheduler, run: RunId, at: int) -> Timer:
        timers.append(call_at(self, run, at))
        return timers[-1]

    monkeypatch.setattr(Scheduler, "call_at", noted)
    busy = engine.actor(Busy, "a").options(timeout="30s")
    await busy.options(delay="1h").tell(Busy.add, "much later")

    await busy.ask(Busy.nap, 10)

    now = asyncio.get_running_loop().time()
    handles = [timer for timer in timers if isinstance(timer, asyncio.TimerHandle)]
    assert len(handles) == len(timers) > 10
    assert sum(not h.cancelled() and h.when() > now + 1 for h in handles) <= 1


async def test_nothing_is_kept_of_messages_that_have_ended(engine: Engine) -> None:
    gates[:] = [asyncio.Event()]
    busy = engine.actor(Busy, "a").options(timeout="30s")
    await busy.tell(Busy.wait)  # and so it stays in memory
    asks = [asyncio.ensure_future(busy.ask(Busy.beat)) for _ in range(5)]
    hold = asyncio.ensure_future(busy.ask(Busy.nap, 20))
    gates[0].set()
    await asyncio.gather(*asks)

    [live] = engine._core.scheduler.residents.values()
    assert len(live.arrivals) <= 2
    assert not live.cancellation.deliver()
    assert await engine._core.store.read_values(live.id, "\x00heartbeat:") == {}
    await hold


async def test_packed_records_of_ended_messages_are_dropped(
    tmp_path: Path,
) -> None:
    db = tmp_path / "outlast.db"
    async with Engine.open(db, live_runs_max=1) as engine:
        keys = [f"{number}" for number in range(10)]
        await asyncio.gather(*(engine.actor(Busy, key).ask(Busy.sleep, 0.5) for key in keys))
        assert engine._core.events.runs_passivated

    with contextlib.closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT count(*) FROM histories").fetchone() == (0,)


async def test_large_values_of_ended_messages_are_dropped(tmp_path: Path) -> None:
    db = tmp_path / "outlast.db"
    async with Engine.open(db) as engine:
        busy = engine.actor(Busy, "a").options(timeout="30s")
        sizes = [100_000, 100_000, 200_000, 100_000]
        asks = [asyncio.ensure_future(busy.ask(Busy.read, size)) for size in sizes]

        assert await asyncio.gather(*asks) == [2 * size for size in sizes]

    with contextlib.closing(sqlite3.connect(db)) as connection:
        counts = "SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM blob_refs)"
        assert connection.execute(counts).fetchone() == (0, 0)
