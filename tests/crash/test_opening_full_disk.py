"""An engine is opened on a full disk after its process was killed: it opens, and runs wait."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outlast import Engine
from outlast.errors import RunCancelled, RunTerminated, StoreFull
from tests.crash.waiting_flows import fill, go, waits

RUNS = 60

STARTS = """
import asyncio, sys
from outlast import Engine
from tests.crash.waiting_flows import waits

async def main(db: str, count: int) -> None:
    async with Engine.open(db) as engine:
        for n in range(count):
            await engine.start(waits(n), id=f"w{n}")
        print("started", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

READS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM runs").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def python(code: str, says: str, *arguments: str) -> Generator[None]:
    """Have another process at work, and kill it in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == says
            yield
        finally:
            process.send_signal(signal.SIGKILL)


async def work_while_full(database: Path, filler: Path) -> list[int]:
    """Open the database, use it while its disk is full and after that; return the results."""
    async with asyncio.timeout(60), Engine.open(database) as engine:
        assert isinstance(engine._core.writer.trouble, StoreFull)
        with pytest.raises(StoreFull):
            await engine.start(waits(99), id="new")
        assert len([info async for info in engine.runs("")]) == RUNS
        for n in (0, 1, 7):  # the store was asked about the first of them, not about the others
            await engine.get(f"w{n}").terminate("enough")
            with pytest.raises(RunTerminated):
                await engine.get(f"w{n}").result()
        await engine.get("w3").cancel("enough")
        await asyncio.to_thread(filler.unlink)
        with pytest.raises(RunCancelled):
            await engine.get("w3").result()
        results: list[int] = []
        for n in (2, RUNS - 1):
            run = engine.get(f"w{n}", waits)
            await run.signal(go, 5)
            results.append(await run.result())
        return results


@pytest.mark.crash
def test_an_engine_opens_on_a_full_disk_and_its_runs_go_on_when_there_is_space(
    small_disk: Path,
) -> None:
    database = small_disk / "outlast.db"
    with python(STARTS, "started", str(database), f"{RUNS}"):
        pass

    # While it is read the log cannot start anew, which would give some space back.
    with python(READS, "reading", str(database)):
        results = asyncio.run(work_while_full(database, fill(small_disk)))

    assert results == [7, RUNS + 4]
