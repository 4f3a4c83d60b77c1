"""What is looked up for clients is bounded, takes turns, and never keeps the engine waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from outlast import limits
from outlast._store.asking import TooLong, asked_by
from outlast._store.contract import RunFilter
from outlast._store.sqlite import lookups as sqlite_lookups
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.lookups import LookupThreads
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables import listing as sqlite_listing
from outlast._store.sqlite.tables.checks import Reading
from outlast._world import RealWorld
from outlast.errors import StoreBusy, StoreError
from outlast.types import RunId

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"


def endless(db: Connection, *_: object) -> int:
    db.execute("BEGIN")
    db.execute(ENDLESS).fetchall()
    return 0


def at_once(reading: Reading) -> int:
    reading.db.execute("SELECT 1").fetchall()
    return 1


def counting(steps: int) -> Callable[[Reading], int]:
    """A lookup of so many steps, with an end."""

    def count(reading: Reading) -> int:
        reading.db.execute(ENDLESS.replace("FROM c)", f"FROM c WHERE n < {steps})")).fetchall()
        return steps

    return count


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a thread tells nobody
            await asyncio.sleep(0.001)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "o.db", world=RealWorld())
    yield store
    await store.close()


@pytest.fixture
def threads(store: SqliteStore) -> LookupThreads:
    return store._lookup_threads


def client(name: str, threads: LookupThreads, job: Callable[[Reading], int]) -> asyncio.Future[int]:
    with asked_by(name, "here"):
        return threads.call(job)


def never_ends(reading: Reading) -> int:
    return endless(reading.db)


async def test_a_client_s_lookup_that_takes_too_long_is_ended(
    threads: LookupThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 0.02)

    with pytest.raises(TooLong):
        await client("ann", threads, never_ends)

    assert await client("ann", threads, at_once) == 1  # the connection has no transaction left


async def test_a_lookup_that_nobody_waits_for_is_ended(threads: LookupThreads) -> None:
    waiting = [threads.call(never_ends) for _ in range(6)]
    await until(lambda: len(threads._at_work) > 0)

    for each in waiting:
        each.cancel()

    await until(lambda: not threads._at_work)
    assert await threads.call(at_once) == 1


async def test_a_lookup_that_is_at_work_when_the_store_closes_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 1e9)
    store = await SqliteStore.open(tmp_path / "closing.db", world=RealWorld())
    looking = [client(name, store._lookup_threads, never_ends) for name in ("a", "a", "b", "c")]
    await until(lambda: len(store._lookup_threads._at_work) == sqlite_lookups.SLOW)

    async with asyncio.timeout(30):
        await store.close()

    for each in looking:
        with pytest.raises(StoreError, match="closed"):
            await each


async def test_who_asks_for_little_waits_behind_nobody_who_asks_for_much(
    threads: LookupThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 1e9)
    much = [client(name, threads, never_ends) for name in ("ann", "bob", "cid") for _ in range(4)]

    async with asyncio.timeout(30):
        assert await client("dan", threads, at_once) == 1
        assert await client("ann", threads, at_once) == 1  # nor behind itself

    assert not any(each.done() for each in much)
    for each in much:
        each.cancel()


async def test_one_client_s_long_lookups_leave_a_connection_for_others(
    threads: LookupThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKUP_QUICK_SECONDS", 0.005)
    monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 1e9)
    much = [client("ann", threads, never_ends) for _ in range(8)]
    await until(lambda: len(threads._at_work) == 1)

    async with asyncio.timeout(30):
        assert await client("bob", threads, counting(1_000_000)) == 1_000_000

    for each in much:
        each.cancel()


async def test_a_client_s_wide_lookups_are_behind_its_own_at_once(
    threads: LookupThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 1e9)
    first = client("ann", threads, never_ends)
    await until(
        lambda: threads._slow.has(next(iter(threads._at_work))) if threads._at_work else False
    )
    begun: list[str] = []

    def wide(_: Reading) -> int:
        begun.append("wide")
        return 1

    with asked_by("ann", "elsewhere"):
        second = threads.call(wide, is_wide=True)
    assert await client("ann", threads, at_once) == 1
    assert not begun
    first.cancel()
    assert await second == 1


async def test_too_many_long_lookups_of_a_client_are_refused(
    threads: LookupThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 1e9)
    much = [client("ann", threads, never_ends) for _ in range(limits.LONG_LOOKUPS_WAITING_MAX + 2)]

    done, waiting = await asyncio.wait(much, return_when=asyncio.FIRST_COMPLETED, timeout=30)

    with pytest.raises(StoreBusy):
        await done.pop()
    for each in waiting:
        each.cancel()


async def test_too_many_lookups_of_a_client_are_refused_at_once(
    threads: LookupThreads, store: SqliteStore
) -> None:
    looking: list[asyncio.Future[int]] = []

    def look() -> None:
        for _ in range(limits.LOOKUPS_WAITING_MAX + sqlite_lookups.QUICK + 1):
            looking.append(client("ann", threads, never_ends))

    with pytest.raises(StoreBusy):
        look()

    for each in looking:
        each.cancel()
    await asyncio.sleep(0)  # that they were is told in a callback
    with asked_by("ann", "here"):
        assert await store.lookups.read_run(RunId("x")) is None


async def test_who_waited_too_long_for_a_turn_is_refused(
    threads: LookupThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKUP_WAIT_SECONDS", -1.0)

    with pytest.raises(StoreBusy):
        await client("ann", threads, at_once)
    assert await threads.call(at_once) == 1  # a program waits


async def test_the_engine_reads_while_others_have_everything_looked_up(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_listing, "count_runs", endless)
    looking = [
        asyncio.ensure_future(store.lookups.count_runs(RunFilter(), 1))  # by the program
        for _ in range(20)
    ]
    await asyncio.sleep(0)

    async with asyncio.timeout(30):
        assert await store.read_run(RunId("x")) is None
        assert await store.list_runs(RunFilter(), None, 1) == []

    for each in looking:
        each.cancel()
