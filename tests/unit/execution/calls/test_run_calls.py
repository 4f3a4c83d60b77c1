"""A run makes its kinds of calls with their first use: what it never asks for, it does not hold."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Engine, Signal, step, wf, workflow
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast.types import RunId

go = Signal("run_calls.go", str)
gates: dict[str, asyncio.Event] = {}
arrived: dict[str, asyncio.Event] = {}


@step(name="run_calls.pass_gate")
async def pass_gate(name: str) -> str:
    arrived[name].set()
    await gates[name].wait()
    return name


@step(name="run_calls.twice")
async def twice(number: int) -> int:
    return 2 * number


@workflow(name="run_calls.steps")
async def steps(name: str) -> str:
    for number in range(3):
        await twice(number)
    return await pass_gate(name)


@workflow(name="run_calls.late")
async def late(name: str) -> list[str]:
    """Use each kind of call for the first time behind many steps, and a gate."""
    for number in range(20):
        await twice(number)
    await pass_gate(name)
    said = await go.receive()
    await asyncio.sleep(0.01)
    child = await steps(f"{name}.child")
    count = [0]

    async def add() -> None:
        count[0] += 1

    task = asyncio.create_task(add())
    await wf.until(lambda: count[0] == 1)
    await task
    return [said, child]


@pytest.fixture(autouse=True)
def _gates() -> None:
    for name in ("a", "a.child"):
        gates[name], arrived[name] = asyncio.Event(), asyncio.Event()


def live(engine: Engine, run: str) -> LiveWorkflow:
    found = engine._core.scheduler.residents[RunId(run)]
    assert isinstance(found, LiveWorkflow)
    return found


async def test_a_run_of_steps_has_made_no_other_kind(engine: Engine) -> None:
    run = await engine.start(steps("a"), id="r")
    await arrived["a"].wait()

    found = live(engine, "r")
    calls = found.calls
    made = (calls.made_children, calls.made_conditions, calls.made_inbox, calls.made_tokens)
    assert (*made, found.made_updates, found.pausing) == (None,) * 6
    assert not calls.uses_clock
    assert not found.needs_attention

    gates["a"].set()
    assert await run.result() == "a"


async def test_kinds_that_are_first_used_late_work_as_from_the_start(engine: Engine) -> None:
    for gate in gates.values():
        gate.set()

    run = await engine.start(late("a"), id="r")
    await run.signal(go, "now")

    assert await run.result() == ["now", "a.child"]


async def test_they_are_there_again_in_another_life(tmp_path: Path) -> None:
    db = tmp_path / "outlast.db"
    async with Engine.open(db) as engine:
        await engine.start(late("a"), id="r")
        await arrived["a"].wait()
        await engine.get("r").signal(go, "before")
        await engine.drain(grace=0)

    for gate in gates.values():
        gate.set()
    async with Engine.open(db) as engine:
        assert await engine.get("r").result() == ["before", "a.child"]


async def test_a_pause_and_a_cancellation_reach_a_run_that_never_asked_for_anything(
    engine: Engine,
) -> None:
    run = await engine.start(steps("a"), id="r")
    await arrived["a"].wait()

    await run.pause()
    await run.resume()
    gates["a"].set()

    assert await run.result() == "a"
