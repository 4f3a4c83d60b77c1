"""What one alerts on: closed runs by workflow and status, failed attempts, and what is logged."""

from __future__ import annotations

import logging

import pytest

from outlast import Retry, RunFailed, limits, step, this_step, workflow
from tests.unit.wire.served import Served

HERE = __name__


@step(retry=Retry(attempts=3, first="1ms"))
async def metered_flaky(fails: int) -> int:
    if this_step().attempt <= fails:
        raise ConnectionError(f"away, attempt {this_step().attempt}")
    return fails


@workflow
async def metered_run(fails: int) -> int:
    return await metered_flaky(fails)


async def figures(server: Served) -> dict[str, float]:
    text = (await server.request("GET", "/metrics")).body.decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_ended_runs_are_counted_by_workflow_and_status(server: Served) -> None:
    await server.engine.run(metered_run(0), id="a")
    await server.engine.run(metered_run(1), id="b")
    with pytest.raises(RunFailed):
        await server.engine.run(metered_run(3), id="c")
    waiting = await server.engine.start(metered_run(0), id="d", delay="1h")
    await waiting.terminate("no more")

    found = await figures(server)
    by_status = {
        status: found[
            f'outlast_runs_ended_total{{workflow="{HERE}.metered_run",status="{status}"}}'
        ]
        for status in ("completed", "failed", "terminated")
    }
    assert by_status == {"completed": 2, "failed": 1, "terminated": 1}
    assert found["outlast_runs_closed_total"] == 4
    assert found["outlast_attempts_failed_total"] == 4


async def test_workflows_beyond_a_bound_are_counted_together(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "METRIC_WORKFLOWS_MAX", 2)
    events = server.engine._core.events
    for name in ("a", "b", "c", "d", 'quo"te'):
        events.run_closed(name, "completed")
    events.run_closed("a", "failed")

    found = await figures(server)
    ended = {name: value for name, value in found.items() if "runs_ended_total" in name}
    assert ended == {
        'outlast_runs_ended_total{workflow="a",status="completed"}': 1,
        'outlast_runs_ended_total{workflow="a",status="failed"}': 1,
        'outlast_runs_ended_total{workflow="b",status="completed"}': 1,
        'outlast_runs_ended_total{workflow="(other)",status="completed"}': 3,
    }


async def test_what_agents_ask_of_models_is_counted_by_agent_and_model(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "METRIC_WORKFLOWS_MAX", 2)
    asked = server.engine._core.events.model_asked
    for _ in range(2):
        asked("support", "dear", input_tokens=10, output_tokens=5, usd=2_000_000)
    asked("support", "own", input_tokens=1, output_tokens=1, usd=None)
    asked("third", "dear", input_tokens=3, output_tokens=4, usd=0)

    found = await figures(server)
    history = (await server.request("GET", "/v1/history")).json()

    labels = '{agent="support",model="dear"}'
    assert found[f"outlast_model_requests_total{labels}"] == 2
    assert found[f"outlast_model_usd_total{labels}"] == 0.004
    assert found['outlast_model_unpriced_total{agent="support",model="own"}'] == 1
    assert [(use["agent"], use["model"], use["usd"]) for use in history["models"]] == [
        ("support", "dear", 0.004),
        ("(other)", "(other)", 0.0),
        ("support", "own", 0.0),
    ]
    assert history["models"][0]["output_tokens"] == 10
    assert history["models_seconds"] < 60


async def test_a_failed_run_is_an_error_in_the_log_and_an_attempt_a_warning(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "outlast.engine")
    with pytest.raises(RunFailed):
        await server.engine.run(metered_run(3), id="r")

    told = [(r.levelname, r.message) for r in caplog.records if "failed" in r.message]
    name = f"{HERE}.metered_flaky"
    assert [level for level, _ in told] == ["WARNING", "WARNING", "WARNING", "ERROR"]
    assert told[0][1] == f"step {name} of run r failed, attempt 1: ConnectionError: away, attempt 1"
    assert told[3][1].startswith("run r failed: ConnectionError: away, attempt 3")


async def test_limits_of_providers_are_told_to_those_who_ask(server: Served) -> None:
    before = (await server.request("GET", "/metrics")).body.decode()
    server.engine.limits.provider('my "key"', rpm=500, tpm=1_000, fair_by="tenant")

    [info] = (await server.request("GET", "/v1/providers")).json()["providers"]
    found = await figures(server)

    assert "outlast_provider" not in before
    assert info["name"] == 'my "key"'
    assert (info["rpm"], info["tpm"], info["fair_by"], info["waiting"]) == (500, 1_000, "tenant", 0)
    assert found['outlast_provider_waiting{provider="my \\"key\\""}'] == 0
