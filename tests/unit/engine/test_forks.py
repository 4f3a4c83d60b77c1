"""Runs made of another one's past: forks, and retries under the same id."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import (
    Engine,
    OutcomeUnknown,
    Retry,
    Run,
    Signal,
    Stream,
    TokenInfo,
    Value,
    step,
    this_step,
    wf,
    workflow,
)
from outlast.errors import (
    ChildFailed,
    DecodingError,
    RunCancelled,
    RunClosed,
    RunFailed,
    RunNotFound,
    RunTerminated,
    RunTimedOut,
    UsageError,
)

calls: list[str] = []
broken: set[str] = set()
spoken = Stream("forks_spoken", str)
mark = Value("forks_mark", str)
word = Signal("forks_word", str)


@pytest.fixture(autouse=True)
def _clean() -> None:
    calls.clear()
    broken.clear()


@step
async def draw(name: str) -> str:
    """Note each call; fail while it is broken."""
    calls.append(name)
    await spoken.write(f"{name}!")
    if name in broken:
        raise ValueError(f"{name} is broken")
    return f"{name}{calls.count(name)}"


@step(once="at_most")
async def draw_once(name: str) -> str:
    """Fail while it is broken, at most once."""
    calls.append(name)
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name


@step(retry=Retry(attempts=2, first="1ms", then="park"))
async def draw_or_park(name: str) -> str:
    """Fail while it is broken, then need a person."""
    calls.append(name)
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name


@step
async def big(size: int) -> str:
    """Return something that is kept apart."""
    calls.append("big")
    return "x" * size


@workflow
async def three(first: str = "a", last: str = "c") -> list[str]:
    """Three steps, with a value and a stream between."""
    out = [await draw(first)]
    mark.set(f"after {first}")
    out.append(await draw("b"))
    mark.set("after b")
    out.append(await draw(last))
    return out


@workflow
async def catches_then_fails() -> str:
    """An error that is caught is not what the run fails of."""
    try:
        await draw("caught")
    except ValueError:
        await draw("between")
    return await draw("fatal")


@workflow
async def child_of_fork(name: str) -> str:
    """One step."""
    return await draw(name)


@workflow
async def parent_of_fork() -> list[str]:
    """A child before the point, and one behind it."""
    return [await child_of_fork("x"), await draw("mid"), await child_of_fork("y")]


@workflow
async def hears() -> list[str]:
    """Fail after something was heard, or before."""
    first = await draw("a")
    return [first, await draw("b"), await word.receive()]


@workflow
async def asks_first() -> list[object]:
    """An approval, then a step."""
    said = await wf.approve("May I?")
    return [said.by, await draw("done")]


@workflow
async def raises() -> str:
    """Raise in the workflow's own code."""
    name = await draw("a")
    if "code" in broken:
        raise RuntimeError("a mistake")
    return name


async def keys_of(run: Run[list[str]]) -> list[str]:
    """Return the keys of its steps, in order."""
    return [r.key async for r in run.journal() if r.kind == "step_done"]


async def asked(engine: Engine, count: int) -> list[TokenInfo]:
    """Return what waits for an answer, when there is so much."""
    async with asyncio.timeout(5):
        while True:
            infos = [info async for info in engine.tokens()]
            if len(infos) == count:
                return infos
            await asyncio.sleep(0.005)


async def result_of(run: Run[list[str]]) -> list[str]:
    return await run.result("5s")


# ------------------------------------------------------------------------------ forks
async def test_a_fork_reuses_what_was_before_and_does_the_rest_again(engine: Engine) -> None:
    run = await engine.start(three(), attributes={"customer": "7"})
    assert await run.result("5s") == ["a1", "b1", "c1"]

    forked = await run.fork((await keys_of(run))[1])

    assert forked.id != run.id
    assert forked.created
    assert await result_of(forked) == ["a1", "b2", "c2"]
    assert calls == ["a", "b", "c", "b", "c"]
    info = await forked.info()
    assert info.attributes == {"customer": "7", "forked_from": run.id}
    assert [i.id async for i in engine.runs(f"forked_from:{run.id}")] == [forked.id]
    assert await run.result("5s") == ["a1", "b1", "c1"]


@pytest.mark.parametrize("how", ["seq", "key", "short name", "full name"])
async def test_a_point_is_a_seq_a_key_or_a_name(engine: Engine, how: str) -> None:
    @workflow(name=f"points {how}")
    async def points() -> list[str]:
        return [await draw("a"), await draw_once("b")]

    run = await engine.start(points())
    await run.result("5s")
    ends = [r async for r in run.journal() if r.kind == "step_done"]
    points_to: dict[str, int | str] = {
        "seq": ends[1].seq,
        "key": ends[1].key,
        "short name": "draw_once",
        "full name": ends[1].name,
    }

    forked = await run.fork(points_to[how])

    assert await result_of(forked) == ["a1", "b"]
    assert calls == ["a", "b", "b"]


