"""Children of runs: what becomes of them with their parent, and of it with them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from outlast import Engine, step, wf, workflow
from outlast.errors import (
    ChildFailed,
    RunCancelled,
    RunFailed,
    RunNotFound,
    RunTerminated,
)
from outlast.testing import crash_everywhere
from tests.unit.engine import flows

_may_complete: list[bool] = []


@workflow
async def named_child() -> int:
    """Do a little."""
    return await flows.add(1, 2)


@workflow
async def parent_of_named() -> int:
    """Fail after the child, until it may complete."""
    child = wf.start(named_child(), id=f"{wf.run_id}-0")
    value = await child.result()
    if not _may_complete:
        raise ValueError("not yet")
    return value


async def test_a_failed_parent_starts_again_with_its_named_children(engine: Engine) -> None:
    _may_complete.clear()
    with pytest.raises(RunFailed, match="not yet"):
        await engine.run(parent_of_named(), id="parent", timeout="30s")
    _may_complete.append(True)

    assert await engine.run(parent_of_named(), id="parent", timeout="30s") == 3


@pytest.mark.parametrize(
    ("policy", "ends"), [("cancel", "cancelled"), ("terminate", "terminated"), ("abandon", None)]
)
async def test_children_follow_their_policy(engine: Engine, policy: str, ends: str | None) -> None:
    parent = await engine.start(flows.parent_of(0.4, policy))
    assert await parent.result() == "closed"
    kid = engine.get(f"{parent.id}-kid", flows.naps)

    if ends is None:
        assert await kid.result(timeout="30s") == "awake"
    else:
        with pytest.raises((RunCancelled, RunTerminated)):
            await kid.result(timeout="30s")
        assert (await kid.info()).status == ends
    assert (await kid.info()).parent == parent.id


async def test_a_failed_child_raises_child_failed_with_its_cause(engine: Engine) -> None:
    @workflow
    async def parent() -> str:
        try:
            await flows.fails("broken")
        except ChildFailed as error:
            return f"{type(error.cause).__name__}: {error.cause}"
        return "fine"

    assert "broken" in await engine.run(parent())


@step(name="children.pass_time")
async def pass_time() -> None:
    """Take a record."""


@workflow
async def naps_long() -> None:
    await asyncio.sleep(100_000)


Verb = Literal["cancel", "terminate"]


@workflow
async def stops(verb: Verb, count: int, *, after_step: bool) -> list[str]:
    """Start children, and stop each at once."""
    ends: list[str] = []
    for _ in range(count):
        child = wf.start(naps_long())
        if after_step:
            await pass_time()
        await (child.cancel("not needed") if verb == "cancel" else child.terminate("not needed"))
        try:
            await child.result()
        except ChildFailed as failed:
            ends.append(type(failed.cause).__name__)
    return ends


@pytest.mark.parametrize("after_step", [False, True])
@pytest.mark.parametrize(
    ("verb", "end"), [("cancel", "RunCancelled"), ("terminate", "RunTerminated")]
)
async def test_a_child_may_be_stopped_in_the_turn_in_which_it_was_started(
    engine: Engine, verb: Verb, end: str, after_step: bool
) -> None:
    async with asyncio.timeout(20):
        assert await engine.run(stops(verb, 2, after_step=after_step)) == [end, end]


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_a_crash_loses_no_word_to_a_child(verb: Verb) -> None:
    async with asyncio.timeout(20):
        assert await crash_everywhere(stops(verb, 1, after_step=True)) == []


@workflow
async def cleans_up_slowly() -> None:
    try:
        await asyncio.sleep(100_000)
    finally:
        async with wf.shield("1h"):
            await asyncio.sleep(1_000)


@workflow
async def waits_for_cleanup() -> None:
    child = wf.start(cleans_up_slowly(), id="cleans")
    await pass_time()
    await child.cancel("enough")
    await child.result()


async def kinds_of(engine: Engine, run: str) -> list[str]:
    try:
        return [record.kind async for record in engine.get(run).journal()]
    except RunNotFound:
        return []


async def test_a_parent_that_replays_asks_a_child_to_stop_once(tmp_path: Path) -> None:
    path = str(tmp_path / "outlast.db")
    for life in range(3):
        async with Engine.open(path) as engine:
            if not life:
                await engine.start(waits_for_cleanup(), id="p")
            await flows.until_waiting(engine.get("p"))
            async with asyncio.timeout(20):
                while "cancel_requested" not in await kinds_of(engine, "cleans"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await flows.until_waiting(engine.get("cleans"))
    async with Engine.open(path) as engine:
        assert (await kinds_of(engine, "cleans")).count("cancel_requested") == 1
