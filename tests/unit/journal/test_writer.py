"""The group commit while its store is in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from outlast._events import Events
from outlast._journal.writer import Writer
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.store import MemoryStore
from outlast._store.rows import Message
from outlast._store.transactions import Effects, Receipt, StartRun, Transaction
from outlast._world import RealWorld
from outlast.errors import StoreError, StoreFull, StoreReplaced
from tests.conformance.driving import RUN, new_row, record, signal


class FullOnce:
    """A store that is full for its second commit, and slow after that."""

    def __init__(self) -> None:
        self.commits = 0

    async def after_read(self) -> None:
        """Nothing."""

    async def before_commit(self, batch: Sequence[Transaction]) -> None:
        """Refuse the second."""
        self.commits += 1
        if self.commits == 2:
            raise StoreFull("no room")
        for _ in range(5):
            await asyncio.sleep(0)

    async def after_commit(self, batch: Sequence[Transaction]) -> None:
        """Nothing."""


async def test_what_is_on_its_way_with_something_urgent_is_not_refused() -> None:
    world = RealWorld()
    store = MemoryStore(MemoryDatabase(clock=world.now), world, faults=FullOnce())
    writer = Writer(store, world, owner="w", events=Events())
    start = StartRun(new_row(RUN), (record(1, kind="run_started"),), "never")
    await writer.commit(Transaction(None, RUN, [], Effects(starts=(start,))))
    written: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    writer.submit(Transaction(None, RUN, []), lambda _, result: written.set_result(result))
    for _ in range(20):
        await asyncio.sleep(0)
    assert writer._backoff.is_pausing
    refused: list[StoreError] = []
    results: list[object] = []

    # The pause before the next try ends in the turn in which these two come from outside.
    writer._backoff.end()
    for message in (signal(RUN), Message(run=RUN, kind="cancel")):
        posting = Transaction(None, RUN, [], Effects(posts=(message,)))
        writer.submit(posting, lambda _, result: results.append(result), refused=refused.append)
    await asyncio.wait_for(writer.flushed(), 30)

    assert isinstance(await written, Receipt)
    assert [r.posts for r in results if isinstance(r, Receipt)] == [("accepted",), ("accepted",)]
    assert refused == []


async def test_a_store_that_breaks_while_it_is_full_refuses_all_that_waits_for_it() -> None:
    world = RealWorld()
    events = Events()
    store = MemoryStore(MemoryDatabase(clock=world.now), world, faults=FullOnce())
    writer = Writer(store, world, owner="w", events=events)
    start = StartRun(new_row(RUN), (record(1, kind="run_started"),), "never")
    await writer.commit(Transaction(None, RUN, [], Effects(starts=(start,))))
    writer.submit(Transaction(None, RUN, []), _must_not_be_done)
    for _ in range(20):
        await asyncio.sleep(0)
    assert writer._backoff.is_pausing
    asked = asyncio.ensure_future(
        writer.commit(Transaction(None, RUN, [], Effects(posts=(Message(run=RUN, kind="cancel"),))))
    )
    await asyncio.sleep(0)

    writer.fail(StoreReplaced("the lease is lost"))

    with pytest.raises(StoreReplaced, match="the lease is lost"):
        await asyncio.wait_for(asked, 30)
    with pytest.raises(StoreReplaced, match="the lease is lost"):
        await writer.commit(Transaction(None, RUN, []))
    assert not writer.is_busy
    assert isinstance(events.fatal, StoreReplaced)


def _must_not_be_done(_: Transaction, __: object) -> None:
    raise AssertionError("it was not committed")
