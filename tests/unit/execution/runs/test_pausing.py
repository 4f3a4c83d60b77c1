"""Runs that a person has asked to stand still, and to go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import (
    Actor,
    Engine,
    Retry,
    Run,
    Signal,
    Status,
    actor,
    handler,
    step,
    wf,
    workflow,
)
from outlast.errors import RunCancelled, RunClosed, RunNotFound, RunTerminated, UsageError


class Gate:
    """Closed until a test opens it; an event of its own in each test's loop."""

    def __init__(self) -> None:
        self.close()

    def close(self) -> None:
        self._event = asyncio.Event()

    def open(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


gate = Gate()
done: list[str] = []
word = Signal("pausing_word", str)


@step
async def waits_for_gate(name: str) -> str:
    """Be in flight until the gate opens."""
    await gate.wait()
    done.append(name)
    return name


@step
async def notes(name: str) -> str:
    """Be done at once."""
    done.append(name)
    return name


@step(retry=Retry(attempts=3, first="1s", jitter="none"))
async def fails_once(name: str) -> str:
    """Fail the first time."""
    done.append(name)
    if done.count(name) == 1:
        raise ConnectionError("again")
    return name


@workflow
async def two_steps() -> list[str]:
    """One after the other."""
    return [await waits_for_gate("first"), await notes("second")]


@workflow
async def listens() -> list[str]:
    """Wait for a word and for time, whatever comes."""
    said = await word.receive()
    await asyncio.sleep(0.02)
    return [said, await notes("after")]


@workflow
async def naps() -> list[str]:
    """Sleep for long enough to be paused meanwhile on a slow machine."""
    await asyncio.sleep(1)
    return [await notes("after")]


@workflow
async def retries() -> list[str]:
    """A step that is tried again."""
    return [await waits_for_gate("first"), await fails_once("second")]


@step(retry=Retry(attempts=1, then="park"))
async def breaks() -> None:
    """Fail, and wait for somebody."""
    raise ConnectionError("nobody answers")


@workflow
async def parks() -> None:
    """Be parked."""
    await breaks()


@workflow
async def tidies() -> str:
    """Clean up when cancelled."""
    try:
        await word.receive()
    finally:
        async with wf.shield():
            await notes("tidied")
    return "heard"


@pytest.fixture(autouse=True)
def _closed_gate() -> None:
    gate.close()
    done.clear()


async def until(run: Run[object], status: Status) -> None:
    """Return when the run stands so."""
    async with asyncio.timeout(30):
        while (await run.info()).status != status:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def until_begun(run: Run[object]) -> None:
    """Return when its first step is in flight."""
    async with asyncio.timeout(30):
        while "attempt 1 running" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def test_a_step_in_flight_ends_and_nothing_new_begins(engine: Engine) -> None:
    run = await engine.start(two_steps())
    await until_begun(run)

    await run.pause()
    async with asyncio.timeout(30):
        while "before it pauses" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    assert (await run.info()).status == "running"
    gate.open()
    await until(run, "paused")
    await asyncio.sleep(0.05)

    assert done == ["first"]
    assert [r.name async for r in run.journal() if r.kind == "step_done"] != []
    assert "paused" in await run.why()
    await run.resume()
    assert await run.result("30s") == ["first", "second"]
    assert done == ["first", "second"]


async def test_a_run_that_was_not_paused_is_not_resumed(engine: Engine) -> None:
    run = await engine.start(two_steps())
    await until_begun(run)
    with pytest.raises(UsageError, match="is neither paused nor parked: there is"):
        await run.resume()

    await run.pause()  # it is not paused before its step has ended
    await run.resume()
    with pytest.raises(UsageError, match="nothing to resume"):
        await run.resume()
    gate.open()
    assert await run.result("30s") == ["first", "second"]
    with pytest.raises(RunClosed):
        await run.resume()
    assert [r.kind async for r in run.journal()].count("resumed") == 1


async def test_an_actor_that_is_not_parked_is_not_resumed(engine: Engine) -> None:
    @actor
    class Tally(Actor[int]):
        @handler
        async def add(self) -> int:
            self.state += 1
            return self.state

    tally = engine.actor(Tally, "a")
    await tally.ask(Tally.add)
    with pytest.raises(UsageError, match=r"actor .* is neither paused nor parked"):
        await engine.get(tally.id).resume()


async def test_signals_and_timers_wait_while_paused(engine: Engine) -> None:
    run = await engine.start(listens())
    await run.pause()
    await until(run, "paused")

    await run.signal(word, "hello")
    await asyncio.sleep(0.06)
    info = await run.info()
    assert (info.status, info.wake_at) == ("paused", None)

    await run.resume()
    assert await run.result("30s") == ["hello", "after"]


async def test_a_timer_that_came_due_while_paused_fires_when_resumed(engine: Engine) -> None:
    run = await engine.start(naps())
    async with asyncio.timeout(30):
        while "timer" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0)
    await run.pause()
    await until(run, "paused")
    await asyncio.sleep(1.05)
    assert done == []

    await run.resume()

    assert await run.result("30s") == ["after"]