async def test_a_fork_takes_other_arguments(engine: Engine) -> None:
    run = await engine.start(three())
    await run.result("5s")
    keys = await keys_of(run)

    forked = await run.fork(keys[1], input={"first": "a", "last": "z"})

    assert await result_of(forked) == ["a1", "b2", "z1"]
    with pytest.raises(DecodingError, match="last"):
        await run.fork(keys[1], input={"last": 7})


@pytest.mark.parametrize("at", [0, 1, 99, True, "draw", "nothing"])
async def test_a_point_that_is_none_is_refused(engine: Engine, at: int | str) -> None:
    run = await engine.start(three())
    await run.result("5s")

    with pytest.raises(UsageError):
        await run.fork(at)
    with pytest.raises(RunNotFound):
        await engine.get("nobody").fork(2)


async def test_readers_of_a_fork_find_what_was_before_the_point(engine: Engine) -> None:
    run = await engine.start(three())
    await run.result("5s")
    keys = await keys_of(run)

    forked = await run.fork(keys[2])
    await result_of(forked)

    heard = [e.value async for e in forked.stream(spoken) if e.kind == "data"]
    assert heard == ["a!", "b!", "c!"]
    assert await forked.read(mark) == "after b"


async def test_a_fork_of_an_open_run_goes_on_by_itself(engine: Engine) -> None:
    run = await engine.start(hears())
    async with asyncio.timeout(5):
        while "signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)

    forked = await run.fork((await keys_of(run))[1])
    await forked.signal(word, "to the fork")
    await run.signal(word, "to the first")

    assert await result_of(forked) == ["a1", "b2", "to the fork"]
    assert await result_of(run) == ["a1", "b1", "to the first"]


async def test_children_that_had_ended_are_results_and_others_are_its_own(engine: Engine) -> None:
    run = await engine.start(parent_of_fork())
    assert await run.result("5s") == ["x1", "mid1", "y1"]

    forked = await run.fork((await keys_of(run))[0])

    assert await result_of(forked) == ["x1", "mid2", "y2"]
    children = {i.parent: i.id async for i in engine.runs(f"parent:{forked.id}")}
    assert list(children) == [forked.id]


async def test_what_is_kept_apart_is_kept_for_both(tmp_path: Path) -> None:
    @workflow(name="forks_of_blobs")
    async def blobs() -> list[int]:
        text = await big(50_000)
        return [len(text), len(await draw("b"))]

    path = tmp_path / "outlast.db"
    async with Engine.open(path, retention=None) as engine:
        run = await engine.start(blobs(), id="first")
        await run.result("5s")
        forked = await run.fork("draw")
        await forked.result("5s")
        await engine._core.store.prune((1 << 62), 1)  # the older of the two

    async with Engine.open(path) as engine:
        left = [info.id async for info in engine.runs()]
        assert left == [forked.id]
        values = [r.value async for r in engine.get(forked.id).journal() if "big" in r.key]
        assert values == ["x" * 50_000]


async def test_a_fork_asks_again_what_was_open(engine: Engine) -> None:
    run = await engine.start(asks_first())
    await asked(engine, 1)

    forked = await run.fork(3)  # behind the question

    for info in await asked(engine, 2):
        await engine.approve(info.id, by=f"for {info.run}")

    assert (await forked.result("5s"))[0] == f"for {forked.id}"
    assert (await run.result("5s"))[0] == f"for {run.id}"


async def test_a_fork_keeps_an_answer_that_was_given(engine: Engine) -> None:
    run = await engine.start(asks_first())
    await engine.approve((await asked(engine, 1))[0].id, by="ann")
    await run.result("5s")

    forked = await run.fork("draw")

    assert await forked.result("5s") == ["ann", "done2"]
    tokens = {i.run: (i.status, i.by) async for i in engine.tokens(open_only=False)}
    assert tokens[forked.id] == tokens[run.id] == ("answered", "ann")


# ---------------------------------------------------------------------------- retries
async def test_a_failed_run_does_the_failed_step_again_under_its_id(engine: Engine) -> None:
    broken.add("b")
    run = await engine.start(three(), id="r")
    with pytest.raises(RunFailed, match="b is broken"):
        await run.result("5s")
    broken.clear()

    await run.retry()

    assert await run.result("5s") == ["a1", "b2", "c1"]
    assert calls == ["a", "b", "b", "c"]
    assert (await run.info()).steps == 3
    records = [r async for r in run.journal()]
    assert [r.seq for r in records] == list(range(1, len(records) + 1))


async def test_a_failure_that_was_caught_is_not_done_again(engine: Engine) -> None:
    broken.update(("caught", "fatal"))
    run = await engine.start(catches_then_fails())
    with pytest.raises(RunFailed, match="fatal is broken"):
        await run.result("5s")
    broken.clear()

    await run.retry()

    assert await run.result("5s") == "fatal2"
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
    async with asyncio.timeout(5):
        while "then" not in calls:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    await run.signal(word, "hello")
    with pytest.raises(RunFailed):
        await run.result("5s")
    broken.clear()

    await run.retry()

    assert (await run.result("5s"))[0] == "hello"


