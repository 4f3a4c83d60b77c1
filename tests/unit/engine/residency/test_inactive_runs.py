"""Runs whose code is not here, or that no engine executes: the row says what `why` says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from outlast import Engine, RunInfo
from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import parse_url
from outlast._registry import Registry, default_registry
from outlast.errors import RunParked
from tests.unit.engine import flows

ONLY_COMMITS = CoreOptions(
    recover=False, executes=False, retention_seconds=None, owns_process=False
)


def committing(path: Path) -> Engine:
    """Return an engine as commands open it: it stores verbs and executes nothing."""
    return Engine(parse_url(str(path), read_only=False), ONLY_COMMITS, default_registry)


async def standing(engine: Engine, run: str) -> tuple[RunInfo, str]:
    listed = [info async for info in engine.runs() if info.id == run]
    return listed[0], await engine.get(run).why()


def warnings(caplog: pytest.LogCaptureFixture, run: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if run in r.getMessage()]


async def test_a_run_that_a_command_resumed_waits_for_an_engine(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(flows.decides(), id="r")
        await run.pause()
    async with committing(tmp_path / "o.db") as command:
        await command.get("r").resume()
        info, why = await standing(command, "r")

    assert (info.status, why) == ("waiting", "waiting for an engine that has its workflow")
    async with Engine.open(tmp_path / "o.db") as engine:
        again = engine.get("r", flows.decides)
        await again.signal(flows.decision, flows.Decision(approved=True, by="ann"))
        assert await again.result("30s") == "True by ann"


async def test_a_run_that_a_command_started_is_pending_until_an_engine_looks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with committing(tmp_path / "o.db") as command:
        await command.start(flows.sums(1), id="r")
        info, why = await standing(command, "r")
    assert (info.status, why) == ("pending", "waiting for an engine that has its workflow")

    for _ in range(2):
        async with Engine.open(tmp_path / "o.db", registry=Registry()) as stranger:
            with pytest.raises(RunParked, match="no code here"):
                await stranger.get("r").result("30s")
            info, why = await standing(stranger, "r")
        assert info.status == "parked"
        assert why == f"parked: no code here for workflow {flows.sums.name!r}"
    assert len(warnings(caplog, "r ")) == 1

    async with Engine.open(tmp_path / "o.db") as engine:
        assert await engine.get("r", flows.sums).result("30s") == await engine.run(flows.sums(1))


async def test_a_run_that_goes_on_where_its_code_is_missing_is_parked_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        await engine.start(flows.decides(), id="r")
    caplog.set_level(logging.WARNING)

    for _ in range(3):
        async with Engine.open(tmp_path / "o.db", registry=Registry()) as stranger:
            await stranger.get("r").signal("decision", {"approved": True, "by": "ann"})
            with pytest.raises(RunParked, match="no code here"):
                await stranger.get("r").result("30s")

    assert len(warnings(caplog, "run r ")) == 1


async def test_a_parked_run_that_never_began_is_cancelled_without_code(tmp_path: Path) -> None:
    async with committing(tmp_path / "o.db") as command:
        await command.start(flows.sums(1), id="r")
    async with Engine.open(tmp_path / "o.db", registry=Registry()) as stranger:
        with pytest.raises(RunParked):
            await stranger.get("r").result("30s")
        await stranger.get("r").cancel("not needed")

        assert (await stranger.get("r").info()).status == "cancelled"
