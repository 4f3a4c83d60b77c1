from __future__ import annotations

from outlast._store.contract import Store
from outlast._store.transactions import FENCED, Receipt
from tests.conformance.conftest import Home
from tests.conformance.driving import RUN, Driver, record, records, signal, the


async def test_the_first_owner_gets_every_shard_under_the_first_epoch(store: Store) -> None:
    leases = await store.acquire_leases("engine-1", range(store.shards_count))

    assert [lease.shard for lease in leases] == list(range(store.shards_count))
    assert {(lease.owner, lease.epoch, lease.was_left) for lease in leases} == {
        ("engine-1", 1, False)
    }


async def test_only_the_shards_asked_for_are_taken(store: Store) -> None:
    assert await store.acquire_leases("engine-1", []) == []
    assert [lease.shard for lease in await store.acquire_leases("engine-1", [0])] == [0]


async def test_a_held_lease_is_not_taken_by_another(store: Store) -> None:
    held = await store.acquire_leases("engine-1", range(store.shards_count))

    assert await store.acquire_leases("engine-2", range(store.shards_count)) == []
    assert store.renew_leases(held) == held


async def test_a_lease_given_back_is_free_at_once_under_the_next_epoch(store: Store) -> None:
    await store.release_leases(await store.acquire_leases("engine-1", [0]))

    lease = the(await store.acquire_leases("engine-2", [0]))

    assert (lease.owner, lease.epoch, lease.was_left) == ("engine-2", 2, False)


async def test_an_owner_that_acquires_again_gets_the_next_epoch(store: Store) -> None:
    first = the(await store.acquire_leases("engine-1", [0]))
    second = the(await store.acquire_leases("engine-1", [0]))

    assert (second.epoch, second.was_left) == (2, True)
    assert store.renew_leases([first]) == []
    assert store.renew_leases([second]) == [second]


async def test_a_lease_given_back_is_not_renewed(store: Store) -> None:
    leases = await store.acquire_leases("engine-1", range(store.shards_count))

    await store.release_leases(leases)

    assert store.renew_leases(leases) == []


async def test_giving_back_a_stale_lease_leaves_the_present_one_alone(store: Store) -> None:
    stale = await store.acquire_leases("engine-1", [0])
    present = await store.acquire_leases("engine-1", [0])

    await store.release_leases(stale)

    assert store.renew_leases(present) == present


async def test_a_dead_owners_lease_passes_on_and_says_that_it_was_left(
    home: Home, store: Store
) -> None:
    await Driver.begin(store, "engine-1")

    reopened = await home.open_after_a_death(store)
    lease = the(await reopened.acquire_leases("engine-2", [0]))
    await reopened.close()

    assert (lease.owner, lease.epoch, lease.was_left) == ("engine-2", 2, True)


async def test_a_transaction_under_a_lost_lease_leaves_no_trace(home: Home, store: Store) -> None:
    dead = await Driver.begin(store, "engine-1")
    await dead.start(RUN)
    await dead.post(signal(RUN))
    before = await store.read_run(RUN)
    reopened = await home.open_after_a_death(store)
    await Driver.begin(reopened, "engine-2")

    zombie = Driver(reopened, "engine-1")
    zombie.leases = dead.leases
    late = zombie.on(RUN, record(2))
    late.also.posts = (signal(RUN, body=b"2"),)
    late.also.consumed = (1,)
    late.also.values = (("total", b"1"),)
    late.also.summary = before

    assert await zombie.commit(late) == [FENCED]
    assert await reopened.read_journal(RUN) == [record(1, kind="run_started")]
    assert len(await reopened.read_mailbox(RUN, 10)) == 1
    assert await reopened.read_value(RUN, "total") is None
    await reopened.close()


async def test_a_stale_epoch_is_fenced_and_its_neighbours_are_not(store: Store) -> None:
    stale = await Driver.begin(store, "engine-1")
    await stale.start(RUN)
    present = await Driver.begin(store, "engine-1")

    results = await present.commit(
        present.on(RUN, record(2)),
        stale.on(RUN, record(99)),
        present.posting(signal(RUN)),
        present.on(RUN, record(3)),
    )

    assert [result == FENCED for result in results] == [False, True, False, False]
    assert [r.seq for r in await store.read_journal(RUN)] == [1, 2, 3]


async def test_a_lease_given_back_writes_nothing(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await store.release_leases(list(engine.leases.values()))

    results = await engine.commit(engine.on(RUN, record(2)), engine.posting(signal(RUN)))

    assert results[0] == FENCED
    assert isinstance(results[1], Receipt)  # what needs no lease goes through
    assert len(await store.read_journal(RUN)) == 1


async def test_an_epoch_of_another_owner_is_no_right_to_write(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    other = Driver(store, "engine-2")
    other.leases = {
        shard: type(lease)(shard, "engine-2", lease.epoch) for shard, lease in engine.leases.items()
    }

    assert await other.commit(other.on(RUN, *records(2, 3))) == [FENCED]
    assert len(await store.read_journal(RUN)) == 1
