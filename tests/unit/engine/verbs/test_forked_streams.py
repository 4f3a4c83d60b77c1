"""Streams of runs that are copied, or that leave memory: a long answer has one record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from outlast import Engine, Run, Signal, Stream, step, workflow
from outlast.errors import RunFailed
from outlast.types import RunId

words = Stream("forked_streams.words", str)
goes_on = Signal("forked_streams.goes_on", str)
held: list[asyncio.Event] = []


@pytest.fixture(autouse=True)
def _held() -> Iterator[None]:
    held[:] = [asyncio.Event()]
    yield
    held.clear()


@step
async def speak(prefix: str, count: int) -> int:
    for number in range(count):
        await words.write(f"{prefix}{number}")
        await asyncio.sleep(0.021)  # the next word is a row of its own
    return count


@step
async def speak_for_ever() -> None:
    for number in range(4):
        await words.write(f"x{number}")
        await asyncio.sleep(0.021)
    held[0].set()
    await asyncio.Event().wait()


@step
async def wait_until_held() -> None:
    await held[0].wait()


@workflow
async def two_speeches() -> int:
    await speak("a", 5)
    return await speak("b", 5)


@workflow
async def one_is_given_up() -> int:
    speech = asyncio.create_task(speak_for_ever())
    await wait_until_held()
    speech.cancel()
    return await speak("b", 2)


@workflow
async def speaks_after_a_silence() -> None:
    await speak("a", 4)
    await goes_on.receive()
    await speak("b", 4)


failing: list[str] = []


@step
async def speak_and_fail_first(prefix: str) -> str:
    for number in range(3):
        await words.write(f"{prefix}{number}")
        await asyncio.sleep(0.021)
    if failing:
        raise ValueError(failing.pop())
    return prefix


@workflow
async def speaks_once() -> str:
    return await speak_and_fail_first("a")


def spoken(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def heard(run: Run[object]) -> list[object]:
    return [event.value async for event in run.stream(words) if event.kind == "data"]


async def records_of(run: Run[object]) -> list[str]:
    return [r.key async for r in run.journal() if r.kind == "stream_written"]


async def test_a_fork_has_all_that_was_said_before_it(engine: Engine) -> None:
    run = await engine.start(two_speeches())
    await run.result("30s")
    keys = [record.key async for record in run.journal() if record.kind == "step_done"]
    assert len(await records_of(run)) == 2

    forked = await run.fork(keys[1])
    await forked.result("30s")

    assert await heard(forked) == [*spoken("a", 5), *spoken("b", 5)]

    again = await run.fork(keys[0])
    await again.result("30s")
    assert await heard(again) == [*spoken("a", 5), *spoken("b", 5)]


async def test_a_fork_has_what_was_said_by_a_step_that_was_given_up(engine: Engine) -> None:
    run = await engine.start(one_is_given_up())
    await run.result("30s")
    last = [record.key async for record in run.journal() if record.kind == "step_done"][-1]

    forked = await run.fork(last)
    await forked.result("30s")

    assert await heard(run) == [*spoken("x", 4), *spoken("b", 2)]
    assert await heard(forked) == [*spoken("x", 4), *spoken("b", 2)]


async def test_the_words_of_another_life_have_another_writer(engine: Engine) -> None:
    failing[:] = ["once"]
    run = await engine.start(speaks_once())
    with pytest.raises(RunFailed):
        await run.result("30s")
    rows = await engine._core.store.read_stream(RunId(run.id), words.name, 0, 1_000)
    dead, end = {row.writer for row in rows}, rows[-1].offset + rows[-1].count

    await run.retry()
    await run.result("30s")
    after = [event async for event in run.stream(words, offset=end)]
    (key,) = [record.key async for record in run.journal() if record.kind == "step_done"]
    forked = await run.fork(key)
    await forked.result("30s")
    again = [event async for event in forked.stream(words) if event.kind == "data"]

    assert await heard(run) == await heard(forked) == spoken("a", 3)
    lives = [{event.writer for event in events} - {""} for events in (after, again)]
    assert len(dead.union(*lives)) == 3


async def test_a_stream_goes_on_behind_its_rows_when_its_run_comes_back(engine: Engine) -> None:
    run = await engine.start(speaks_after_a_silence())
    async with asyncio.timeout(30):
        while "waiting for" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
        while RunId(run.id) in engine._core.scheduler.residents:
            engine._core.residency.passivate_all()
            await asyncio.sleep(0.005)  # it leaves when its row is durable

    await run.signal(goes_on, "now")
    await run.result("30s")

    events = [event async for event in run.stream(words)]
    assert [event.value for event in events[:-1]] == [*spoken("a", 4), *spoken("b", 4)]
    assert [event.offset for event in events] == list(range(9))
