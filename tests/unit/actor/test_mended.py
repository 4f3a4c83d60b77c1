"""Actors under trouble: what one message or one actor does must not cost the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from outlast import Actor, Engine, actor, handler, step
from outlast.errors import HandlerFailed


@dataclass
class Lines:
    lines: list[str] = field(default_factory=list[str])


@step
async def moment() -> None:
    """Take a moment outside."""


@actor(name="mended.Stubborn", attempts=2)
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
    stubborn = engine.actor(Stubborn, "a").options(timeout="20s")
    await stubborn.ask(Stubborn.add, "before")

    with pytest.raises(HandlerFailed, match="swallowed the cancellation"):
        await stubborn.ask(Stubborn.swallow, "asked")
    await stubborn.tell(Stubborn.swallow, "told")

    assert await stubborn.ask(Stubborn.add, "after") == 2
    letters = [letter async for letter in engine.dead_letters()]
    assert [(letter.reason, letter.attempts) for letter in letters] == [("failed", 2)]
    assert (await engine.actor_info(Stubborn, "a")).status == "waiting"
