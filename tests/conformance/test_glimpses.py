"""Parts of what a store has, and pages that end by what their rows hold."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest

from outlast import limits
from outlast._records import VALUE, detach
from outlast._store.contract import Cursor, RunFilter, Store
from outlast._store.glimpses import GLANCE_ERROR_CHARS, Part
from outlast._store.pages import is_last
from outlast._store.rows import RunRow
from outlast.types import RunId
from tests.conformance.driving import OTHER, RUN, Driver, pack, record, signal

T = TypeVar("T")
BODY = VALUE + b"x" * 99


async def hundred_bytes_each(engine: Driver) -> None:
    await engine.start(RUN)
    every = [record(seq, body=BODY) for seq in range(2, 11)]
    await engine.receipt(engine.on(RUN, *every))
    await pack(engine, [record(1, kind="run_started"), *every[:4]], last_seq=10)


@pytest.mark.parametrize(
    ("part", "after", "upto", "found"),
    [
        (Part(bytes_max=250), 1, None, [2, 3, 4]),
        (Part(bytes_max=300), 3, 9, [4, 5, 6]),
        (Part(bytes_max=1), 1, None, [2]),
        (Part(bytes_max=250, from_end=True), 1, None, [8, 9, 10]),
        (Part(bytes_max=250, from_end=True), 1, 7, [5, 6, 7]),
        (Part(bytes_max=10_000), 0, None, list(range(1, 11))),
        (Part(kinds=frozenset(("run_started",))), 0, None, [1]),
        (Part(kinds=frozenset(("step_done",))), 4, None, list(range(5, 11))),
        (Part(kinds=frozenset(("step_late",))), 0, None, []),
    ],
)
async def test_a_part_of_a_journal(
    store: Store, engine: Driver, part: Part, after: int, upto: int | None, found: list[int]
) -> None:
    await hundred_bytes_each(engine)
    records = await store.read_journal(RUN, after, upto, part)
    assert [record.seq for record in records] == found


async def test_bodies_that_lie_elsewhere_count_as_they_are(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    bodies = [detach(VALUE + bytes([n]) * limits.BLOB_BYTES_MIN) for n in range(4)]
    appended = [record(seq, body=body) for seq, (body, _) in enumerate(bodies, start=2)]
    transaction = engine.on(RUN, *appended)
    transaction.also.blobs = tuple(blob for _, blob in bodies if blob is not None)
    await engine.receipt(transaction)

    page = await store.read_journal(RUN, 1, None, Part(bytes_max=limits.BLOB_BYTES_MIN + 100))

    assert [r.seq for r in page] == [2, 3]
    assert [len(r.body) for r in page] == [1 + limits.BLOB_BYTES_MIN] * 2


async def test_names_of_values_are_told_without_them(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    transaction = engine.on(RUN, record(2))
    transaction.also.values = (("b", b"2"), ("a", b"1"))
    await engine.receipt(transaction)

    assert await store.read_value_names(RUN) == ["a", "b"]
    assert await store.read_value_names(OTHER) == []


async def test_mail_is_counted(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    mail = [signal(RUN, body=b"%d" % n) for n in range(3)]
    later = [msgspec.structs.replace(one, at=5 + n) for n, one in enumerate(mail)]
    await engine.receipt(engine.posting(*later))

    assert await store.count_mail(RUN, 10) == (3, 5)
    assert await store.count_mail(RUN, 2) == (2, 5)
    assert await store.count_mail(OTHER, 10) == (0, None)


async def test_a_page_of_runs_ends_with_the_row_that_fills_it(
    store: Store, engine: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_READ_BYTES", 250)
    for n in range(7):
        row = engine.row(RunId(f"r{n}"), created_at=1_000 + n)
        large = msgspec.structs.replace(row, status="completed", output=b"o" * 98)
        await engine.receipt(engine.starting(large))

    first = await store.list_runs(RunFilter(), None, 5)
    pages: list[list[RunRow]] = [first]
    while not is_last(pages[-1], 5):
        last = pages[-1][-1]
        pages.append(await store.list_runs(RunFilter(), Cursor(last.created_at, last.id), 5))

    assert [[row.id for row in page] for page in pages] == [
        ["r6", "r5", "r4"], ["r3", "r2", "r1"], ["r0"],
    ]  # fmt: skip


async def test_a_glance_tells_of_the_newest_runs_that_a_filter_wants(
    store: Store, engine: Driver
) -> None:
    for n in range(6):
        row = engine.row(RunId(f"r{n}"), created_at=1_000 + n)
        failed = msgspec.structs.replace(
            row, workflow=f"shop.w{n % 2}", status="failed", started_at=2_000, closed_at=3_000 + n,
            error="e" * 1_000,
        )  # fmt: skip
        await engine.receipt(engine.starting(failed if n != 5 else row))

    newest = await store.glance_at_runs(RunFilter(workflow="shop.w0"), 2)
    every = await store.glance_at_runs(RunFilter(), 100)

    assert [one.id for one in newest] == ["r4", "r2"]
    one = newest[0]
    assert (one.workflow, one.status, one.created_at) == ("shop.w0", "failed", 1_004)
    assert (one.started_at, one.closed_at) == (2_000, 3_004)
    assert one.error == "e" * GLANCE_ERROR_CHARS
    assert [one.id for one in every] == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert (every[0].closed_at, every[0].error) == (None, None)
