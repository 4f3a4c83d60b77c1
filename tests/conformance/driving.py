"""A store driven like an engine drives it, in as few words as a test wants to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

import msgspec

from outlast._records import VALUE, Kind, Record, pack_records
from outlast._store.contract import Store
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import (
    CommitId,
    CommitResult,
    Effects,
    Receipt,
    Segment,
    StartRun,
    Transaction,
)
from outlast.types import Lease, Reuse, RunId, Status

RUN = RunId("order-1")
OTHER = RunId("order-2")
CLOSED: tuple[Status, ...] = ("completed", "failed", "cancelled", "terminated", "timed_out")
OPEN: tuple[Status, ...] = ("pending", "running", "waiting", "paused", "parked")

E = TypeVar("E")


def new_row(run: RunId, *, shard: int = 0, created_at: int = 1_000) -> RunRow:
    return RunRow(
        id=run,
        shard=shard,
        workflow="shop.orders.refund",
        version="v1",
        status="running",
        created_at=created_at,
        last_seq=1,
        digest=b"\x01\x02",
    )


def record(seq: int, *, body: bytes = VALUE + b"x", kind: Kind = "step_done") -> Record:
    return Record(seq, kind, f"0:{seq}", "charge", 1_000 + seq, 1, 0, "shop.py:7", body)


def records(first: int, last: int) -> list[Record]:
    return [record(seq) for seq in range(first, last + 1)]


def signal(run: RunId, *, body: bytes = b"1", dedup: str = "", name: str = "paid") -> Message:
    return Message(run=run, kind="signal", name=name, body=body, dedup=dedup, at=5)


def segment(run: RunId, packed: Sequence[Record]) -> Segment:
    return Segment(run, packed[0].seq, packed[-1].seq, pack_records(list(packed)))


def the(items: Sequence[E]) -> E:
    assert len(items) == 1, items
    return items[0]


class Driver:
    """One engine: an owner of leases that numbers its commits."""

    def __init__(self, store: Store, owner: str) -> None:
        self.store = store
        self.owner = owner
        self.leases: dict[int, Lease] = {}
        self.number = 0

    @classmethod
    async def begin(cls, store: Store, owner: str = "engine-1") -> Driver:
        driver = cls(store, owner)
        taken = await store.acquire_leases(owner, driver.shards)
        driver.leases = {lease.shard: lease for lease in taken}
        return driver

    @property
    def shards(self) -> range:
        return range(self.store.shards_count)

    def shard_of(self, run: RunId) -> int:
        return crc32(run.encode()) % self.store.shards_count

    def row(self, run: RunId, *, created_at: int = 1_000) -> RunRow:
        return new_row(run, shard=self.shard_of(run), created_at=created_at)

    def on(self, run: RunId, *appended: Record) -> Transaction:
        """Return a transaction under the lease for a run."""
        return Transaction(self.leases[self.shard_of(run)], run, list(appended))

    async def commit(self, *batch: Transaction) -> list[CommitResult]:
        self.number += 1
        return await self.store.commit(CommitId(self.owner, self.number), batch)

    async def receipt(self, transaction: Transaction) -> Receipt:
        result = the(await self.commit(transaction))
        assert isinstance(result, Receipt)
        return result

    def starting(
        self,
        row: RunRow,
        *,
        reuse: Reuse = "if_failed",
        first: Sequence[Record] = (record(1, kind="run_started"),),
    ) -> Transaction:
        start = StartRun(row, tuple(first), reuse)
        return Transaction(None, row.id, [], Effects(starts=(start,)))

    async def start(self, *runs: RunId) -> None:
        for created_at, run in enumerate(runs, start=1_000):
            await self.receipt(self.starting(self.row(run, created_at=created_at)))

    def posting(self, *messages: Message) -> Transaction:
        return Transaction(None, messages[0].run, [], Effects(posts=messages))

    async def post(self, *messages: Message) -> Receipt:
        return await self.receipt(self.posting(*messages))

    async def current(self, run: RunId) -> RunRow:
        row = await self.store.read_run(run)
        assert row is not None
        return row

    async def summarise(self, row: RunRow) -> None:
        transaction = self.on(row.id)
        transaction.also.summary = row
        await self.receipt(transaction)

    async def close_run(
        self, run: RunId, status: Status = "completed", *, closed_at: int = 2_000
    ) -> None:
        row = await self.current(run)
        await self.summarise(
            msgspec.structs.replace(row, status=status, closed_at=closed_at, resident=False)
        )


async def pack(engine: Driver, packed: list[Record], *, last_seq: int) -> None:
    """Pack records of RUN as its owner does: the segment and the row in one transaction."""
    transaction = engine.on(RUN)
    transaction.also.segments = (segment(RUN, packed),)
    transaction.also.summary = msgspec.structs.replace(
        await engine.current(RUN), packed_seq=packed[-1].seq, last_seq=last_seq
    )
    await engine.receipt(transaction)
