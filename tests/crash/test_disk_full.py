"""A full disk: what is open waits and goes on by itself, what is new is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, resource, sys
from outlast import Engine, step, wf, workflow
from outlast.errors import StoreFull

@step
async def chunk(n: int) -> bytes:
    return bytes([n % 256]) * 20_000

@workflow
async def fills(count: int) -> int:
    total = 0
    for n in range(count):
        total += len(await chunk(n))
    return total

async def main(db: str) -> None:
    async with Engine.open(db) as engine:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
        run = await engine.start(fills(150), id="fills")
        refused = False
        for _ in range(400):
            await asyncio.sleep(0.02)
            try:
                await engine.start(fills(1))
            except StoreFull as error:
                refused = "full" in str(error)
                break
        print("refused", refused)
        info = await run.info()
        print("still open", info.closed_at is None, info.status in ("running", "waiting"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print("result", await run.result(timeout="60s"))

asyncio.run(main(sys.argv[1]))
"""


def test_a_full_disk_stops_nothing_for_good(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "outlast.db")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "refused True",
        "still open True True",
        "result 3000000",
    ]
