"""A run in another life, and the children that its earlier life left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Engine, Signal, step, wf, workflow
from outlast.errors import RunCancelled, RunFailed, RunTerminated

go = Signal("left_children_go", str)
closed = Signal("left_children_closed", str)
begun: list[str] = []


@step(name="left_children.begins")
async def begins(name: str) -> None:
    """Note that a child has begun."""
    begun.append(name)


@workflow(name="left_children.child")
async def child(name: str) -> str:
    """Wait for a signal; clean up until another one says that it is done."""
    await begins(name)
    try:
        said = await go.receive()
    except asyncio.CancelledError:
        async with wf.shield(grace="1h"):
            await begins("cleanup")
            await closed.receive()
        raise
    return said


@workflow(name="left_children.parent")
async def parent(policy: str = "cancel") -> str:
    """Have one child."""
    if policy == "abandon":
        return await wf.start(child("c"), on_parent_close="abandon").result()
    return await child("c")


@pytest.fixture(autouse=True)
def _clean() -> None:
    begun.clear()


async def until_begun(count: int) -> None:
    """Return when the children have begun so many things."""
    async with asyncio.timeout(30):
        while len(begun) < count:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def left_behind(engine: Engine, policy: str = "cancel") -> None:
    """Terminate a parent `p` and retry it while its child still cleans up."""
    run = await engine.start(parent(policy), id="p")
    await until_begun(1)
    await run.terminate("stop")
    with pytest.raises(RunTerminated):
        await run.result("30s")
    if policy == "cancel":
        await until_begun(2)
    await run.retry()


async def only_child(engine: Engine) -> str:
    """Return the id of the child of `p`."""
    [info] = [info async for info in engine.runs("parent:p")]
    return info.id


async def test_a_retried_parent_waits_for_a_child_that_cleans_up_and_starts_its_own(
    engine: Engine,
) -> None:
    await left_behind(engine)
    name = await only_child(engine)

    await engine.get(name).signal(closed, "done")
    await until_begun(3)
    await engine.get(name).signal(go, "hello")

    assert await engine.get("p", parent).result("30s") == "hello"
    assert begun == ["c", "cleanup", "c"]


async def test_a_parent_that_waits_for_the_child_of_an_earlier_life_survives_a_restart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        await left_behind(engine)
        name = await only_child(engine)
    async with Engine.open(path) as engine:
        await engine.get(name).signal(closed, "done")
        await until_begun(3)
    async with Engine.open(path) as engine:
        await engine.get(name).signal(go, "hello")

        assert await engine.get("p", parent).result("30s") == "hello"


async def test_a_parent_cancelled_while_it_waits_starts_no_other_child(engine: Engine) -> None:
    await left_behind(engine)
    run = engine.get("p", parent)

    await run.cancel("enough")
    await engine.get(await only_child(engine)).signal(closed, "done")

    with pytest.raises(RunCancelled):
        await run.result("30s")
    assert begun == ["c", "cleanup"]


async def test_an_abandoned_child_that_goes_on_is_named_with_what_to_do(engine: Engine) -> None:
    await left_behind(engine, "abandon")
    name = await only_child(engine)
    run = engine.get("p", parent)

    with pytest.raises(RunFailed) as refused:
        await run.result("30s")
    assert name in str(refused.value)
    assert "an earlier life of 'p' started it" in str(refused.value)

    await engine.get(name).signal(go, "first")
    assert await engine.get(name, child).result("30s") == "first"
    await run.retry()
    await until_begun(2)
    await engine.get(name).signal(go, "second")
    assert await run.result("30s") == "second"
