"""Keys of messages that an actor has handled: as many are known as may be, the oldest go first."""

from __future__ import annotations

import pytest

from outlast import Engine, limits
from tests.unit.actors.busy import Busy


async def test_the_oldest_key_is_forgotten_first_also_after_a_restart(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ACTOR_DEDUPS_MAX", 3)
    async with Engine.open(url) as engine:
        for key in ("z", "y", "x"):
            busy = engine.actor(Busy, "a").options(dedup=key, timeout="30s")
            await busy.ask(Busy.add, key)

    async with Engine.open(url) as engine:
        counts: list[int] = []
        for key in ("w", "y", "x", "z"):
            busy = engine.actor(Busy, "a").options(dedup=key, timeout="30s")
            counts.append(await busy.ask(Busy.add, key))

    assert counts == [4, 2, 3, 5]