async def test_a_retry_waits_while_paused(engine: Engine) -> None:
    gate.open()
    run = await engine.start(retries())
    async with asyncio.timeout(30):
        while "second" not in done:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0)
    await run.pause()
    await until(run, "paused")
    await asyncio.sleep(1.05)
    assert done.count("second") == 1

    await run.resume()

    assert await run.result("30s") == ["first", "second"]


async def test_a_cancelled_run_goes_on_to_clean_up(engine: Engine) -> None:
    run = await engine.start(tidies())
    await run.pause()
    await until(run, "paused")

    await run.cancel("enough")

    with pytest.raises(RunCancelled, match="enough"):
        await run.result("30s")
    assert done == ["tidied"]


async def test_a_paused_run_is_terminated_without_its_code(engine: Engine) -> None:
    run = await engine.start(tidies())
    await run.pause()
    await until(run, "paused")

    await run.terminate("enough")

    with pytest.raises(RunTerminated):
        await run.result("30s")
    assert done == []


async def test_a_run_that_is_about_to_pause_is_terminated(engine: Engine) -> None:
    for _ in range(5):
        run = await engine.start(tidies())
        await run.pause()

        await run.terminate("enough")

        with pytest.raises(RunTerminated, match="enough"):
            await run.result("30s")
    assert done == []


@workflow
async def leaves_a_child() -> str:
    wf.start(tidies(), id=f"{wf.run_id}.kid", on_parent_close="terminate")
    return await word.receive()


async def test_a_paused_child_ends_with_its_parent(engine: Engine) -> None:
    run = await engine.start(leaves_a_child(), id="p")
    await until(run, "waiting")
    kid = engine.get("p.kid", tidies)
    await kid.pause()
    await until(kid, "paused")

    await run.signal(word, "go")

    assert await run.result("30s") == "go"
    with pytest.raises(RunTerminated):
        await kid.result("30s")
    assert done == []


async def test_who_is_about_to_pause_may_be_resumed(engine: Engine) -> None:
    run = await engine.start(two_steps())
    await until_begun(run)
    await run.pause()
    await run.pause()
    await run.resume()
    gate.open()

    assert await run.result("30s") == ["first", "second"]
    assert [r.kind async for r in run.journal()].count("resumed") == 1


async def test_a_run_that_ends_with_its_last_step_is_not_paused(engine: Engine) -> None:
    @workflow(name="ends_while_pausing")
    async def one_step() -> str:
        return await waits_for_gate("only")

    run = await engine.start(one_step())
    await until_begun(run)
    await run.pause()
    gate.open()

    assert await run.result("30s") == "only"
    assert [letter async for letter in engine.dead_letters()] == []


async def test_a_run_that_has_not_begun_is_paused_and_keeps_its_time(engine: Engine) -> None:
    run = await engine.start(listens(), delay="10m")
    await run.pause()
    assert (await run.info()).status == "paused"

    await run.resume()

    info = await run.info()
    assert (info.status, info.started_at) == ("pending", None)
    assert info.wake_at is not None