async def test_code_that_raised_goes_on_from_its_last_record(engine: Engine) -> None:
    broken.add("code")
    run = await engine.start(raises())
    with pytest.raises(RunFailed, match="a mistake"):
        await run.result("5s")
    broken.clear()

    await run.retry()

    assert await run.result("5s") == "a1"
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
        await run.result("5s")
    broken.clear()

    await run.retry()

    assert await run.result("5s") == "x"
    assert calls == ["x", "x"]


async def test_a_child_that_failed_is_started_again(engine: Engine) -> None:
    broken.add("y")
    run = await engine.start(parent_of_fork(), id="p")
    with pytest.raises(RunFailed, match="did not complete"):
        await run.result("5s")
    broken.clear()

    await run.retry()

    assert await run.result("5s") == ["x1", "mid1", "y2"]
    assert calls == ["x", "mid", "y", "y"]


async def test_a_cancelled_run_lives_again_without_the_request(engine: Engine) -> None:
    run = await engine.start(hears())
    async with asyncio.timeout(5):
        while "signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    await run.cancel()
    with pytest.raises(RunCancelled):
        await run.result("5s")

    await run.retry()
    await run.signal(word, "again")

    assert await run.result("5s") == ["a1", "b1", "again"]


async def test_a_terminated_run_and_one_that_timed_out_go_on(engine: Engine) -> None:
    ended = await engine.start(hears())
    await ended.terminate()
    with pytest.raises(RunTerminated):
        await ended.result("5s")
    late = await engine.start(hears(), timeout="60ms")
    with pytest.raises(RunTimedOut):
        await late.result("5s")

    for run in (ended, late):
        await run.retry()
        await run.signal(word, "again")
        assert (await run.result("5s"))[2] == "again"


async def test_a_parked_run_is_resumed(engine: Engine) -> None:
    @workflow(name="retries_parked")
    async def parks() -> str:
        return await draw_or_park("p")

    broken.add("p")
    run = await engine.start(parks())
    async with asyncio.timeout(5):
        while (await run.info()).status != "parked":  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    broken.clear()

    await run.retry()

    assert await run.result("5s") == "p"
    assert calls == ["p", "p", "p"]


async def test_what_completed_or_goes_on_is_not_done_again(engine: Engine) -> None:
    complete, open_ = await engine.start(three()), await engine.start(hears())
    await complete.result("5s")

    with pytest.raises(RunClosed):
        await complete.retry()
    with pytest.raises(UsageError, match="nothing to do again"):
        await open_.retry()
    with pytest.raises(RunNotFound):
        await engine.get("nobody").retry()


async def test_a_retried_run_is_whole_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    broken.add("b")
    async with Engine.open(path) as engine:
        run = await engine.start(three(), id="r")
        with pytest.raises(RunFailed):
            await run.result("5s")
    async with Engine.open(path, recover=False) as engine:
        broken.clear()
        await engine.get("r").retry()
    async with Engine.open(path) as engine:
        assert await engine.get("r", three).result("5s") == ["a1", "b2", "c1"]


async def test_a_key_is_the_same_in_another_life_and_another_in_a_fork(engine: Engine) -> None:
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
        await run.result("5s")
    broken.clear()
    await run.retry()
    await run.result("5s")
    await (await run.fork("tells_key")).result("5s")

    assert keys[0] == keys[1] != keys[2]


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
        await run.result("5s")
    for child in [info.id async for info in engine.runs(f"parent:{run.id}")]:
        with pytest.raises(RunCancelled):
            await engine.get(child).result("5s")
    broken.clear()

    await run.retry()

    assert "from above" in await run.result("5s")


# ------------------------------------------------------------------------ side by side
async def test_two_runs_are_the_same_up_to_where_they_part(engine: Engine) -> None:
    run = await engine.start(three())
    await run.result("5s")
    keys = await keys_of(run)
    forked = await run.fork(keys[1])
    await forked.result("5s")

    found = await engine.diff(run.id, forked.id)
    by_key = {row.key: row for row in found.rows}

    assert not by_key[keys[0]].differs
    parted = by_key[keys[1]]
    assert parted.differs
    assert parted.a is not None
    assert parted.b is not None
    assert (parted.a.value, parted.b.value) == ("b1", "b2")
    assert (await engine.diff(run.id, run.id)).first is None
    assert found.first is not None
    assert found.first <= parted.a.seq


async def test_what_only_one_run_has_stands_alone(engine: Engine) -> None:
    short, long = await engine.start(raises()), await engine.start(three())
    await short.result("5s")
    await long.result("5s")

    rows = (await engine.diff(short.id, long.id)).rows

    assert [row.key for row in rows if row.a is None] != []
    assert all(row.differs for row in rows if row.a is None or row.b is None)
    with pytest.raises(RunNotFound):
        await engine.diff(short.id, "nobody")
