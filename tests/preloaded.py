"""Programs, each in a process of its own that does not have to import what most of them need.

The processes are forked from one that has imported it and does nothing else. Importing outlast
takes 0.4 s and pydantic-ai 2 s; tests run some two hundred such programs.
"""

from __future__ import annotations

import gc
import os
import runpy
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

_SECONDS_MAX = 60

_processes = get_context("forkserver")
_processes.set_forkserver_preload(
    ["pydantic_ai", "pydantic_ai.models.function", "outlast.agents", "outlast.testing"]
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended."""

    returncode: int  # the negative number of the signal that killed it
    stdout: str
    stderr: str


def run_program(program: Path, *arguments: str) -> Finished:
    """Run a program like `python program.py ARGUMENTS...` in its directory until it ends."""
    stdout, stderr = program.with_suffix(".stdout"), program.with_suffix(".stderr")
    process = _processes.Process(target=_become, args=(program, arguments, stdout, stderr))
    process.start()
    process.join(_SECONDS_MAX)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"the program has not ended within {_SECONDS_MAX} s")
    return Finished(process.exitcode, stdout.read_text(), stderr.read_text())


def _become(program: Path, arguments: tuple[str, ...], stdout: Path, stderr: Path) -> None:
    for file, descriptor in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(program.parent)
    sys.path.insert(0, str(program.parent))
    sys.argv = [str(program), *arguments]
    gc.freeze()  # an engine would otherwise begin with a collection of all that was imported
    runpy.run_path(str(program), run_name="__main__")
