from __future__ import annotations

import msgspec
import pytest

from outlast._store.contract import Store
from outlast.types import RunId, Status
from tests.conformance.driving import CLOSED, OPEN, OTHER, RUN, Driver

THIRD = RunId("order-3")


async def passivate(
    engine: Driver, run: RunId, wake_at: int | None, status: Status = "waiting"
) -> None:
    await engine.summarise(
        msgspec.structs.replace(
            await engine.current(run), resident=False, wake_at=wake_at, status=status
        )
    )


async def due(store: Store, engine: Driver, now: int, limit: int = 10) -> list[RunId]:
    return [row.id for row in await store.due_runs(engine.shards, now, limit)]


async def test_due_runs_come_earliest_first_and_no_more_than_asked_for(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN, OTHER, THIRD)
    await passivate(engine, RUN, 300)
    await passivate(engine, OTHER, 100)
    await passivate(engine, THIRD, 200)

    assert await due(store, engine, 99) == []
    assert await due(store, engine, 200) == [OTHER, THIRD]
    assert await due(store, engine, 999) == [OTHER, THIRD, RUN]
    assert await due(store, engine, 999, limit=1) == [OTHER]
    assert await store.due_runs([], 999, 10) == []


async def test_the_next_wake_is_the_earliest(store: Store, engine: Driver) -> None:
    assert await store.next_wake(engine.shards) is None
    await engine.start(RUN, OTHER, THIRD)
    await passivate(engine, RUN, 300)
    await passivate(engine, OTHER, 100)
    await passivate(engine, THIRD, None)

    assert await store.next_wake(engine.shards) == 100
    assert await store.next_wake(engine.shards, 99) == 100
    assert await store.next_wake(engine.shards, 100) == 300
    assert await store.next_wake(engine.shards, 300) is None
    assert await store.next_wake([]) is None


async def test_a_later_deadline_replaces_the_earlier_one(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await passivate(engine, RUN, 100)
    await passivate(engine, RUN, 500)

    assert await due(store, engine, 200) == []
    assert await store.next_wake(engine.shards) == 500


async def test_a_resident_run_is_not_due(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await engine.summarise(msgspec.structs.replace(await engine.current(RUN), wake_at=100))

    assert await due(store, engine, 200) == []
    assert await store.next_wake(engine.shards) is None


@pytest.mark.parametrize("status", CLOSED)
async def test_a_closed_run_is_not_due(store: Store, engine: Driver, status: Status) -> None:
    await engine.start(RUN)
    await passivate(engine, RUN, 100, status)

    assert await due(store, engine, 200) == []
    assert await store.next_wake(engine.shards) is None


async def test_a_run_that_was_deleted_is_not_due(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    await passivate(engine, RUN, 100)
    await passivate(engine, OTHER, 200)
    row = await engine.current(OTHER)
    await engine.summarise(msgspec.structs.replace(row, status="completed", closed_at=1))
    await store.prune(closed_before=2, limit=10)

    assert await due(store, engine, 300) == [RUN]


@pytest.mark.parametrize("status", OPEN)
async def test_a_passivated_open_run_is_due_whatever_it_does(
    store: Store, engine: Driver, status: Status
) -> None:
    await engine.start(RUN)
    await passivate(engine, RUN, 100, status)

    assert await due(store, engine, 200) == [RUN]


async def test_a_run_may_start_passivated(store: Store, engine: Driver) -> None:
    row = msgspec.structs.replace(engine.row(RUN), resident=False, wake_at=50, status="pending")
    await engine.receipt(engine.starting(row))

    assert await due(store, engine, 50) == [RUN]
    assert await store.resident_runs(engine.shards) == []


async def test_resident_runs_are_the_open_ones_in_memory_oldest_first(
    store: Store, engine: Driver
) -> None:
    fourth = RunId("order-4")
    await engine.start(THIRD, OTHER, RUN, fourth)
    await passivate(engine, OTHER, 100)
    await engine.close_run(fourth)

    rows = await store.resident_runs(engine.shards)

    assert [row.id for row in rows] == [THIRD, RUN]
    assert rows[0] == await engine.current(THIRD)
    assert await store.resident_runs([]) == []


async def test_a_run_comes_back_into_memory(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await passivate(engine, RUN, 100)
    await engine.summarise(msgspec.structs.replace(await engine.current(RUN), resident=True))

    assert await due(store, engine, 200) == []
    assert [row.id for row in await store.resident_runs(engine.shards)] == [RUN]
