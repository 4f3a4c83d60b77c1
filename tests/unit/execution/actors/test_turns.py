"""When an actor handles its next message: nothing that becomes due is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from outlast import Actor, Engine, actor, handler

_ACTORS = 150


@dataclass
class Nothing:
    """No state."""


@actor(attempts=3)
class Failing(Actor[Nothing]):
    """Fails each attempt."""

    @handler
    async def fail(self) -> None:
        _tries[self.key] = _tries.get(self.key, 0) + 1
        raise ValueError("no")

    @handler
    async def count(self) -> None:
        _tries[self.key] = _tries.get(self.key, 0) + 1


_tries: dict[str, int] = {}


@pytest.fixture
def early_timers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have timers go off up to a millisecond early, as uvloop's do."""
    world = engine._core.world
    on_time = world.call_later
    number = 0

    def early(seconds: float, callback: Callable[..., object], *args: object) -> object:
        nonlocal number
        number += 1
        return on_time(max(0.0, seconds - (number % 50) * 2e-5), callback, *args)

    monkeypatch.setattr(world, "call_later", early)
    _tries.clear()


async def all_tried(times: int) -> None:
    async with asyncio.timeout(10):
        keys = [f"{n}" for n in range(_ACTORS)]
        while any(_tries.get(key, 0) < times for key in keys):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("early_timers")
async def test_each_attempt_is_made_although_the_timer_for_it_goes_off_early(
    engine: Engine,
) -> None:
    for number in range(_ACTORS):
        await engine.actor(Failing, f"{number}").tell(Failing.fail)

    await all_tried(3)


@pytest.mark.usefixtures("early_timers")
async def test_each_delayed_message_comes_although_the_timer_for_it_goes_off_early(
    engine: Engine,
) -> None:
    for number in range(_ACTORS):
        later = engine.actor(Failing, f"{number}").options(delay=f"{20 + number}ms")
        await later.tell(Failing.count)

    await all_tried(1)
