from __future__ import annotations

import msgspec

from outlast._store.contract import RunFilter, Store
from outlast._store.transactions import FENCED
from outlast.types import RunId
from tests.conformance.conftest import Home
from tests.conformance.driving import OTHER, RUN, Driver, record, records, segment, signal, the


async def test_only_runs_closed_long_enough_are_pruned(store: Store, engine: Driver) -> None:
    third = RunId("order-3")
    await engine.start(RUN, OTHER, third)
    await engine.close_run(RUN, closed_at=2_000)
    await engine.close_run(OTHER, "failed", closed_at=3_000)

    assert await store.prune(2_000, 10) == 0
    assert await store.prune(2_001, 10) == 1

    left = {row.id for row in await store.list_runs(RunFilter(), None, 10)}
    assert left == {OTHER, third}


async def test_no_more_runs_are_pruned_than_asked_for(store: Store, engine: Driver) -> None:
    runs = [RunId(f"r-{n}") for n in range(5)]
    await engine.start(*runs)
    for run in runs:
        await engine.close_run(run)

    assert [await store.prune(9_999, 2) for _ in range(4)] == [2, 2, 1, 0]


async def test_a_pruned_run_is_gone_with_all_it_owned(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await engine.post(signal(RUN))
    full = engine.on(RUN, record(2))
    full.also.values = (("total", b"1"),)
    full.also.segments = (segment(RUN, [record(1, kind="run_started")]),)
    await engine.receipt(full)
    await engine.close_run(RUN)

    await store.prune(9_999, 10)

    assert await store.read_run(RUN) is None
    assert await store.read_journal(RUN) == []
    assert await store.read_mailbox(RUN, 10) == []
    assert await store.read_value(RUN, "total") is None
    assert (await engine.post(signal(RUN))).posts == ("not_found",)


async def test_a_pruned_id_may_be_used_again(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await engine.receipt(engine.on(RUN, *records(2, 4)))
    await engine.close_run(RUN)
    await store.prune(9_999, 10)

    await engine.start(RUN)

    assert await store.read_journal(RUN) == [record(1, kind="run_started")]
    assert the((await store.read_tail(engine.shards))[RUN].records).seq == 1


async def test_all_that_was_committed_is_there_after_a_death(home: Home, store: Store) -> None:
    engine = await Driver.begin(store)
    await engine.start(RUN, OTHER)
    full = engine.on(RUN, *records(2, 40))
    full.also.values = (("total", b"1"),)
    full.also.summary = msgspec.structs.replace(
        await engine.current(RUN), resident=False, wake_at=77, attributes='{"a":1}'
    )
    await engine.commit(full, engine.posting(signal(OTHER, body=b"hello")))
    before = [await store.read_run(RUN), await store.read_run(OTHER)]

    reopened = await home.open_after_a_death(store)

    assert [await reopened.read_run(RUN), await reopened.read_run(OTHER)] == before
    assert len(await reopened.read_journal(RUN)) == 40
    assert len((await reopened.read_tail(engine.shards))[RUN].records) == 40
    assert the(await reopened.read_mailbox(OTHER, 10)).body == b"hello"
    assert await reopened.read_value(RUN, "total") == b"1"
    assert await reopened.next_wake(engine.shards) == 77
    await reopened.close()


async def test_a_successor_writes_on_where_the_dead_one_stopped(home: Home, store: Store) -> None:
    dead = await Driver.begin(store)
    await dead.start(RUN)
    reopened = await home.open_after_a_death(store)
    heir = await Driver.begin(reopened, "engine-2")

    await heir.receipt(heir.on(RUN, record(2)))
    zombie = Driver(reopened, dead.owner)
    zombie.leases, zombie.number = dead.leases, dead.number

    assert await zombie.commit(zombie.on(RUN, record(2))) == [FENCED]
    assert [r.seq for r in await reopened.read_journal(RUN)] == [1, 2]
    await reopened.close()


async def test_a_store_may_be_closed_twice(store: Store) -> None:
    await store.close()
    await store.close()
