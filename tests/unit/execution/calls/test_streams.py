"""Values and streams of runs: written in order, in parts that readers can hold."""

from __future__ import annotations

import asyncio

from outlast import Engine, Stream, limits, step, workflow
from outlast.types import RunId
from tests.unit.engine import flows


async def test_a_value_can_be_read_from_outside(engine: Engine) -> None:
    run = await engine.start(flows.decides())
    async with asyncio.timeout(30):
        while await run.read(flows.progress) is None:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)

    assert await run.read(flows.progress) == 0.5
    assert await run.read("progress") == 0.5
    assert await run.read("other") is None


async def test_a_stream_has_every_value_once_and_takes_back_dead_attempts(engine: Engine) -> None:
    run = await engine.start(flows.streams())
    live = [event async for event in run.stream(flows.tokens)]
    await run.result()

    late = [event async for event in run.stream(flows.tokens)]

    def surviving(events: list[object]) -> list[object]:
        return events

    assert [e.value for e in late if e.kind == "data"] == ["a", "b", "c", "d2", "e2"]
    kept: list[tuple[str, str | None]] = []
    for event in live:
        if event.kind == "retract":
            kept = [k for k in kept if k[0] != event.writer]
        elif event.kind == "data":
            kept.append((event.writer, event.value))
    assert [value for _, value in kept] == ["a", "b", "c", "d2", "e2"]
    assert late[-1].kind == "end"
    offsets = [event.offset for event in live]
    assert offsets == sorted(set(offsets))
    assert surviving([]) == []


async def test_a_stream_goes_on_from_an_offset(engine: Engine) -> None:
    run = await engine.start(flows.streams())
    await run.result()
    everything = [event async for event in run.stream(flows.tokens)]

    rest = [event async for event in run.stream(flows.tokens, offset=everything[2].offset)]

    assert [e.value for e in rest if e.kind == "data"] == ["c", "d2", "e2"]


lines = Stream("large_lines", str)


@step
async def writes_many(count: int, size: int) -> None:
    for number in range(count):
        await lines.write(f"{number}" + "x" * size)


@workflow
async def writes_at_once(count: int, size: int) -> int:
    await writes_many(count, size)
    return count


async def test_what_is_written_at_once_is_stored_in_parts(engine: Engine) -> None:
    run = await engine.start(writes_at_once(60, 20_000))
    await run.result()

    rows = await engine._core.store.read_stream(RunId(run.id), "large_lines", 0, 1_000)

    assert [row.offset for row in rows] == [
        sum(r.count for r in rows[:n]) for n in range(len(rows))
    ]
    assert sum(row.count for row in rows) == 60
    assert all(len(row.body) <= limits.STREAM_ROW_BYTES + 1_000 for row in rows)
    read = [event.value async for event in run.stream(lines, offset=11) if event.kind == "data"]
    assert [f"{value}"[:2] for value in read] == [f"{number}" for number in range(11, 60)]


async def test_a_value_that_is_larger_than_a_row_has_one_of_its_own(engine: Engine) -> None:
    run = await engine.start(writes_at_once(3, limits.STREAM_ROW_BYTES + 1))
    await run.result()

    rows = await engine._core.store.read_stream(RunId(run.id), "large_lines", 0, 1_000)

    assert [(row.offset, row.count) for row in rows] == [(0, 1), (1, 1), (2, 1)]


words = Stream("streams.words", str)
paces: list[asyncio.Event] = []


@step
async def speaks(count: int, pause: float) -> None:
    for number in range(count):
        await words.write(f"{number}")
        await asyncio.sleep(pause)
    await paces[0].wait()


@workflow
async def speaks_slowly(count: int, pause: float) -> None:
    await speaks(count, pause)


async def records_of(engine: Engine, run: str) -> int:
    kinds = [record.kind async for record in engine.get(run).journal()]
    return kinds.count("stream_written")


async def test_words_that_follow_one_another_are_gathered(engine: Engine) -> None:
    paces[:] = [asyncio.Event()]
    run = await engine.start(speaks_slowly(60, 0.002), id="w")
    heard: list[object] = []
    async for event in run.stream(words):
        heard.append(event.value)
        if len(heard) == 60:  # while the step still runs
            break
    written = await records_of(engine, "w")
    paces[0].set()
    await run.result()

    rows = await engine._core.store.read_stream(RunId("w"), words.name, 0, 1_000)
    assert heard == [f"{number}" for number in range(60)]
    assert 1 < len(rows) <= 40
    assert written == await records_of(engine, "w") == 1


async def test_a_word_after_a_silence_is_written_at_once(engine: Engine) -> None:
    paces[:] = [asyncio.Event()]
    run = await engine.start(speaks_slowly(5, 0.05), id="w")
    async for event in run.stream(words):
        if event.value == "4":
            break
    rows = await engine._core.store.read_stream(RunId("w"), words.name, 0, 1_000)
    assert [row.count for row in rows] == [1] * 5
    assert await records_of(engine, "w") == 1
    paces[0].set()
    await run.result()
