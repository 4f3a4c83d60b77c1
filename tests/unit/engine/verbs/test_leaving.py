"""Who asks for something may go before it is durable: what follows then does not hang on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

from outlast import Engine, Run, Signal, wf, workflow
from outlast.types import RunId, Status

word = Signal("leaving_word", str)


@workflow
async def leaving_hears() -> str:
    return await word.receive()


@workflow
async def leaving_asks() -> bool:
    return (await wf.approve("Go on?")).approved


@workflow
async def leaving_says() -> str:
    return "said"


async def leave(engine: Engine, work: Coroutine[object, object, object]) -> None:
    """Ask for something, and go as soon as it is on its way to the disk."""
    writer = engine._core.writer
    await writer.flushed()  # what was asked for before is no sign of this
    task = asyncio.create_task(work)
    await until(lambda: writer.is_busy)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await writer.flushed()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0)


async def until_status(run: Run[str], wanted: Status) -> None:
    for _ in range(3_000):
        if (await run.info()).status == wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the run is never {wanted}")


async def asked(engine: Engine) -> str:
    for _ in range(3_000):
        async for info in engine.tokens():
            return info.id
        await asyncio.sleep(0.01)
    raise AssertionError("nothing is asked")


async def test_what_was_started_runs(engine: Engine) -> None:
    await leave(engine, engine.start(leaving_says(), id="a"))
    assert await engine.get("a", leaving_says).result(timeout="30s") == "said"


async def test_what_was_forked_runs(engine: Engine) -> None:
    await engine.run(leaving_says(), id="a")
    await leave(engine, engine.get("a").fork(2))

    made = [info.id async for info in engine.runs("") if info.id != "a"]
    assert await engine.get(made[0]).result(timeout="30s") == "said"


async def test_a_run_hears_an_answer(engine: Engine) -> None:
    run = await engine.start(leaving_asks(), id="a")
    await leave(engine, engine.approve(await asked(engine), by="ann"))
    assert await run.result(timeout="30s") is True


async def test_a_run_pauses_hears_and_goes_on(engine: Engine) -> None:
    run = await engine.start(leaving_hears(), id="a")
    await until_status(run, "waiting")

    await leave(engine, run.pause())
    await until_status(run, "paused")
    await leave(engine, run.signal(word, "x"))
    await leave(engine, run.resume())
    assert await run.result(timeout="30s") == "x"


async def test_who_waits_for_a_run_hears_that_it_was_terminated_while_it_stood_still(
    engine: Engine,
) -> None:
    run = await engine.start(leaving_hears(), id="a")
    await run.pause()
    await until_status(run, "paused")
    waiting = asyncio.create_task(engine._core.results.closed(RunId(run.id)))
    await asyncio.sleep(0.05)

    await leave(engine, run.terminate())
    assert (await asyncio.wait_for(waiting, 30)).status == "terminated"


async def test_an_opening_that_is_cancelled_has_let_go_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    for turns in range(12):
        opening = asyncio.ensure_future(Engine.open(path).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0.001)
        opening.cancel()
        try:
            engine = await opening
        except asyncio.CancelledError:
            pass
        else:
            await engine.__aexit__(None, None, None)

        async with Engine.open(path):
            pass  # StoreLocked if the first one still had it
