"""Reading handlers: asked twice under one key, they answer twice."""

from __future__ import annotations

import asyncio

from outlast import Engine
from tests.unit.actors.kept import Kept


async def test_a_reading_question_with_a_key_is_answered_again(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    asking = kept.options(dedup="k", timeout="30s")

    first, second = await asyncio.gather(asking.ask(Kept.all), asking.ask(Kept.all))

    assert (first, second) == (["x"], ["x"])
    assert await asking.ask(Kept.all) == ["x"]
