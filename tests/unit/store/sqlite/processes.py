"""Other processes, for what only they can show: locks, kills, limits of the operating system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parents[4] / "src"

PREAMBLE = """
import asyncio, os, signal, sys
from outlast._records import Record
from outlast._store.contract import RunFilter
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import CommitId, Effects, StartRun, Transaction
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld
from outlast.errors import *

path = sys.argv[1]

def record(seq, body=b"\\x00x", kind="step_done"):
    return Record(seq, kind, "0:1", "n", 1, 1, 0, "", body)

async def begin(store, run="a"):
    [lease] = await store.acquire_leases("engine-1", [0])
    row = RunRow(id=run, shard=0, workflow="m.f", version="1", status="running", created_at=1)
    start = StartRun(row, (record(1, kind="run_started"),), "never")
    started = Transaction(None, run, [], Effects(starts=(start,)))
    await store.commit(CommitId("engine-1", 1), [started])
    return lease

def say(*words):
    print(*words, flush=True)
"""


def python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a process that runs `async def main(world)` of `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", program_of(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )


def program_of(code: str) -> str:
    """Return the program that runs `async def main(world)` of `code`."""
    return f"{PREAMBLE}\n{code}\nasync def run(): await main(RealWorld())\nasyncio.run(run())\n"


def output_of(code: str, *arguments: str | Path) -> str:
    """Run it to its end and return what it printed."""
    with python(code, *arguments) as process:
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out.strip()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
