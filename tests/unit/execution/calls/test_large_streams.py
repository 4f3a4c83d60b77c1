"""Streams of which much is written at once are stored in parts that readers can hold."""

from __future__ import annotations

from outlast import Engine, Stream, limits, step, workflow
from outlast.types import RunId

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
