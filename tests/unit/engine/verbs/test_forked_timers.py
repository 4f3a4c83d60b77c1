"""Timers of runs that are made of a past: what they wait for has its time from now on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from outlast import Engine, Run, RunCancelled, Signal, Stream, WaitTimeout, step, workflow
from outlast._engine.opening import parse_url
from outlast._registry import default_registry
from outlast.cli.transport import ONLY_COMMITS

answer = Signal("forked_timers_answer", str)
progress = Stream("forked_timers_progress", str)
WAIT = 1.5  # longer than the second after which a past is old


@step
async def before() -> int:
    return 1


@workflow
async def waits_a_while(seconds: float) -> str:
    await before()
    await progress.write("waits")
    try:
        return await answer.receive(timeout=seconds)
    except WaitTimeout:
        return "late"


async def grown_old(run: Run[str]) -> None:
    """Let a run end, and its past grow older than a second."""
    assert await run.result(timeout="30s") == "late"
    await asyncio.sleep(1.1)


async def test_a_fork_in_front_of_a_timeout_waits_for_all_of_it(engine: Engine) -> None:
    run = await engine.start(waits_a_while(WAIT))
    await grown_old(run)

    forked = await run.fork(4)
    await forked.signal(answer, "in time")

    assert await forked.result(timeout="30s") == "in time"
    assert await (await run.fork(4)).result(timeout="30s") == "late"


async def test_a_retry_waits_again(engine: Engine) -> None:
    run = await engine.start(waits_a_while(WAIT))
    async for _ in run.stream(progress):
        break
    await run.cancel("not now")
    with pytest.raises(Exception, match="not now"):
        await run.result(timeout="30s")
    await asyncio.sleep(WAIT + 1.1)

    await run.retry()
    await run.signal(answer, "again")

    assert await run.result(timeout="30s") == "again"


async def test_what_is_postponed_is_so_for_the_next_engine_too(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        run = await engine.start(waits_a_while(WAIT))
        await grown_old(run)
        forked = await run.fork(4)
        async for record in forked.journal():
            if record.kind == "run_began":
                waited = msgspec.convert(record.value, dict[str, float])["waited"]
                assert 1.1 < waited < 60
                break
    async with Engine.open(path) as engine:
        again = engine.get(forked.id)
        await again.signal(answer, "in time")
        assert await again.result(timeout="30s") == "in time"


@pytest.mark.parametrize("verb", ["fork", "retry"])
async def test_a_timer_has_its_whole_time_when_no_process_ran_for_longer(
    tmp_path: Path, verb: str
) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        run = await engine.start(waits_a_while(WAIT), id="r")
        async for _ in run.stream(progress):
            break
        await run.cancel("not now")
        with pytest.raises(RunCancelled, match="not now"):
            await run.result(timeout="30s")
    # As a command does while no engine runs: it stores the run and executes nothing.
    command = Engine(parse_url(str(path), read_only=False), ONLY_COMMITS, default_registry)
    async with command:
        made = command.get("r")
        if verb == "fork":
            made = await made.fork(4)
        else:
            await made.retry()
    await asyncio.sleep(WAIT + 0.1)

    async with Engine.open(path) as engine:
        again = engine.get(made.id, waits_a_while)
        await again.signal(answer, "in time")
        assert await again.result(timeout="30s") == "in time"
        began = [r.value async for r in again.journal() if r.kind == "run_began"]

    assert len(began) == 1
    assert msgspec.convert(began[0], dict[str, float])["waited"] > WAIT
