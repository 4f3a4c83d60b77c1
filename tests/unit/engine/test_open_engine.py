"""Closing an engine waits for what is at work, not for what only waits."""

from __future__ import annotations

import asyncio

from outlast import Actor, Engine, actor, handler, wf
from tests.unit.actors.kept import Seen

_asleep: list[asyncio.Event] = []


@actor
class Sleeper(Actor[Seen]):
    """Sleeps, and asks one that sleeps."""

    @handler
    async def sleep(self) -> None:
        _asleep[0].set()
        await asyncio.sleep(3600)

    @handler
    async def ask_another(self) -> None:
        await wf.actor(Sleeper, "other").ask(Sleeper.sleep)


async def test_closing_waits_for_nobody_who_only_waits(url: str) -> None:
    _asleep[:] = [asyncio.Event()]
    async with asyncio.timeout(30), Engine.open(url) as engine:
        await engine.actor(Sleeper, "one").tell(Sleeper.ask_another)
        await _asleep[0].wait()
