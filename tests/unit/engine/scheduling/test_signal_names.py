"""Signals that are sent by a plain name: only names that the run's code declares are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast import Engine, Run, wf, workflow
from outlast._registry import Registry
from outlast.client import Client
from outlast.errors import RunNotFound, UnknownSignal
from tests.unit.engine import flows


@workflow
async def signals_another(target: str, name: str) -> str:
    try:
        await wf.get(target).signal(name, 1)
    except UnknownSignal as refused:
        return refused.nearest
    return "sent"


@workflow
async def signals_another_anyway(target: str, name: str) -> None:
    await wf.get(target).signal(name, 1, allow_undeclared=True)


async def _signals_of(run: Run[str]) -> list[str]:
    """End the run, and return the names of the signals that it was sent."""
    await run.signal(flows.decision, flows.Decision(approved=True, by="ann"))
    await run.result(timeout="30s")
    return [record.name async for record in run.journal() if record.kind == "signal"]


async def test_an_undeclared_name_is_refused_with_the_nearest_declared_one(engine: Engine) -> None:
    run = await engine.start(flows.decides())

    with pytest.raises(UnknownSignal, match=r"'decison'.*did you mean 'decision'\?") as refused:
        await run.signal("decison", {"approved": True, "by": "ann"})

    assert (refused.value.name, refused.value.nearest) == ("decison", "decision")
    assert await _signals_of(run) == ["decision"]


async def test_an_undeclared_name_is_taken_when_that_is_asked_for(engine: Engine) -> None:
    run = await engine.start(flows.decides())

    await run.signal("decison", 1, allow_undeclared=True)

    assert await _signals_of(run) == ["decison", "decision"]


async def test_a_start_with_a_signal_of_an_undeclared_name_starts_nothing(engine: Engine) -> None:
    with pytest.raises(UnknownSignal):
        await engine.start(flows.decides(), id="never", signals=[("decison", 1)])

    with pytest.raises(RunNotFound):
        await engine.get("never").info()


async def test_workflow_code_is_refused_an_undeclared_name_too(engine: Engine) -> None:
    run = await engine.start(flows.decides())

    assert await engine.run(signals_another(run.id, "decison")) == "decision"
    await engine.run(signals_another_anyway(run.id, "decison"))

    assert await _signals_of(run) == ["decison", "decision"]


async def test_an_unknown_run_is_said_before_an_unknown_name(engine: Engine) -> None:
    with pytest.raises(RunNotFound):
        await engine.get("nowhere").signal("decison", 1)


async def test_an_engine_without_the_runs_code_takes_every_name(url: str) -> None:
    async with Engine.open(url) as engine:
        run = await engine.start(flows.decides())
    async with Engine.open(url, registry=Registry()) as stranger:
        await stranger.get(run.id).signal("decison", 1)


async def test_the_owners_socket_refuses_an_undeclared_name(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(flows.decides())
        async with Client(f"{tmp_path / 'o.db'}") as client:
            send = client.get(run.id).signal
            with pytest.raises(UnknownSignal, match="did you mean 'decision'") as refused:
                await send("decison", 1)
            await send("decison", 1, allow_undeclared=True)

        assert refused.value.nearest == "decision"
        assert await _signals_of(run) == ["decison", "decision"]
