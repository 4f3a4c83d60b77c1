"""A run that kills its process is found and parked; the others go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, os, sys
from outlast import Engine, RunParked, step, workflow

@step
async def poison() -> None:
    await asyncio.sleep(float(sys.argv[2]))
    os.kill(os.getpid(), 9)

@workflow
async def poisonous() -> None:
    await poison()

@workflow
async def innocent(n: int) -> int:
    return n

async def main() -> None:
    async with Engine.open(sys.argv[1]) as engine:
        bad = await engine.start(poisonous(), id="bad")
        try:
            await bad.result()
        except RunParked:
            info = await bad.info()
        print(info.status, info.crash_count, await engine.run(innocent(7)))

asyncio.run(main())
"""


def test_a_run_that_kills_its_process_is_parked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    outputs: list[str] = []
    for _ in range(14):
        result = subprocess.run(
            [sys.executable, program, tmp_path / "outlast.db", "0.05"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        outputs.append(result.stdout)
        if result.returncode == 0:
            break

    assert outputs[-1] == "parked 6 7\n"
    assert 6 <= len(outputs) <= 9
