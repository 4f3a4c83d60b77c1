"""Programs that tests run in processes of their own, as deployed versions of one program."""

from __future__ import annotations

from pathlib import Path

from tests.preloaded import Finished, run_program

_TAIL = """
async def _main():
    async with Engine.open("o.db") as engine:
        await globals()[sys.argv[1]](engine)

asyncio.run(_main())
"""


def executed(folder: Path, text: str, verb: str) -> Finished:
    """Run a program with one argument in a folder; it must succeed."""
    program = folder / "app.py"
    program.write_text(text)
    done = run_program(program, verb)
    assert done.returncode == 0, done.stderr
    return done


def ran(folder: Path, code: str, verb: str) -> list[str]:
    """Run one coroutine of a program with an open engine, and return the lines it printed."""
    done = executed(folder, "import asyncio, os, sys\n" + code + _TAIL, verb)
    return done.stdout.splitlines()
