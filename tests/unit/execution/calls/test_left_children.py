"""A run in another life, and the children that its earlier life left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Engine, Run, Signal, step, wf, workflow
from outlast.errors import RunCancelled, RunFailed, RunTerminated
from outlast.types import OnParentClose

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


async def until_waiting(run: Run[str]) -> None:
    """Return when a run has been told that it waits."""
    async with asyncio.timeout(30):
        while (await run.info()).status != "waiting":  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


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
    await until_waiting(run)

    await run.cancel("enough")
    await engine.get(await only_child(engine)).signal(closed, "done")

    with pytest.raises(RunCancelled):
        await run.result("30s")
    assert begun == ["c", "cleanup"]


# ----------------------------------------------------------- children that are abandoned
def count(what: str) -> int:
    """Return how often an effect happened."""
    return begun.count(what)


@step(name="left_children.pays")
async def pays() -> None:
    """Fail until it is told to work."""
    begun.append("pays")
    if not working:
        raise ValueError("no money")


@step(name="left_children.sends")
async def sends(name: str) -> str:
    """Have an effect, or fail."""
    begun.append(name)
    if name in failing:
        raise ValueError(f"{name} is broken")
    return f"{name} {count(name)}"


@workflow(name="left_children.mail")
async def mail(name: str) -> str:
    """Have an effect, wait for a signal, have another one."""
    await sends(name)
    await go.receive()
    return await sends(f"{name} again")


@workflow(name="left_children.order")
async def order(name: str | None = None, before: int = 0, policy: OnParentClose = "abandon") -> str:
    """Have a child that goes on, fail, and return the child's result when that is mended."""
    started = wf.start(mail("mail"), id=name, on_parent_close=policy)
    for _ in range(before):
        await sends("step")
    await pays()
    return await started.result()


working: list[bool] = []
failing: set[str] = set()
IDS = pytest.mark.parametrize("name", [None, "fixed"])


@pytest.fixture(autouse=True)
def _broken() -> None:
    working.clear()
    failing.clear()


async def failed_order(engine: Engine, *args: str | int | None) -> tuple[Run[str], Run[object]]:
    """Return an order that has failed, and its child that goes on."""
    run = await engine.start(order(*args), id="p")  # type: ignore[arg-type]  # by position
    await has_failed(run)
    await until_sent("mail")
    return run, engine.get(await only_child(engine))


async def until_sent(what: str) -> None:
    """Return when this effect has happened."""
    async with asyncio.timeout(30):
        while what not in begun:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def has_failed(run: Run[str]) -> None:
    """Return when the order has failed of its own step."""
    with pytest.raises(RunFailed, match="no money"):
        await run.result("30s")


@IDS
async def test_an_abandoned_child_that_completed_gives_its_result_to_the_retried_parent(
    engine: Engine, name: str | None
) -> None:
    run, left = await failed_order(engine, name)
    await left.signal(go, "x")
    assert await left.result("30s") == "mail again 1"
    closed_at = (await left.info()).closed_at

    working.append(True)
    await run.retry()

    assert await run.result("30s") == "mail again 1"
    assert (count("mail"), count("mail again")) == (1, 1)
    assert (await left.info()).closed_at == closed_at


@IDS
async def test_a_retried_parent_waits_for_an_abandoned_child_that_goes_on(
    engine: Engine, name: str | None
) -> None:
    run, left = await failed_order(engine, name)

    await run.retry()
    await has_failed(run)  # of its own error once more: the child is not in its way
    working.append(True)
    await run.retry()
    await left.signal(go, "x")

    assert await run.result("30s") == "mail again 1"
    assert (count("mail"), count("mail again"), count("pays")) == (1, 1, 3)


@IDS
async def test_an_abandoned_child_that_was_ended_stays_ended(
    engine: Engine, name: str | None
) -> None:
    run, left = await failed_order(engine, name)
    await left.terminate("not wanted")
    working.append(True)

    for _ in range(2):
        await run.retry()
        with pytest.raises(RunFailed, match="ChildFailed"):
            await run.result("30s")

    assert (await left.info()).status == "terminated"
    assert "not wanted" in str((await run.info()).error)
    assert count("mail") == 1


async def test_an_abandoned_child_that_was_cancelled_stays_cancelled(engine: Engine) -> None:
    run, left = await failed_order(engine)
    await left.cancel("not wanted")
    with pytest.raises(RunCancelled):
        await left.result("30s")
    working.append(True)

    await run.retry()

    with pytest.raises(RunFailed, match="not wanted"):
        await run.result("30s")
    assert (await left.info()).status == "cancelled"
    assert count("mail") == 1


@pytest.mark.parametrize("policy", ["abandon", "cancel"])
async def test_a_failed_child_that_is_retried_first_gives_its_result_to_its_parent(
    engine: Engine, policy: OnParentClose
) -> None:
    working.append(True)
    failing.add("mail again")
    run = await engine.start(order(policy=policy), id="p")
    await until_sent("mail")
    left = engine.get(await only_child(engine))
    await left.signal(go, "x")
    with pytest.raises(RunFailed, match="ChildFailed"):
        await run.result("30s")
    failing.clear()

    await left.retry()
    assert await left.result("30s") == "mail again 2"
    await run.retry()

    assert await run.result("30s") == "mail again 2"
    assert (count("mail"), count("mail again")) == (1, 2)


async def test_a_parent_that_is_started_anew_does_all_of_its_work_anew(engine: Engine) -> None:
    _, left = await failed_order(engine)
    await left.signal(go, "x")
    await left.result("30s")
    working.append(True)

    again = await engine.start(order(), id="p", reuse="always")
    await until_begun(5)
    await left.signal(go, "y")

    assert await again.result("30s") == "mail again 2"
    assert count("mail") == 2


async def test_a_parent_attached_to_a_child_survives_restarts(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        run, left = await failed_order(engine)
        working.append(True)
        await run.retry()
    async with Engine.open(path) as engine:
        await engine.get("p").why()
    async with Engine.open(path) as engine:
        await engine.get(left.id).signal(go, "x")

        assert await engine.get("p", order).result("30s") == "mail again 1"
    assert (count("mail"), count("mail again")) == (1, 1)


@pytest.mark.parametrize("is_over", [True, False])
async def test_a_long_journal_does_not_lose_the_child_of_an_earlier_life(
    engine: Engine, *, is_over: bool
) -> None:
    run, left = await failed_order(engine, None, 1_200)
    if is_over:
        await left.signal(go, "x")
        await left.result("30s")
    working.append(True)

    await run.retry()
    if not is_over:
        await left.signal(go, "x")

    assert await run.result("30s") == "mail again 1"
    assert count("mail") == 1


async def test_a_grandchild_of_a_child_that_starts_anew_has_its_effects_once(
    engine: Engine,
) -> None:
    run = await engine.start(grandparent(), id="g")
    with pytest.raises(RunFailed, match="ChildFailed"):
        await run.result("30s")
    await until_sent("mail")
    left = engine.get("g.0-1.0-1")
    await left.signal(go, "x")
    await left.result("30s")
    working.append(True)

    await run.retry()

    assert await run.result("30s") == "mail again 1"
    assert (count("mail"), count("pays")) == (1, 2)


@workflow(name="left_children.grandparent")
async def grandparent() -> str:
    """Have an order as a child."""
    return await order()
