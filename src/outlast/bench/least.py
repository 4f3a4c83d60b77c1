"""The least program that makes steps durable: what a step costs when nothing but that is promised.

Each run is a task, each step a future; values are encoded, committed by a writer thread in groups
(write-ahead log, `synchronous=FULL`), decoded, and seen only then. There are no leases, keys,
arguments, replay, errors, timeouts or readers: what the engine costs beside this is their price.
"""

from __future__ import annotations

import asyncio
import threading
import time
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import apsw
import msgspec

from outlast._store.sqlite.connection import Connection, connect
from outlast.bench.result import Rate

_INSERT = "INSERT INTO log (run, seq, key, body) VALUES (?, ?, ?, ?)"


class _Row(msgspec.Struct, eq=False):
    run: str
    seq: int
    key: str
    body: bytes
    seen: Future[object]


class LeastSteps:
    """Runs of durable steps in one database file."""

    def __init__(self, path: Path) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        self._db = connect(str(path), flags)
        self._db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL").fetchall()
        self._db.execute(
            "CREATE TABLE log (id INTEGER PRIMARY KEY, run TEXT, seq INTEGER, key TEXT, body BLOB)"
        )

    async def measure(self, runs: int, steps: int) -> Rate:
        """Run so many runs of so many steps at once."""
        writer = _Writer(self._db, asyncio.get_running_loop())
        began, cpu_began = time.perf_counter(), time.process_time()
        await asyncio.gather(*(_run(writer, f"r{number}", steps) for number in range(runs)))
        rate = Rate.since(began, cpu_began, runs * steps)
        writer.close()
        return rate

    def close(self) -> None:
        """Close the file."""
        self._db.close()


async def _run(writer: _Writer, run: str, steps: int) -> int:
    number = 0
    for seq in range(steps):
        key = f"0#{seq}:add"
        found: object = await writer.durable(run, seq, key, await _add(number))
        number = found if isinstance(found, int) else 0
    return number


async def _add(number: int) -> int:
    return number + 1


class _Writer:
    """The group commit, without anything around it."""

    def __init__(self, db: Connection, loop: AbstractEventLoop) -> None:
        self._db = db
        self._loop = loop
        self._rows: list[_Row] = []
        self._is_busy = False
        self._encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], object] = msgspec.msgpack.Decoder().decode
        self._batches: SimpleQueue[list[_Row] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="least", daemon=True)
        self._thread.start()

    def durable(self, run: str, seq: int, key: str, value: object) -> Future[object]:
        """Return a future of the value, given when it is durable."""
        seen: Future[object] = self._loop.create_future()
        if not (self._rows or self._is_busy):
            self._loop.call_soon(self._send)
        self._rows.append(_Row(run, seq, key, self._encode(value), seen))
        return seen

    def close(self) -> None:
        """End the thread."""
        self._batches.put(None)
        self._thread.join()

    def _send(self) -> None:
        if self._rows and not self._is_busy:
            self._is_busy = True
            batch, self._rows = self._rows, []
            self._batches.put(batch)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_INSERT, [(r.run, r.seq, r.key, r.body) for r in batch])
            self._db.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._committed, batch)

    def _committed(self, batch: list[_Row]) -> None:
        self._is_busy = False
        for row in batch:
            row.seen.set_result(self._decode(row.body))
        self._loop.call_soon(self._send)
