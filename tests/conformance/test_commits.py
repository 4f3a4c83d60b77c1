from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from outlast._records import Record
from outlast._store.contract import Store
from outlast._store.transactions import CommitId, Receipt
from tests.conformance.conftest import Home
from tests.conformance.driving import OTHER, RUN, Driver, pack, record, records, signal


def positions(results: Sequence[object]) -> list[int]:
    return [result.position for result in results if isinstance(result, Receipt)]


async def test_an_empty_batch_is_a_commit(store: Store, engine: Driver) -> None:
    assert await engine.commit() == []
    assert await store.outcome_of(CommitId(engine.owner, engine.number)) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 513, 1_500])
async def test_every_record_of_a_batch_of_any_size_is_kept_in_order(
    store: Store, engine: Driver, count: int
) -> None:
    await engine.start(RUN)
    expected = [record(1, kind="run_started"), *records(2, count + 1)]

    await engine.commit(*[engine.on(RUN, r) for r in expected[1:]])

    assert await store.read_journal(RUN) == expected


async def test_a_record_comes_back_with_all_its_fields(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    full = Record(2, "attempt_failed", "0.1:zahlen", "übung", 2**52, 7, 3, "a.py:1", b"\x01\x00")

    await engine.receipt(engine.on(RUN, full))

    assert (await store.read_journal(RUN))[-1] == full


async def test_positions_ascend_over_transactions_and_commits(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)

    first = positions(
        await engine.commit(engine.on(RUN, record(2), record(3)), engine.on(OTHER, record(2)))
    )
    second = positions(await engine.commit(engine.on(RUN, record(4)), engine.on(RUN)))

    assert first == [3, 5]
    assert second == [6, 0]


async def test_positions_go_on_after_the_log_was_emptied(home: Home, store: Store) -> None:
    engine = await Driver.begin(store)
    await engine.start(RUN)
    await engine.commit(engine.on(RUN, *records(2, 5)))
    await pack(engine, [record(1, kind="run_started"), *records(2, 5)], last_seq=5)
    assert await store.truncate_log(100) == 5

    reopened = await home.open_after_a_death(store)
    later = await Driver.begin(reopened, "engine-2")

    assert positions(await later.commit(later.on(RUN, record(6)))) == [6]
    await reopened.close()


async def test_the_outcome_of_the_last_commit_can_be_asked_for(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    results = await engine.commit(engine.on(RUN, record(2)), engine.posting(signal(RUN)))

    assert await store.outcome_of(CommitId(engine.owner, engine.number)) == results


async def test_a_commit_that_was_not_made_has_no_outcome(store: Store, engine: Driver) -> None:
    await engine.start(RUN)

    assert await store.outcome_of(CommitId(engine.owner, engine.number + 1)) is None
    assert await store.outcome_of(CommitId("engine-9", engine.number)) is None


async def test_a_run_that_starts_writes_and_closes_in_one_batch_is_whole(
    store: Store, engine: Driver
) -> None:
    row = engine.row(RUN)
    first = engine.on(RUN, record(2))
    first.also.summary = msgspec.structs.replace(row, steps=1, last_seq=2)
    second = engine.on(RUN, record(3, kind="run_closed"))
    second.also.summary = msgspec.structs.replace(
        row, steps=1, last_seq=3, status="completed", closed_at=3_000, resident=False
    )

    await engine.commit(
        engine.starting(row),
        engine.posting(signal(RUN)),
        first,
        second,
        engine.posting(signal(RUN)),
    )

    kept = await engine.current(RUN)
    assert kept == msgspec.structs.replace(second.also.summary, started_position=1)
    assert [r.seq for r in await store.read_journal(RUN)] == [1, 2, 3]
    assert await store.read_mailbox(RUN, 10) == []
    assert await store.runs_with_mail(engine.shards, 10) == []


async def test_a_summary_changes_all_that_a_run_may_change(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    row = msgspec.structs.replace(
        await engine.current(RUN),
        version="v2",
        status="failed",
        started_at=1,
        closed_at=2,
        wake_at=3,
        timeout_at=4,
        attributes='{"a":1}',
        steps=5,
        crash_count=6,
        is_alone=True,
        parked_as="suspect",
        resident=False,
        last_seq=7,
        packed_seq=0,
        output=b"\x00out",
        error="ValueError: no",
        waiting_for="sleep",
    )

    await engine.summarise(row)

    assert await store.read_run(RUN) == row


async def test_a_summary_of_an_unknown_run_is_passed_over(store: Store, engine: Driver) -> None:
    await engine.summarise(engine.row(RUN))

    assert await store.read_run(RUN) is None
