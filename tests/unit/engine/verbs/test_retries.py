"""Runs that did not complete and go on in another life under the same id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outlast import (
    Engine,
    OutcomeUnknown,
    Retry,
    step,
    this_step,
    wf,
    workflow,
)
from outlast._store.rows import RunRow
from outlast._store.transactions import Receipt, Transaction
from outlast.errors import (
    ChildFailed,
    RunCancelled,
    RunClosed,
    RunFailed,
    RunNotFound,
    RunTerminated,
    RunTimedOut,
    UsageError,
)
from outlast.types import RunId
from tests.unit.engine.drawing import (
    asked,
    broken,
    calls,
    catches_then_fails,
    draw,
    draw_once,
    draw_or_park,
    hears,
    parent_of_fork,
    raises,
    three,
    word,
)


@pytest.fixture(autouse=True)
def _clean() -> None:
    calls.clear()
    broken.clear()


# ---------------------------------------------------------------------------- retries
async def test_a_failed_run_does_the_failed_step_again_under_its_id(engine: Engine) -> None:
    broken.add("b")
    run = await engine.start(three(), id="r")
    with pytest.raises(RunFailed, match="b is broken"):
        await run.result("30s")
    broken.clear()

    await run.retry()

    assert await run.result("30s") == ["a1", "b2", "c1"]
    assert calls == ["a", "b", "b", "c"]
    assert (await run.info()).steps == 3
    records = [r async for r in run.journal()]
    assert [r.seq for r in records] == list(range(1, len(records) + 1))


async def test_a_retried_run_was_created_once_and_starts_with_each_life(engine: Engine) -> None:
    broken.add("code")
    run = await engine.start(raises(), id="r", timeout="1h")
    with pytest.raises(RunFailed):
        await run.result(timeout="30s")
    first = await run.info()
    row = await engine._core.store.read_run(RunId("r"))

    for _ in range(2):
        before = datetime.now(UTC)
        await run.retry()
        with pytest.raises(RunFailed):
            await run.result(timeout="30s")
        again, began = await run.info(), engine._core.world.now()

        assert again.created_at == first.created_at
        assert again.started_at is not None
        assert again.started_at >= before
        retried = await engine._core.store.read_run(RunId("r"))
        # Each life has the whole timeout, counted from when it was made.
        assert row is not None
        assert retried is not None
        assert row.timeout_at is not None
        assert retried.timeout_at is not None
        assert row.timeout_at < retried.timeout_at <= began + 3_600_000_000


async def test_a_failure_that_was_caught_is_not_done_again(engine: Engine) -> None:
    broken.update(("caught", "fatal"))
    run = await engine.start(catches_then_fails())
    with pytest.raises(RunFailed, match="fatal is broken"):
        await run.result("30s")
    broken.clear()

    await run.retry()

    assert await run.result("30s") == "fatal2"
    assert calls == ["caught", "between", "fatal", "fatal"]


async def test_what_was_heard_behind_the_failure_is_kept(engine: Engine) -> None:
    @workflow(name="hears_while_failing")
    async def hearing() -> list[str]:
        failing = asyncio.ensure_future(draw("b"))
        said = asyncio.ensure_future(word.receive())
        await asyncio.wait([failing])
        await draw("then")
        heard = await said
        return [heard, await failing]

    broken.add("b")
    run = await engine.start(hearing())
    async with asyncio.timeout(30):
        while "then" not in calls:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    await run.signal(word, "hello")
    with pytest.raises(RunFailed):
        await run.result("30s")
    broken.clear()

    await run.retry()

    assert (await run.result("30s"))[0] == "hello"


async def test_code_that_raised_goes_on_from_its_last_record(engine: Engine) -> None:
    broken.add("code")
    run = await engine.start(raises())
    with pytest.raises(RunFailed, match="a mistake"):
        await run.result("30s")
    broken.clear()

    await run.retry()

    assert await run.result("30s") == "a1"
    assert calls == ["a"]


async def test_an_at_most_once_step_that_failed_is_done_again_when_a_person_says_so(
    engine: Engine,
) -> None:
    @workflow(name="retries_at_most_once")
    async def once() -> str:
        try:
            return await draw_once("x")
        except OutcomeUnknown:
            return "unknown"

    broken.add("x")
    run = await engine.start(once())
    with pytest.raises(RunFailed):
        await run.result("30s")
    broken.clear()

    await run.retry()

    assert await run.result("30s") == "x"
    assert calls == ["x", "x"]


async def test_a_child_that_failed_is_started_again(engine: Engine) -> None:
    broken.add("y")
    run = await engine.start(parent_of_fork(), id="p")
    with pytest.raises(RunFailed, match="did not complete"):
        await run.result("30s")
    broken.clear()

    await run.retry()

    assert await run.result("30s") == ["x1", "mid1", "y2"]
    assert calls == ["x", "mid", "y", "y"]


async def test_a_cancelled_run_lives_again_without_the_request(engine: Engine) -> None:
    run = await engine.start(hears())
    async with asyncio.timeout(30):
        while "signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    await run.cancel()
    with pytest.raises(RunCancelled):
        await run.result("30s")

    await run.retry()
    await run.signal(word, "again")

    assert await run.result("30s") == ["a1", "b1", "again"]


async def test_a_terminated_run_and_one_that_timed_out_go_on(engine: Engine) -> None:
    ended = await engine.start(hears())
    await ended.terminate()
    with pytest.raises(RunTerminated):
        await ended.result("30s")
    # In its second life it has so long again: enough for a slow machine.
    late = await engine.start(hears(), timeout="2s")
    with pytest.raises(RunTimedOut):
        await late.result("30s")

    for run in (ended, late):
        await run.retry()
        await run.signal(word, "again")
        assert (await run.result("30s"))[2] == "again"


async def test_a_parked_run_is_resumed(engine: Engine) -> None:
    @workflow(name="retries_parked")
    async def parks() -> str:
        return await draw_or_park("p")

    broken.add("p")
    run = await engine.start(parks())
    async with asyncio.timeout(30):
        while (await run.info()).status != "parked":  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    broken.clear()

    await run.retry()

    assert await run.result("30s") == "p"
    assert calls == ["p", "p", "p"]


async def test_a_parked_run_that_was_terminated_does_its_spent_steps_anew_on_the_first_retry(
    engine: Engine,
) -> None:
    @workflow(name="retries_parked_and_ended")
    async def parks() -> list[str]:
        return [await draw("before"), *await asyncio.gather(draw_or_park("p"), draw_or_park("q"))]

    broken.update(("p", "q"))
    run = await engine.start(parks())
    async with asyncio.timeout(30):
        while (await run.info()).status != "parked":  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    await run.terminate()
    with pytest.raises(RunTerminated):
        await run.result("30s")
    broken.clear()

    await run.retry()

    assert await run.result("30s") == ["before1", "p", "q"]
    assert calls.count("before") == 1


async def test_what_completed_or_goes_on_is_not_done_again(engine: Engine) -> None:
    complete, open_ = await engine.start(three()), await engine.start(hears())
    await complete.result("30s")

    with pytest.raises(RunClosed):
        await complete.retry()
    with pytest.raises(UsageError, match="it has not failed"):
        await open_.retry()
    with pytest.raises(RunNotFound):
        await engine.get("nobody").retry()


async def test_of_two_who_retry_at_once_one_does_and_the_other_is_told(engine: Engine) -> None:
    broken.add("b")
    run = await engine.start(three(), id="r")
    with pytest.raises(RunFailed):
        await run.result("30s")
    broken.clear()

    told = await asyncio.gather(*(run.retry() for _ in range(3)), return_exceptions=True)

    assert told.count(None) == 1
    refused = [error for error in told if isinstance(error, UsageError | RunClosed)]
    assert len(refused) == 2
    assert await run.result("30s") == ["a1", "b2", "c1"]


async def test_a_retried_run_is_whole_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    broken.add("b")
    async with Engine.open(path) as engine:
        run = await engine.start(three(), id="r")
        with pytest.raises(RunFailed):
            await run.result("30s")
    async with Engine.open(path, recover=False) as engine:
        broken.clear()
        await engine.get("r").retry()
    async with Engine.open(path) as engine:
        assert await engine.get("r", three).result("30s") == ["a1", "b2", "c1"]


async def test_a_key_is_the_same_in_another_life_and_in_a_fork_unless_new(engine: Engine) -> None:
    keys: list[str] = []

    @step(name="forks.tells_key")
    async def tells_key() -> str:
        keys.append(this_step().key)
        if "key" in broken:
            raise ValueError("broken")
        return "told"

    @workflow(name="forks_and_keys")
    async def tells() -> str:
        return await tells_key()

    broken.add("key")
    run = await engine.start(tells(), id="k")
    with pytest.raises(RunFailed):
        await run.result("30s")
    broken.clear()
    await run.retry()
    await run.result("30s")
    await (await run.fork("tells_key")).result("30s")
    await (await run.fork("tells_key", keys="new")).result("30s")

    assert keys[0] == keys[1] == keys[2] != keys[3]


async def test_children_of_a_closed_parent_do_not_disturb_its_next_life(engine: Engine) -> None:
    @workflow(name="parent_with_open_child")
    async def parent() -> str:
        child = wf.start(hears())
        name = await draw("a")
        if "code" in broken:
            raise RuntimeError("stop")
        await child.signal(word, "from above")
        try:
            return f"{name} {await child.result()}"
        except ChildFailed as failed:
            return f"{failed}"

    broken.add("code")
    run = await engine.start(parent())
    with pytest.raises(RunFailed):
        await run.result("30s")
    for child in [info.id async for info in engine.runs(f"parent:{run.id}")]:
        with pytest.raises(RunCancelled):
            await engine.get(child).result("30s")
    broken.clear()

    await run.retry()

    assert "from above" in await run.result("30s")


@step(name="retries_twice", retry=Retry(attempts=2, first="1ms"))
async def twice() -> None:
    calls.append(f"{this_step().attempt}")
    if this_step().attempt == 1:
        raise ValueError("once")


@workflow(name="retries_twice_flow")
async def tries_twice() -> None:
    await twice()


async def test_no_step_starts_behind_a_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        store = engine._core.store
        read, asked, drained = store.read_value, asyncio.Event(), asyncio.Event()

        async def read_late(run: RunId, name: str) -> bytes | None:
            asked.set()
            await drained.wait()
            return await read(run, name)

        monkeypatch.setattr(store, "read_value", read_late)
        await engine.start(tries_twice(), id="r")
        await asked.wait()  # its second attempt reads the last heartbeat before it starts
        await engine.drain("0s")
        drained.set()
        await asyncio.sleep(0.05)
        assert calls == ["1"]


@workflow
async def asks_for_a_moment_too() -> str:
    return f"{(await wf.approve('ok?', timeout=60)).by}"


async def test_a_run_that_lives_again_asks_again_and_people_have_the_whole_time(
    engine: Engine,
) -> None:
    run = await engine.start(asks_for_a_moment_too(), id="a")
    first = (await asked(engine, 1))[0]
    await run.terminate()
    with pytest.raises(RunTerminated):
        await run.result("30s")

    await run.retry()
    second = (await asked(engine, 1))[0]
    assert second.expires_at is not None
    assert first.expires_at is not None
    assert second.expires_at > first.expires_at
    await engine.approve(second.id, by="ann")
    assert await engine.get("a", asks_for_a_moment_too).result("30s") == "ann"


async def test_a_verb_for_a_run_that_has_ended_says_what_can_be_done(engine: Engine) -> None:
    run = await engine.start(three())
    await run.result("30s")
    for verb in (run.retry, run.retry_plan, run.pause, run.resume):
        with pytest.raises(RunClosed, match=r"has ended \(completed\), so .* cannot .*fork\(at\)"):
            await verb()

    broken.add("b")
    failed = await engine.start(three())
    with pytest.raises(RunFailed):
        await failed.result("30s")
    with pytest.raises(RunClosed, match=r"has ended \(failed\), so .* `outlast retry ID`"):
        await failed.pause()


@pytest.mark.parametrize("verb", ["signal", "pause"])
async def test_what_is_refused_while_the_run_is_retried_is_sent_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    run = await engine.start(hears(), id="r")
    await run.terminate()
    with pytest.raises(RunTerminated):
        await run.result(timeout="30s")
    store = engine._core.store
    read, has_posted = store.read_run, asyncio.Event()

    async def read_after_a_retry(run_id: RunId) -> RunRow | None:
        """Look as late as can be: when somebody else has retried the run."""
        row = await read(run_id)
        if has_posted.is_set() and row is not None and row.status == "terminated":
            has_posted.clear()
            await run.retry()
            return await read(run_id)
        return row

    writer = engine._core.writer
    commit = writer.commit

    async def commit_and_say(
        transaction: Transaction, made: Callable[[Receipt], None] = lambda _: None
    ) -> Receipt:
        receipt = await commit(transaction, made)
        if "closed" in receipt.posts:
            has_posted.set()
        return receipt

    monkeypatch.setattr(writer, "commit", commit_and_say)
    monkeypatch.setattr(store, "read_run", read_after_a_retry)

    if verb == "signal":
        await run.signal(word, "again")
    else:
        await run.pause()

    assert not has_posted.is_set()
    async with asyncio.timeout(30):
        if verb == "signal":
            while not [r async for r in run.journal() if r.kind == "signal"]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # it has no event
        else:
            while (await run.info()).status != "paused":  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.005)
