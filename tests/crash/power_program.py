"""What the power is taken from: it tells on its standard output what was acknowledged to it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from outlast import Engine, Signal, step, wf, workflow
from outlast._store.sqlite import opening as sqlite_opening
from outlast._store.sqlite.files import write_ahead_log as sqlite_files
from outlast._store.sqlite.tables import schema as sqlite_schema
from outlast.cli.database.commands import backup
from outlast.cli.database.recovering import restore

go = Signal("power_go", int)

NEWER = [
    *sqlite_schema.migrations(),
    (sqlite_schema.newest_version() + 1, "CREATE TABLE extra (a INTEGER) STRICT"),
]
RUNS = 3
SIGNALS = 2


@step
async def added(a: int, b: int) -> int:
    return a + b


@workflow
async def totals(n: int) -> int:
    total = await added(n, 1)
    for _ in range(SIGNALS):
        total = await added(total, await go.receive())
    await wf.sleep(0.001)
    return total


def tell(*words: object) -> None:
    # One system call: buffered, it would be told later than it was known.
    os.write(1, (" ".join(f"{word}" for word in words) + "\n").encode())


async def work(path: Path, first: int) -> None:
    async with Engine.open(path) as engine:
        runs = [await engine.start(totals(n), id=f"r{n}") for n in range(first, first + RUNS)]
        for run in runs:
            tell("started", run.id)
            for number in range(SIGNALS):
                await run.signal(go, number, dedup=f"{number}")
                tell("signalled", run.id, number)
        for run in runs:
            tell("ended", run.id, await run.result(timeout="30s"))


def leave_out(syncs: str) -> None:
    """Make the store forget some of its syncs, to see that this is found."""
    if syncs == "of directories":
        sync = os.fsync
        os.fsync = lambda fd: None if Path(f"/proc/self/fd/{fd}").is_dir() else sync(fd)
    elif syncs == "of the log":
        pragmas = sqlite_opening.WRITER_PRAGMAS
        sqlite_opening.WRITER_PRAGMAS = pragmas.replace("synchronous=FULL", "synchronous=NORMAL")


def main(path: Path, syncs_left_out: str) -> None:
    leave_out(syncs_left_out)
    sqlite_files.CHECKPOINT_PAGES, sqlite_files._GROW_AT_PAGES = 60, 10  # many checkpoints
    sqlite_files._GROWN_BYTES = 75 * 4_120
    asyncio.run(work(path, 0))
    sqlite_schema.migrations = lambda: NEWER
    asyncio.run(work(path, RUNS))
    copy = path.with_name("backup.db")
    backup.main([str(copy), "--db", str(path)], standalone_mode=False)
    tell("copied", copy.name)
    tell("restoring", copy.name)
    restore.main([str(copy), "--db", str(path)], standalone_mode=False)
    tell("restored", copy.name)
    asyncio.run(work(path, 2 * RUNS))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
