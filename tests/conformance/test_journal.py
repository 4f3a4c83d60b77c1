from __future__ import annotations

import pytest

from outlast._records import detach
from outlast._store.contract import Store
from outlast.types import RunId
from tests.conformance.driving import OTHER, RUN, Driver, pack, record, records, the

LARGE = b"\x00" + bytes(range(256)) * 200


async def test_an_unknown_run_has_no_journal(store: Store, engine: Driver) -> None:
    await engine.receipt(engine.on(RUN, record(1)))

    assert await store.read_journal(RUN) == []
    assert await store.read_tail(engine.shards) == {}


async def test_journals_of_several_runs_do_not_mix(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    await engine.commit(
        *[engine.on(run, record(seq)) for seq in range(2, 5) for run in (RUN, OTHER)]
    )

    assert [r.seq for r in await store.read_journal(RUN)] == [1, 2, 3, 4]
    assert [r.seq for r in await store.read_journal(OTHER)] == [1, 2, 3, 4]


@pytest.mark.parametrize("after", range(8))
@pytest.mark.parametrize("cuts", [(), (1,), (3,), (6,), (2, 4), (1, 2, 3, 6)])
async def test_a_journal_reads_the_same_however_much_of_it_is_packed(
    store: Store, engine: Driver, cuts: tuple[int, ...], after: int
) -> None:
    await engine.start(RUN)
    every = [record(1, kind="run_started"), *records(2, 6)]
    await engine.receipt(engine.on(RUN, *every[1:]))
    done = 0
    for cut in cuts:
        await pack(engine, every[done:cut], last_seq=6)
        done = cut

    assert await store.read_journal(RUN, after) == every[after:]
    tail = (await store.read_tail(engine.shards)).get(RUN)
    assert (tail.records if tail is not None else []) == every[done:]


@pytest.mark.parametrize("upto", range(8))
@pytest.mark.parametrize("after", range(8))
async def test_a_part_of_a_journal_is_read_wherever_it_was_cut(
    store: Store, engine: Driver, after: int, upto: int
) -> None:
    await engine.start(RUN)
    every = [record(1, kind="run_started"), *records(2, 6)]
    await engine.receipt(engine.on(RUN, *every[1:]))
    await pack(engine, every[:2], last_seq=6)
    await pack(engine, every[2:4], last_seq=6)

    assert await store.read_journal(RUN, after, upto) == every[after:upto]


async def test_only_packed_records_leave_the_log(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    every = [record(1, kind="run_started"), *records(2, 9)]
    receipt = await engine.receipt(engine.on(RUN, *every[1:]))
    await pack(engine, every[:6], last_seq=9)
    assert await store.log_size() == 9

    assert await store.truncate_log(4) == 4
    assert await store.truncate_log(100) == 2
    assert await store.truncate_log(100) == 0

    assert await store.log_size() == 3
    assert await store.read_journal(RUN) == every
    tail = (await store.read_tail(engine.shards))[RUN]
    assert (tail.first_position, tail.records) == (receipt.position + 5, every[6:])


async def test_an_empty_log_has_no_size_and_nothing_to_drop(store: Store) -> None:
    assert await store.log_size() == 0
    assert await store.truncate_log(100) == 0


async def test_the_tail_has_only_open_runs_of_the_shards_asked_for(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN, OTHER)
    await engine.close_run(OTHER)

    assert list(await store.read_tail(engine.shards)) == [RUN]
    assert await store.read_tail([]) == {}
    assert list(await store.read_tail([engine.shard_of(RUN)])) == [RUN]


async def test_a_large_body_comes_back_whole_from_every_place(store: Store, engine: Driver) -> None:
    body, blob = detach(LARGE)
    assert blob is not None
    await engine.start(RUN)
    transaction = engine.on(RUN, record(2, body=body))
    transaction.also.blobs = (blob,)
    await engine.receipt(transaction)

    assert (await store.read_journal(RUN))[-1].body == LARGE
    assert (await store.read_tail(engine.shards))[RUN].records[-1].body == LARGE

    await pack(engine, [record(1, kind="run_started"), record(2, body=body)], last_seq=2)

    assert (await store.read_journal(RUN))[-1].body == LARGE


async def test_a_blob_of_two_runs_outlives_the_first(store: Store, engine: Driver) -> None:
    body, blob = detach(LARGE)
    assert blob is not None
    await engine.start(RUN, OTHER)
    for run in (RUN, OTHER):
        transaction = engine.on(run, record(2, body=body))
        transaction.also.blobs = (blob,)
        await engine.receipt(transaction)
    await engine.close_run(RUN, closed_at=2_000)

    assert await store.prune(3_000, 10) == 1

    assert (await store.read_journal(OTHER))[-1].body == LARGE


async def test_a_childs_large_input_outlives_its_parent(store: Store, engine: Driver) -> None:
    body, blob = detach(LARGE)
    assert blob is not None
    await engine.start(RUN)
    child = RunId("order-1/child")
    transaction = engine.on(RUN, record(2, kind="child_started"))
    transaction.also.starts = engine.starting(
        engine.row(child), first=(record(1, kind="run_started", body=body),)
    ).also.starts
    transaction.also.blobs = (blob,)
    await engine.receipt(transaction)
    await engine.close_run(RUN, closed_at=2_000)

    assert await store.prune(3_000, 10) == 1

    assert the(await store.read_journal(child)).body == LARGE


async def test_a_long_history_reads_back(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    every = [record(1, kind="run_started"), *records(2, 3_000)]
    await engine.receipt(engine.on(RUN, *every[1:]))
    await pack(engine, every[:2_000], last_seq=3_000)

    assert await store.read_journal(RUN) == every
