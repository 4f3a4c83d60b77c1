"""Threads of `def` steps that do not come back."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast import Engine, Retry, step, this_step, wf, workflow
from outlast._wording.durations import seconds_of
from outlast.types import RunId
from tests.unit.engine import flows

hold = threading.Event()


@pytest.fixture(autouse=True)
def _released(request: pytest.FixtureRequest) -> Iterator[None]:
    if "engine" in request.fixturenames:
        request.getfixturevalue("engine")  # closed behind this: its threads are free by then
    hold.clear()
    yield
    hold.set()


@step
def threads_hold(n: int) -> int:
    hold.wait(60)
    return n


@step
def threads_next(n: int) -> int:
    return n


@workflow
async def threads_holding(count: int) -> int:
    return len(await asyncio.gather(*[threads_hold(n) for n in range(count)]))


@workflow
async def threads_abandoning(count: int) -> None:
    calls = [asyncio.ensure_future(threads_hold(n)) for n in range(count)]
    await wf.sleep(0.05)
    for call in calls:
        call.cancel()


@workflow
async def threads_waiting(n: int) -> int:
    return await threads_next(n)


async def until(engine: Engine, run: str, text: str) -> str:
    async with asyncio.timeout(30):
        while text not in (why := await engine.get(run).why()):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)
    return why


async def test_a_step_without_a_thread_is_queued_and_says_what_holds_them(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr("outlast.limits.THREADS_MAX", 3)
    monkeypatch.setattr(engine._core.scheduler.bodies.threads, "_max", 3)
    await engine.start(threads_holding(3), id="holds")
    await until(engine, "holds", "running")
    await engine.start(threads_waiting(1), id="waits")

    why = await until(engine, "waits", "queued")

    assert "all threads for steps are taken (3)" in why
    assert "threads_hold of run holds" in why
    assert "running" not in why
    hold.set()
    assert await engine.get("waits", threads_waiting).result(timeout=30) == 1


@pytest.mark.parametrize("abandoned", [False, True])
async def test_threads_that_do_not_come_back_starve_no_other_step(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    engine: Engine,
    abandoned: bool,
) -> None:
    monkeypatch.setattr("outlast.limits.THREADS_GROW_SECONDS", 0.1)
    monkeypatch.setattr(engine._core.scheduler.bodies.threads, "_max", 4)
    flow = threads_abandoning(4) if abandoned else threads_holding(4)
    holding = await engine.start(flow, id="holds")
    if abandoned:
        await holding.result(timeout=30)
    else:
        await until(engine, "holds", "running")

    with caplog.at_level(logging.WARNING, logger="outlast.steps"):
        results = [await engine.start(threads_waiting(n)) for n in range(20)]
        assert [await run.result(timeout=30) for run in results] == list(range(20))

    assert "threads_hold of run holds" in caplog.text
    assert "the maximum is now 12 threads" in caplog.text


async def test_the_threads_of_steps_are_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, engine: Engine
) -> None:
    monkeypatch.setattr("outlast.limits.THREADS_GROW_SECONDS", 0.02)
    monkeypatch.setattr("outlast.limits.THREADS_GROWN_MAX", 12)
    monkeypatch.setattr(engine._core.scheduler.bodies.threads, "_max", 4)

    with caplog.at_level(logging.WARNING, logger="outlast.steps"):
        run = await engine.start(threads_holding(20), id="holds")
        async with asyncio.timeout(30):
            while "the maximum number of threads" not in caplog.text:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)

    assert len(engine._core.scheduler.bodies.threads._taken) == 12
    hold.set()
    assert await run.result(timeout=30) == 20


async def test_a_body_that_is_cancelled_before_its_thread_begins_gives_the_thread_back(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr("outlast.limits.THREADS_GROWN_MAX", 1)  # the pool has one, and it is held
    threads = engine._core.scheduler.bodies.threads
    monkeypatch.setattr(threads, "_max", 2)
    holding = await engine.start(threads_holding(1), id="holds")
    await until(engine, "holds", "running")
    cancelled = await engine.start(threads_waiting(1), id="cancelled")
    async with asyncio.timeout(30):
        while len(threads._taken) < 2:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)

    await cancelled.terminate()
    hold.set()

    assert await holding.result(timeout=30) == 1
    assert await engine.run(threads_waiting(2)) == 2
    assert not threads._taken


began: list[float] = []  # of each attempt


second_ends: list[asyncio.Event] = []  # one for each test: an event belongs to its loop


@step(retry=Retry(attempts=2, first="500ms", jitter="none"))
async def threads_second(n: int) -> int:
    began.append(time.monotonic())
    if this_step().attempt == 1:
        raise ValueError(n)
    await second_ends[-1].wait()
    return n


@workflow
async def threads_retrying() -> int:
    return await threads_second(1)


async def test_why_counts_from_the_attempt(engine: Engine) -> None:
    began.clear()
    second_ends.append(asyncio.Event())
    run = await engine.start(threads_retrying(), id="r")

    why = await until(engine, "r", "attempt 2 running")

    asked = time.monotonic()
    async with asyncio.timeout(30):
        while len(began) < 2:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)
    seconds = seconds_of(why.rpartition(" for ")[2])
    # The second attempt begins at least half a second after the first.
    assert seconds < max(0.0, asked - began[0] - 0.5) + 0.25, "not from the first attempt"
    assert (await run.info()).status in ("running", "waiting")
    second_ends[-1].set()
    assert await run.result(timeout=30) == 1


async def test_doctor_names_what_holds_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        monkeypatch.setattr(engine._core.scheduler.bodies.threads, "_max", 2)
        await engine.start(threads_holding(2), id="holds")
        await until(engine, "holds", "running")
        await engine.start(threads_waiting(1), id="starved")
        await until(engine, "starved", "queued")
        async with asyncio.timeout(30):
            while "threads" not in await _waiting_for(engine, "starved"):  # noqa: ASYNC110  # none
                await asyncio.sleep(0.02)

        command = [sys.executable, "-m", "outlast", "doctor", "--db", str(tmp_path / "o.db")]
        done = await asyncio.to_thread(
            lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        )
        hold.set()

    line = next(line for line in done.stdout.splitlines() if "threads" in line)
    assert line.startswith("BAD")
    assert "run starved" in line
    assert "threads_hold of run holds" in line
    assert done.returncode == 1


async def _waiting_for(engine: Engine, run: str) -> str:
    row = await engine._core.store.read_run(RunId(run))
    return "" if row is None else row.waiting_for


async def test_plain_functions_run_on_a_thread(engine: Engine) -> None:
    @workflow
    async def both() -> int:
        return sum(await asyncio.gather(*(flows.blocking_add(k, 1) for k in range(5))))

    assert await engine.run(both()) == 15
