"""What the machine can do without us: the floors that our figures are held against.

Each is the least code that does the same physical work: the same row made durable by the same
SQLite on the same disk, the same number of tasks or sleeps on the same kind of loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from asyncio import Future
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import apsw

from outlast._store.sqlite.connection import Cell, connect

_COLUMNS = 12
_ROW = f"({','.join('?' * _COLUMNS)})"
_ROWS_A_STATEMENT = 100
_ONE = f"INSERT INTO journal VALUES {_ROW}"
_MANY = f"INSERT INTO journal VALUES {','.join([_ROW] * _ROWS_A_STATEMENT)}"


class CommitFloor:
    """Bare commits of rows like a journal's: WAL, `synchronous=FULL`."""

    def __init__(self, path: Path) -> None:
        self._db = connect(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        self._db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL").fetchall()
        self._db.execute(
            "CREATE TABLE journal (position INTEGER PRIMARY KEY, run TEXT, seq INTEGER, "
            "kind TEXT, key TEXT, name TEXT, at INTEGER, epoch INTEGER, attempt INTEGER, "
            "place TEXT, body BLOB, checksum INTEGER) STRICT"
        )
        self._position = 0
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="floor", daemon=True)
        self._thread.start()

    async def one_row_commits(self, count: int) -> list[float]:
        """Return the seconds of one-row commits, each handed to a thread and back to the loop."""
        loop = asyncio.get_running_loop()
        times: list[float] = []
        for _ in range(count):
            began = time.perf_counter()
            done: Future[None] = loop.create_future()

            def work(done: Future[None] = done) -> None:
                self._db.execute(_ONE, self._row())
                loop.call_soon_threadsafe(done.set_result, None)

            self._queue.put(work)
            await done
            times.append(time.perf_counter() - began)
        return times

    def batched_rows_per_second(self, commits: int, rows: int) -> float:
        """Return how many rows become durable in a second, `rows` of them a commit."""
        began = time.perf_counter()
        for _ in range(commits):
            self._db.execute("BEGIN IMMEDIATE")
            for _ in range(rows // _ROWS_A_STATEMENT):
                cells = [cell for _ in range(_ROWS_A_STATEMENT) for cell in self._row()]
                self._db.execute(_MANY, cells)
            self._db.execute("COMMIT")
        return commits * rows / (time.perf_counter() - began)

    def close(self) -> None:
        """End the thread and the connection."""
        self._queue.put(None)
        self._thread.join()
        self._db.close()

    def _row(self) -> list[Cell]:
        self._position += 1
        return [self._position, "0190c4e5-7e3b-7c53-9f0a-1f2e3d4c5b6a", 7, "step_done", "0#7:add",
                "outlast.bench.flows.add", 1_700_000_000_000_000, 1, 1,
                "flows.py:42", b"\x00\x07", 12345]  # fmt: skip

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()


async def callbacks_per_second(count: int) -> float:
    """Return how many callbacks a bare loop calls in a second, each of which asks for the next."""
    loop = asyncio.get_running_loop()
    done: Future[None] = loop.create_future()
    left = count

    def call() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(call)
        else:
            done.set_result(None)

    began = time.perf_counter()
    loop.call_soon(call)
    await done
    return count / (time.perf_counter() - began)


async def loop_overshoots(sleepers: int, naps: int, seconds: float) -> list[float]:
    """Return by how many seconds the sleeps of a bare loop are late."""

    async def sleeper() -> list[float]:
        late: list[float] = []
        for _ in range(naps):
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            late.append(time.perf_counter() - began - seconds)
        return late

    found = await asyncio.gather(*(sleeper() for _ in range(sleepers)))
    return [late for one in found for late in one]


def thread_overshoots(naps: int, seconds: float) -> list[float]:
    """Return by how many seconds the system's own sleeps are late."""
    late: list[float] = []
    for _ in range(naps):
        began = time.perf_counter()
        time.sleep(seconds)
        late.append(time.perf_counter() - began - seconds)
    return late
