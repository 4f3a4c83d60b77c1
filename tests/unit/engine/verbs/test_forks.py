"""Runs made of another one's past, and two runs side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import (
    Engine,
    wf,
    workflow,
)
from outlast.errors import (
    DecodingError,
    RunNotFound,
    UsageError,
)
from tests.unit.engine.drawing import (
    asked,
    asks_first,
    big,
    broken,
    calls,
    draw,
    draw_once,
    hears,
    keys_of,
    mark,
    parent_of_fork,
    raises,
    result_of,
    spoken,
    three,
    word,
)


@pytest.fixture(autouse=True)
def _clean() -> None:
    calls.clear()
    broken.clear()


# ------------------------------------------------------------------------------ forks
async def test_a_fork_reuses_what_was_before_and_does_the_rest_again(engine: Engine) -> None:
    run = await engine.start(three(), attributes={"customer": "7"})
    assert await run.result("30s") == ["a1", "b1", "c1"]

    forked = await run.fork((await keys_of(run))[1])

    assert forked.id != run.id
    assert forked.created
    assert await result_of(forked) == ["a1", "b2", "c2"]
    assert calls == ["a", "b", "c", "b", "c"]
    info = await forked.info()
    assert info.attributes == {"customer": "7", "forked_from": run.id}
    assert [i.id async for i in engine.runs(f"forked_from:{run.id}")] == [forked.id]
    assert await run.result("30s") == ["a1", "b1", "c1"]


@pytest.mark.parametrize("how", ["seq", "key", "short name", "full name"])
async def test_a_point_is_a_seq_a_key_or_a_name(engine: Engine, how: str) -> None:
    @workflow(name=f"points {how}")
    async def points() -> list[str]:
        return [await draw("a"), await draw_once("b")]

    run = await engine.start(points())
    await run.result("30s")
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
    await run.result("30s")
    keys = await keys_of(run)

    forked = await run.fork(keys[1], input={"first": "a", "last": "z"})

    assert await result_of(forked) == ["a1", "b2", "z1"]
    with pytest.raises(DecodingError, match="last"):
        await run.fork(keys[1], input={"last": 7})


@pytest.mark.parametrize("at", [0, 1, 99, True, "draw", "nothing"])
async def test_a_point_that_is_none_is_refused(engine: Engine, at: int | str) -> None:
    run = await engine.start(three())
    await run.result("30s")

    with pytest.raises(UsageError):
        await run.fork(at)
    with pytest.raises(RunNotFound):
        await engine.get("nobody").fork(2)


async def test_readers_of_a_fork_find_what_was_before_the_point(engine: Engine) -> None:
    run = await engine.start(three())
    await run.result("30s")
    keys = await keys_of(run)

    forked = await run.fork(keys[2])
    await result_of(forked)

    heard = [e.value async for e in forked.stream(spoken) if e.kind == "data"]
    assert heard == ["a!", "b!", "c!"]
    assert await forked.read(mark) == "after b"


async def test_a_fork_of_an_open_run_goes_on_by_itself(engine: Engine) -> None:
    run = await engine.start(hears())
    async with asyncio.timeout(30):
        while "signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)

    forked = await run.fork((await keys_of(run))[1])
    await forked.signal(word, "to the fork")
    await run.signal(word, "to the first")

    assert await result_of(forked) == ["a1", "b2", "to the fork"]
    assert await result_of(run) == ["a1", "b1", "to the first"]


async def test_children_that_had_ended_are_results_and_others_are_its_own(engine: Engine) -> None:
    run = await engine.start(parent_of_fork())
    assert await run.result("30s") == ["x1", "mid1", "y1"]

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
        await run.result("30s")
        forked = await run.fork("draw")
        await forked.result("30s")
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

    assert (await forked.result("30s"))[0] == f"for {forked.id}"
    assert (await run.result("30s"))[0] == f"for {run.id}"


async def test_a_fork_keeps_an_answer_that_was_given(engine: Engine) -> None:
    run = await engine.start(asks_first())
    await engine.approve((await asked(engine, 1))[0].id, by="ann")
    await run.result("30s")

    forked = await run.fork("draw")

    assert await forked.result("30s") == ["ann", "done2"]
    tokens = {i.run: (i.status, i.by) async for i in engine.tokens(open_only=False)}
    assert tokens[forked.id] == tokens[run.id] == ("answered", "ann")


patience = [0.3]  # seconds


@workflow
async def asks_for_a_moment() -> str:
    return f"{(await wf.approve('ok?', timeout=patience[0])).by}"


async def test_a_fork_asks_again_and_people_have_the_whole_time(engine: Engine) -> None:
    patience[0] = 0.3
    run = await engine.start(asks_for_a_moment())
    assert await run.result("30s") == "None"  # it ran out

    patience[0] = 60.0
    for at in (2, 3, "approval"):
        forked = await run.fork(at)
        await engine.approve((await asked(engine, 1))[0].id, by=f"ann {at}")
        assert await forked.result("30s") == f"ann {at}"

    patience[0] = 0.3
    late = await run.fork(2)
    assert await late.result("30s") == "None"


# ------------------------------------------------------------------------ side by side
async def test_two_runs_are_the_same_up_to_where_they_part(engine: Engine) -> None:
    run = await engine.start(three())
    await run.result("30s")
    keys = await keys_of(run)
    forked = await run.fork(keys[1])
    await forked.result("30s")

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
    await short.result("30s")
    await long.result("30s")

    rows = (await engine.diff(short.id, long.id)).rows

    assert [row.key for row in rows if row.a is None] != []
    assert all(row.differs for row in rows if row.a is None or row.b is None)
    with pytest.raises(RunNotFound):
        await engine.diff(short.id, "nobody")
