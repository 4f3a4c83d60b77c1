"""What the clock makes due, also when it jumps: a suspended machine, a clock that is set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Actor, Engine, Retry, RunTimedOut, actor, handler, step, this_step, workflow
from tests.unit.engine import flows

HOUR = 3600.0


@dataclass
class Rung:
    times: int = 0


@actor
class ClockBell(Actor[Rung]):
    @handler
    async def ring(self) -> int:
        self.state.times += 1
        return self.state.times


@step(retry=Retry(attempts=2, first="30m", jitter="none"))
async def clock_flaky() -> str:
    if this_step().attempt == 1:
        raise ValueError("first")
    return "second"


@workflow
async def clock_sleeps(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "woke"


@workflow
async def clock_naps(seconds: float, naps: int) -> str:
    for _ in range(naps):
        await asyncio.sleep(seconds)
    return "woke"


@workflow
async def clock_retries() -> str:
    return await clock_flaky()


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the wall clock of this process ahead, or back."""
    real, offset = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + offset[0])

    def jumped(seconds: float) -> None:
        offset[0] += int(seconds * 1e9)

    return jumped


async def until(engine: Engine, run: str, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in await engine.get(run).why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)


async def test_what_a_jump_ahead_makes_due_is_done_within_seconds(
    engine: Engine, jump: Callable[[float], None]
) -> None:
    sleeping = await engine.start(clock_sleeps(0.9 * HOUR), id="sleeps")
    retrying = await engine.start(clock_retries(), id="retries")
    limited = await engine.start(clock_sleeps(9 * HOUR), id="limited", timeout="40m")
    bell = engine.actor(ClockBell, "a")
    await bell.options(delay="50m").tell(ClockBell.ring)
    await until(engine, "sleeps", "a timer")
    await until(engine, "retries", "attempt 2 due in")

    jump(HOUR)

    assert await sleeping.result(timeout=30) == "woke"
    assert await retrying.result(timeout=30) == "second"
    with pytest.raises(RunTimedOut):
        await limited.result(timeout=30)
    async with asyncio.timeout(30):
        while await bell.ask(ClockBell.ring) < 2:  # noqa: ASYNC110  # its own, and those asked here
            await asyncio.sleep(0.05)


async def test_a_passivated_run_is_woken_after_a_jump_ahead(
    tmp_path: Path, jump: Callable[[float], None]
) -> None:
    async with Engine.open(tmp_path / "o.db", live_runs_max=1) as engine:
        sleeping = [await engine.start(clock_sleeps(HOUR / 2)) for _ in range(5)]
        async with asyncio.timeout(30):
            while len(engine._core.scheduler.residents) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        jump(HOUR)

        for run in sleeping:
            assert await run.result(timeout=30) == "woke"


async def test_a_jump_back_delays_no_wait_of_this_process(
    engine: Engine, jump: Callable[[float], None]
) -> None:
    before = await engine.start(clock_naps(0.3, 4), id="before")
    await until(engine, "before", "a timer")

    jump(-HOUR)
    after = await engine.start(clock_naps(0.3, 2))

    assert await before.result(timeout=30) == "woke"
    assert await after.result(timeout=30) == "woke"


async def test_a_jump_ahead_and_back_fires_nothing_twice_and_delays_nothing(
    engine: Engine, jump: Callable[[float], None]
) -> None:
    first = await engine.start(clock_naps(0.5, 3), id="first")
    await until(engine, "first", "a timer")
    jump(HOUR)
    assert await first.result(timeout=30) == "woke"
    jump(-HOUR)
    second = await engine.start(clock_naps(0.2, 3))

    assert await second.result(timeout=30) == "woke"
    for run in (first, second):
        fired = [r async for r in run.journal() if r.kind == "timer_fired"]
        assert len(fired) == 3


async def test_a_run_has_a_timeout_of_its_own(engine: Engine) -> None:
    run = await engine.start(flows.naps(100), timeout="50ms")

    with pytest.raises(RunTimedOut):
        await run.result(timeout="30s")

    assert (await run.info()).status == "timed_out"


async def test_a_timed_out_run_is_asked_to_stop_once(engine: Engine) -> None:
    run = await engine.start(flows.naps(100), timeout="50ms")
    with pytest.raises(RunTimedOut):
        await run.result(timeout="30s")

    kinds = [record.kind async for record in run.journal()]

    assert kinds.count("cancel_requested") == 1