async def test_a_run_that_has_not_begun_is_cancelled_while_paused(engine: Engine) -> None:
    run = await engine.start(tidies(), delay="10m")
    await run.pause()

    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result("30s")
    assert done == []


async def test_only_open_runs_are_paused(engine: Engine) -> None:
    gate.open()
    run = await engine.start(two_steps())
    await run.result("30s")

    with pytest.raises(RunClosed):
        await run.pause()
    with pytest.raises(RunNotFound):
        await engine.get("nobody").pause()


# --------------------------------------------------------------- over restarts, on disk
async def test_a_paused_run_is_paused_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        run = await engine.start(listens(), id="r")
        await run.pause()
        await until(run, "paused")

    async with Engine.open(path) as engine:
        again = engine.get("r", listens)
        await again.signal(word, "hello")
        await asyncio.sleep(0.05)
        assert (await again.info()).status == "paused"
        await again.resume()
        assert await again.result("30s") == ["hello", "after"]


async def test_a_request_that_nobody_acted_on_is_acted_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        run = await engine.start(two_steps(), id="r")
        await until_begun(run)
        await run.pause()
        await engine.drain(grace="10ms")  # the step is given up in the middle

    gate.open()
    async with Engine.open(path) as engine:
        again = engine.get("r", two_steps)
        await until(again, "paused")
        await asyncio.sleep(0.05)
        assert done == []
        await again.resume()
        assert await again.result("30s") == ["first", "second"]


async def test_a_passivated_run_is_paused_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        run = await engine.start(listens(), id="r")
        async with asyncio.timeout(30):
            while "waiting for" not in await run.why():  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.005)

    async with Engine.open(path) as engine:
        again = engine.get("r", listens)
        await again.pause()
        assert (await again.info()).status == "paused"
        await again.signal(word, "hello")
        await again.resume()
        assert await again.result("30s") == ["hello", "after"]


async def test_an_actor_is_not_paused(engine: Engine) -> None:
    @actor(name="pausing.Counter")
    class Counter(Actor[int]):
        @handler
        async def up(self) -> int:
            return 1

    ref = engine.actor(Counter, "c")
    await ref.ask(Counter.up)

    with pytest.raises(UsageError, match="is an actor"):
        await engine.get(ref.id).pause()


@step(retry=Retry(attempts=1, then="park"))
async def refuses() -> None:
    raise LookupError("not yet")


@workflow
async def is_refused() -> None:
    await refuses()


async def test_a_parked_run_that_is_paused_still_says_why_it_was_parked(engine: Engine) -> None:
    run = await engine.start(is_refused(), id="r")
    await until(run, "parked")
    await run.pause()
    await run.pause()

    assert (await run.info()).status == "paused"
    why = await run.why()
    assert why.startswith("paused by an operator, until it is resumed; it was parked: step ")
    assert why.count("paused by an operator") == 1


async def parked(engine: Engine) -> Run[None]:
    """Return a run that is parked."""
    run = await engine.start(parks())
    await until(run, "parked")
    return run


async def test_a_cancellation_that_a_paused_run_keeps_is_said(engine: Engine) -> None:
    run = await parked(engine)
    await run.cancel("over")
    await run.pause()

    assert (await run.info()).status in ("parked", "paused")
    assert "a cancellation is stored" in await run.why()
    await run.resume()
    with pytest.raises(RunCancelled):
        await run.result(timeout="30s")


async def test_a_cancellation_that_a_parked_run_has_read_is_said(engine: Engine) -> None:
    run = await parked(engine)
    await run.pause()
    await run.cancel("over")
    async with asyncio.timeout(30):
        while "a cancellation is stored" not in await run.why():  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.005)
    await until(run, "parked")

    await run.resume()
    with pytest.raises(RunCancelled):
        await run.result(timeout="30s")
