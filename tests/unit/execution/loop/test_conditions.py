"""Waiting in workflow code for a condition, and for the first of several calls."""

from __future__ import annotations

import asyncio

from outlast import Engine, wf, workflow
from tests.unit.engine import flows


async def test_until_and_first_wait_for_what_comes(engine: Engine) -> None:
    @workflow
    async def waits() -> list[object]:
        seen: list[int] = []

        async def collect() -> None:
            async for n in flows.number:
                seen.append(n)

        task = asyncio.create_task(collect())
        await wf.until(lambda: len(seen) >= 2)
        task.cancel()
        name, value = await wf.first(slow=wf.sleep("1h"), fast=flows.add(1, 2))
        return [seen, name, value]

    run = await engine.start(waits(), signals=[(flows.number, 1)])
    await run.signal(flows.number, 2)

    assert await run.result(timeout="30s") == [[1, 2], "fast", 3]
