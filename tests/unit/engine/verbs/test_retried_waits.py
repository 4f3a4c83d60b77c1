"""Retries of runs that failed because nobody answered in time: they ask again."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, Run, Signal, Workflow, step, wf, workflow
from outlast.errors import RunFailed, WaitTimeout
from outlast.testing import Sim
from tests.unit.engine.drawing import asked

word = Signal("retried_waits.word", str)
marks: list[str] = []
patience = [0.05]
"""How long questions that are asked from now on wait for their answers, in seconds."""


@pytest.fixture(autouse=True)
def impatient() -> None:
    patience[:] = [0.05]
    marks.clear()


class NobodyThere(Exception):
    """What a program makes of a wait that ended without an answer."""


@workflow
async def waits() -> str:
    return await wf.token(str, timeout=patience[0], title="late").wait()


@workflow
async def tells_it_otherwise() -> str:
    try:
        return await wf.token(str, timeout=patience[0], title="late").wait()
    except WaitTimeout as error:
        raise NobodyThere(f"{error}: is anybody there?") from error


@workflow
async def asks_a_deputy() -> str:
    first = await wf.approve("the boss?", timeout=patience[0])
    second = await wf.approve("the deputy?", timeout=patience[0])
    if second.by is None:
        raise WaitTimeout(f"neither said so: {first.by}")
    return f"{first.by} {second.by}"


@workflow
async def asks_both() -> str:
    tokens = [wf.token(str, timeout=patience[0], title=f"late {place}") for place in "ab"]
    return " ".join(await asyncio.gather(*(token.wait() for token in tokens)))


@workflow
async def asks_by_children() -> str:
    return " ".join(await asyncio.gather(*(waits() for _ in range(3))))


@workflow
async def runs_out_of_time() -> str:
    await wf.approve("the boss?", timeout=0.05)
    async with wf.scope(timeout=0.05):
        await wf.sleep(60)
    return "slept"


@step
async def mark(text: str) -> None:
    marks.append(text)


@workflow
async def hears_in_a_scope() -> str:
    await mark("once")
    async with wf.scope(timeout=patience[0]):
        return await word.receive()


@workflow
async def hears_within_a_timeout() -> str:
    await mark("once")
    async with asyncio.timeout(patience[0]):
        return await word.receive()


@workflow
async def hears_with_a_timeout_of_its_own() -> str:
    await mark("once")
    return await word.receive(timeout=patience[0])


@workflow
async def hears_in_ten_seconds() -> str:
    async with asyncio.timeout(10):
        return await word.receive()


@workflow
async def hears_in_a_task_of_a_group() -> str:
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(word.receive(timeout=10))
    return heard.result()


@workflow
async def cleans_up_after_a_timeout() -> str:
    await mark("once")
    try:
        async with asyncio.timeout(patience[0]):
            return await word.receive()
    finally:
        await mark("cleaned")


async def failed(engine: Engine, flow: Workflow[[], str]) -> Run[str]:
    """Return a run in which nobody answers, when it has failed."""
    run = await engine.start(flow())
    with pytest.raises(RunFailed):
        await run.result("30s")
    return run


async def answered(engine: Engine, run: Run[str], count: int) -> str:
    """Retry a run, answer so many questions that it asks then, and return its result."""
    patience[:] = [60]
    await run.retry()
    for info in await asked(engine, count):
        if info.kind == "approval":
            await engine.approve(info.id, by="ann")
        else:
            await engine.answer(info.id, "yes")
    return await run.result("30s")


@pytest.mark.parametrize("flow", [waits, tells_it_otherwise])
async def test_a_token_that_was_not_answered_in_time_is_asked_again(
    engine: Engine, flow: Workflow[[], str]
) -> None:
    run = await failed(engine, flow)

    assert [token.title for token in (await run.retry_plan()).tokens] == ["late"]
    assert await answered(engine, run, 1) == "yes"


async def test_of_several_approvals_the_last_one_is_asked_again(engine: Engine) -> None:
    run = await failed(engine, asks_a_deputy)

    assert await answered(engine, run, 1) == "None ann"


async def test_what_waited_at_the_same_time_is_asked_again_as_well(engine: Engine) -> None:
    run = await failed(engine, asks_both)

    assert await answered(engine, run, 2) == "yes yes"


async def test_children_that_failed_together_are_started_again_together(engine: Engine) -> None:
    run = await failed(engine, asks_by_children)

    assert len((await run.retry_plan()).children) == 3
    assert await answered(engine, run, 3) == "yes yes yes"


async def test_a_scope_that_ran_out_of_time_asks_nothing_again(engine: Engine) -> None:
    run = await failed(engine, runs_out_of_time)

    assert (await run.retry_plan()).tokens == ()


@pytest.mark.parametrize(
    "flow", [hears_in_a_scope, hears_within_a_timeout, hears_with_a_timeout_of_its_own]
)
async def test_what_ran_out_of_time_has_its_full_time_again(
    engine: Engine, flow: Workflow[[], str]
) -> None:
    run = await failed(engine, flow)
    assert marks == ["once"]

    patience[:] = [60]
    await run.retry()
    await run.signal(word, "heard")
    assert await run.result("30s") == "heard"
    assert marks == ["once"]


@pytest.mark.parametrize("flow", [hears_in_ten_seconds, hears_in_a_task_of_a_group])
async def test_a_retry_at_once_has_its_full_time_too(flow: Workflow[[], str]) -> None:
    async with Sim(seed=1) as sim:
        run = await sim.start(flow())
        with pytest.raises(RunFailed):
            await sim.result(run)
        await sim.get(run).retry()
        await sim.advance(9)
        await sim.signal(run, word, "heard")
        assert await sim.result(run) == "heard"


async def test_what_was_done_after_a_timeout_is_not_done_again(engine: Engine) -> None:
    run = await failed(engine, cleans_up_after_a_timeout)
    assert marks == ["once", "cleaned"]

    await run.retry()
    with pytest.raises(RunFailed, match="TimeoutError"):
        await run.result("30s")
    assert marks == ["once", "cleaned"]
