"""A program whose disk stops syncing the log at its word, and what its engine then says.

It is run as `python -m tests.crash.failing_syncs DATABASE`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable

import apsw
from typing_extensions import override

from outlast import Engine
from outlast.errors import StoreUnavailable
from tests.crash.waiting_flows import go, waits


class Disk(apsw.VFS):
    """SQLite's own, but for syncs of the log while `is_failing`."""

    is_failing = False

    def __init__(self) -> None:
        super().__init__("failing-syncs", "unix", makedefault=True)

    @override
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return File(name, flags)


class File(apsw.VFSFile):
    """A file of that disk."""

    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("unix", name, flags)

    @override
    def xSync(self, flags: int) -> None:
        if self._is_log and Disk.is_failing:
            error = apsw.IOError("the device does not sync")
            vars(error)["extendedresult"] = apsw.SQLITE_IOERR_FSYNC
            raise error
        super().xSync(flags)


async def refused(work: Awaitable[object]) -> None:
    """Say what a verb raised, and whether that took less than fifteen seconds."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(60):
            await work
    except StoreUnavailable as error:
        print("refused", time.monotonic() - began < 15, "not known" in f"{error}", flush=True)
    else:
        print("taken", flush=True)


async def main(database: str) -> None:
    """Open, fail, be refused, mend, go on."""
    try:
        await _work(database)
    except StoreUnavailable as error:
        print("left", "does not sync" in f"{error}", flush=True)


async def _work(database: str) -> None:
    async with Engine.open(database) as engine:
        await engine.start(waits(1), id="before")
        Disk.is_failing = True
        await refused(engine.start(waits(2), id="first"))
        await refused(engine.start(waits(3), id="second"))
        await refused(engine.get("before").signal(go, 1))
        print("trouble", isinstance(engine._core.writer.trouble, StoreUnavailable), flush=True)
        Disk.is_failing = False
        await engine._core.writer.flushed()
        await engine.start(waits(2), id="first")
        await engine.get("first").signal(go, 5)
        print("result", await engine.get("first", waits).result(), flush=True)
        Disk.is_failing = True
        await refused(engine.start(waits(2), id="last"))
        began = time.monotonic()
        await engine.drain("1s")
        print("drained", time.monotonic() - began < 15, flush=True)


if __name__ == "__main__":
    disk = Disk()  # SQLite keeps no reference
    asyncio.run(main(sys.argv[1]))
    del disk
