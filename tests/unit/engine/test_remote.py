"""A run that waits for another run and signals it."""

from __future__ import annotations

import contextlib

import msgspec

from outlast import Actor, Engine, actor, handler, wf, workflow
from outlast.errors import (
    RunFailed,
)
from tests.unit.engine import flows


async def test_a_run_can_wait_for_and_signal_another(engine: Engine) -> None:
    @workflow
    async def tells(other: str) -> list[int]:
        handle = wf.get(other)
        await handle.signal(flows.number, 5)
        return msgspec.convert(await handle.result(), list[int])

    other = await engine.start(flows.collects(1))

    assert await engine.run(tells(other.id)) == [5]


@actor
class TalkingDouble(Actor[None]):
    @handler
    async def double(self, n: int) -> int:
        return 2 * n


async def test_a_journal_shows_what_another_run_answered(engine: Engine) -> None:
    @workflow
    async def asks(good: str, bad: str) -> int:
        await wf.get(good).result()
        with contextlib.suppress(RunFailed):
            await wf.get(bad).result()
        return await wf.actor(TalkingDouble, "d").ask(TalkingDouble.double, 4)

    good = await engine.start(flows.sums(2))
    bad = await engine.start(flows.fails("no luck"))
    run = await engine.start(asks(good.id, bad.id))
    assert await run.result() == 8

    shown = [(r.value, r.error) async for r in run.journal() if r.kind == "step_done"]

    assert shown == [
        ({"status": "completed", "result": 2}, None),
        ({"status": "failed", "result": None}, "ValueError: no luck"),
        (8, None),
    ]
