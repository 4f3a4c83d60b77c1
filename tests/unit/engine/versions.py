"""Programs that tests run in processes of their own, as deployed versions of one program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.preloaded import run_program

_TAIL = """
async def _main():
    async with Engine.open("o.db") as engine:
        await globals()[sys.argv[1]](engine)

asyncio.run(_main())
"""


def executed(folder: Path, text: str, verb: str) -> subprocess.CompletedProcess[str]:
    """Run a program with one argument in a folder and a fresh interpreter; it must succeed."""
    program = folder / "app.py"
    program.write_text(text)
    done = subprocess.run(
        [sys.executable, str(program), verb],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def ran(folder: Path, code: str, verb: str) -> list[str]:
    """Run one coroutine of a program with an open engine, and return the lines it printed."""
    program = folder / "app.py"
    program.write_text("import asyncio, os, sys\n" + code + _TAIL)
    done = run_program(program, verb)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
