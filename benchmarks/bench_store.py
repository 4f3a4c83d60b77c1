"""How many records does the SQLite store make durable in a second, and what does one cost?

Commits of 1, 10, 100 and 1,000 one-record transactions, through `SqliteStore` (the host loop, the
writer thread, and back) and, in turn with it, through a bare apsw loop that inserts the same rows
on the same disk without any thread: the floor. Prints rows/s and CPU of both, the ratio, and how
long the writer thread's Python takes for a record.

Run it: python benchmarks/bench_store.py [DIRECTORY]
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import apsw

from outlast._records import VALUE, Record
from outlast._store.rows import RunRow
from outlast._store.sqlite.connection import Cell, connect
from outlast._store.sqlite.opening import open_writer
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables import rows as sqlite_rows
from outlast._store.sqlite.tables.batch import Shard, write_batch
from outlast._store.transactions import CommitId, Effects, StartRun, Transaction
from outlast._world import RealWorld
from outlast.types import Lease, RunId

ROUNDS = 5
COMMITS = {1: 300, 10: 150, 100: 60, 1_000: 20}
RUN = RunId("0190c4e5-7e3b-7c53-9f0a-1f2e3d4c5b6a")


@dataclass(frozen=True, slots=True)
class Measured:
    rows_per_second: float
    cpu_microseconds: float


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        print(f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, "
              f"{platform.platform()}")  # fmt: skip
        print(f"{'':12} {'floor':>20} {'store':>20} {'of the floor':>13}")
        print(f"{'rows/commit':12} {'rows/s':>11} {'us CPU':>8} {'rows/s':>11} {'us CPU':>8}")
        asyncio.run(compare(Path(directory)))
        print(f"planning, Python only: {planning(Path(directory)):.2f} us a record")


async def compare(directory: Path) -> None:
    store = await SqliteStore.open(directory / "store.db", world=RealWorld())
    [lease] = await store.acquire_leases("bench", [0])
    row = RunRow(id=RUN, shard=0, workflow="m.f", version="1", status="running", created_at=1)
    start = StartRun(row, (record(1),), "never")
    started = Transaction(None, RUN, [], Effects(starts=(start,)))
    await store.commit(CommitId("bench", 1), [started])
    floor = Floor(directory / "floor.db")
    for size, commits in COMMITS.items():
        below: list[Measured] = []
        ours: list[Measured] = []
        for _ in range(ROUNDS):
            below.append(floor.measure(size, commits))
            ours.append(await measure(store, lease, size, commits))
        low = statistics.median(m.rows_per_second for m in below)
        high = statistics.median(m.rows_per_second for m in ours)
        print(
            f"{size:12,} {low:11,.0f} {statistics.median(m.cpu_microseconds for m in below):8.2f} "
            f"{high:11,.0f} {statistics.median(m.cpu_microseconds for m in ours):8.2f} "
            f"{high / low:12.2f}x"
        )
    await store.close()


async def measure(store: SqliteStore, lease: Lease, size: int, commits: int) -> Measured:
    batch = [Transaction(lease, RUN, [record(n)]) for n in range(size)]
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(commits):
        await store.commit(CommitId("bench", number), batch)
    return measured(began, cpu, size * commits)


class Floor:
    """The same rows, one statement a row count, on one thread."""

    def __init__(self, path: Path) -> None:
        self._db = connect(
            str(path),
            apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
            statements_cached=300,
        )
        self._db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL").fetchall()
        self._db.execute(
            "CREATE TABLE journal (position INTEGER PRIMARY KEY, run TEXT NOT NULL, "
            "seq INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, "
            "at INTEGER NOT NULL, epoch INTEGER NOT NULL, attempt INTEGER NOT NULL, "
            "place TEXT NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT"
        )
        self._position = 0

    def measure(self, size: int, commits: int) -> Measured:
        batch = [record(n) for n in range(size)]
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(commits):
            cells: list[Cell] = []
            for r in batch:
                self._position += 1
                cells += (self._position, RUN, r.seq, r.kind, r.key, r.name, r.at, r.epoch,
                          r.attempt, r.place, r.body, r.waited, r.took,
                          crc32(r.body), 1)  # fmt: skip
            self._db.execute("BEGIN IMMEDIATE")
            sqlite_rows.JOURNAL.write(self._db, cells)
            self._db.execute("COMMIT")
        return measured(began, cpu, size * commits)


def planning(directory: Path) -> float:
    """Return the microseconds that a record costs before SQLite has it."""
    batch = [Transaction(None, RUN, [record(n)]) for n in range(1_000)]
    db = open_writer(directory / "store.db")
    db.execute("BEGIN IMMEDIATE; DELETE FROM journal")
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        write_batch(db, Shard("", 0, 0, 0, 0), batch)
        whole = time.perf_counter() - began
        db.execute("DELETE FROM journal")
        cells: list[Cell] = []
        for n, transaction in enumerate(batch, start=1):
            for r in transaction.records:
                cells += (n, RUN, r.seq, r.kind, r.key, r.name, r.at, r.epoch,
                          r.attempt, r.place, r.body, r.waited, r.took,
                          crc32(r.body), 1)  # fmt: skip
        began = time.perf_counter()
        sqlite_rows.JOURNAL.write(db, cells)
        times.append(whole - (time.perf_counter() - began))
        db.execute("DELETE FROM journal")
    db.execute("ROLLBACK")
    db.close()
    return statistics.median(times) / len(batch) * 1e6


def record(seq: int) -> Record:
    return Record(seq, "step_done", "0.1:4", "charge", 1_700_000_000_000_000, 1, 0,
                  "shop/orders.py:42", VALUE + b"x" * 60)  # fmt: skip


def measured(began: float, cpu: float, rows: int) -> Measured:
    return Measured(rows / (time.perf_counter() - began), (time.process_time() - cpu) / rows * 1e6)


if __name__ == "__main__":
    main()
