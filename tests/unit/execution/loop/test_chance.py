"""Chance in workflow code: each run has its own."""

from __future__ import annotations

from outlast import Engine, wf, workflow


async def test_logical_time_and_chance_are_the_runs_own(engine: Engine) -> None:
    @workflow
    async def chance() -> list[str]:
        return [str(wf.uuid()), str(wf.random().random()), wf.now().isoformat(), wf.run_id]

    first = await engine.run(chance(), id="c1")
    second = await engine.run(chance(), id="c2")

    assert first[3] == "c1"
    assert first[:2] != second[:2]
