"""Actors leave memory when it is crowded, also in the middle of a handler."""

from __future__ import annotations

import asyncio

from outlast import Engine
from tests.unit.actors.busy import Busy


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
