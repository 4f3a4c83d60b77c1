from __future__ import annotations

import msgspec
import pytest

from outlast import limits
from outlast._store.contract import Store
from outlast._store.rows import StreamRow
from outlast.types import RunId
from tests.conformance.driving import OTHER, RUN, Driver


def chunk(offset: int, count: int = 1, *, name: str = "out", run: RunId = RUN) -> StreamRow:
    return StreamRow(
        run=run, name=name, offset=offset, count=count, kind="data", writer="w", body=b"%d" % offset
    )


async def write(engine: Driver, *chunks: StreamRow) -> None:
    transaction = engine.on(chunks[0].run)
    transaction.also.streams = chunks
    await engine.receipt(transaction)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(0, [0, 3, 4, 9]), (1, [0, 3, 4, 9]), (2, [0, 3, 4, 9]), (3, [3, 4, 9]), (4, [4, 9]),
     (8, [4, 9]), (9, [9]), (10, [])],
)  # fmt: skip
async def test_a_stream_is_read_from_the_row_that_holds_the_offset(
    store: Store, engine: Driver, offset: int, expected: list[int]
) -> None:
    await engine.start(RUN)
    await write(engine, chunk(0, 3), chunk(3))
    await write(engine, chunk(4, 5), chunk(9))

    rows = await store.read_stream(RUN, "out", offset, 10)

    assert [row.offset for row in rows] == expected
    limited = await store.read_stream(RUN, "out", offset, 1)
    assert [row.offset for row in limited] == expected[:1]


async def test_a_page_of_a_stream_ends_where_it_is_large(store: Store, engine: Driver) -> None:
    half = b"x" * (limits.STREAM_READ_BYTES // 2)
    large = [msgspec.structs.replace(chunk(n), body=half) for n in range(5)]
    await engine.start(RUN)
    await write(engine, *large)

    assert await store.read_stream(RUN, "out", 0, 10) == large[:2]
    assert await store.read_stream(RUN, "out", 2, 10) == large[2:4]
    assert await store.read_stream(RUN, "out", 4, 10) == large[4:]
    assert await store.read_stream(RUN, "out", 0, 1) == large[:1]


async def test_who_was_taken_back_is_read_without_what_was_written(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN, OTHER)
    first, second, other = (
        StreamRow(run=RUN, name=name, offset=at, count=1, kind="retract", writer=writer)
        for name, at, writer in (("out", 1, "w"), ("out", 5, "v"), ("log", 2, "u"))
    )
    await write(engine, chunk(0), first, chunk(2, 3), second, other)

    assert await store.read_retractions(RUN, "out", 0) == {"w": 1, "v": 5}
    assert await store.read_retractions(RUN, "out", 1) == {"w": 1, "v": 5}
    assert await store.read_retractions(RUN, "out", 2) == {"v": 5}
    assert await store.read_retractions(RUN, "log", 0) == {"u": 2}
    assert await store.read_retractions(OTHER, "out", 0) == {}


async def test_streams_are_apart_by_run_and_name(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    retraction = StreamRow(run=RUN, name="out", offset=1, count=1, kind="retract", writer="w2")
    await write(engine, chunk(0), chunk(0, name="log"), retraction)
    await write(engine, chunk(0, run=OTHER))

    assert await store.read_stream(RUN, "out", 0, 10) == [chunk(0), retraction]
    assert await store.read_stream(RUN, "log", 0, 10) == [chunk(0, name="log")]
    assert await store.read_stream(OTHER, "out", 0, 10) == [chunk(0, run=OTHER)]
    assert await store.read_stream(OTHER, "log", 0, 10) == []
    assert await store.read_stream_ends(RUN) == {"log": 1, "out": 2}
    assert await store.read_stream_ends(OTHER) == {"out": 1}
    assert await store.read_stream_ends(RunId("unknown")) == {}


async def test_a_value_is_the_last_one_set(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    first, second, other = engine.on(RUN), engine.on(RUN), engine.on(OTHER)
    first.also.values = (("total", b"1"), ("total", b"2"), ("state", b""))
    second.also.values = (("total", b"3"),)
    other.also.values = (("total", b"9"),)

    await engine.commit(first, second, other)

    assert await store.read_value(RUN, "total") == b"3"
    assert await store.read_value(RUN, "state") == b""
    assert await store.read_value(OTHER, "total") == b"9"
    assert await store.read_value(RUN, "absent") is None
    assert await store.read_value(RunId("nobody"), "total") is None
