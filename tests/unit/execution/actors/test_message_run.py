"""Handlers and what they leave behind: tasks, timers, swallowed cancellations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Actor, Engine, actor, handler
from outlast.errors import HandlerFailed
from tests.unit.actors.busy import Lines, moment
from tests.unit.actors.kept import Kept


@actor(name="busy.Stubborn", attempts=2)
class Stubborn(Actor[Lines]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def swallow(self, line: str) -> None:
        await moment()
        self.state.lines.append(line)

        async def stays() -> None:
            while True:
                try:
                    await asyncio.sleep(1_000)
                except asyncio.CancelledError:
                    continue

        left_behind = asyncio.ensure_future(stays())
        await asyncio.sleep(0)
        assert not left_behind.done()


async def test_a_handler_that_swallows_cancellations_fails_and_its_actor_goes_on(
    engine: Engine,
) -> None:
    stubborn = engine.actor(Stubborn, "a").options(timeout="30s")
    await stubborn.ask(Stubborn.add, "before")

    with pytest.raises(HandlerFailed, match="swallowed the cancellation"):
        await stubborn.ask(Stubborn.swallow, "asked")
    await stubborn.tell(Stubborn.swallow, "told")

    assert await stubborn.ask(Stubborn.add, "after") == 2
    letters = [letter async for letter in engine.dead_letters()]
    assert [(letter.reason, letter.attempts) for letter in letters] == [("failed", 2)]
    assert (await engine.actor_info(Stubborn, "a")).status == "waiting"


async def test_what_a_message_left_behind_counts_for_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        async with Engine.open(tmp_path / "outlast.db") as engine:
            kept = engine.actor(Kept, "a")
            with pytest.raises(HandlerFailed, match="no"):
                await kept.ask(Kept.leave_things)
            await asyncio.sleep(0.05)
            await kept.ask(Kept.add, "x")
    async with Engine.open(tmp_path / "outlast.db") as engine:
        assert await engine.actor(Kept, "a").ask(Kept.all) == ["x", "x"]
