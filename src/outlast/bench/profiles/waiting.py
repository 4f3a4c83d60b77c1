"""Profile `passivated`: what a waiting run costs, in memory and put away.

Memory is measured in processes of their own: what other work left in the heap would be used again,
and a run would seem to cost nothing.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from outlast.bench.flows import wait_for_signal
from outlast.bench.result import Bar, Result
from outlast.bench.sizes import Sizes
from outlast.engine import Engine, run_loop

Note = Callable[[str], None]

_WARM_UP = 0.2  # the share of runs that is started before anything is counted
_START_TOGETHER = 500
_SETTLE_SECONDS = 1.5
_SETTLE_LOOKS_MAX = 400


@dataclass(frozen=True, slots=True)
class Cost:
    """What waiting runs cost a process."""

    memory_bytes: float
    disk_bytes: float
    starts_per_second: float


async def passivated(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Bytes of a run that waits, resident and passivated."""
    note("a bare task that waits")
    bare = await asyncio.to_thread(_in_child, directory / "-", sizes.resident_runs, 0)
    note(f"{sizes.resident_runs:,} runs that stay in memory")
    live_max = 2 * sizes.resident_runs + 1_000
    resident = await asyncio.to_thread(
        _in_child, directory / "resident.db", sizes.resident_runs, live_max
    )
    note(f"{sizes.passivated_runs:,} runs, of which {sizes.passivated_live_max:,} stay in memory")
    away = await asyncio.to_thread(
        _in_child, directory / "passivated.db", sizes.passivated_runs, sizes.passivated_live_max
    )
    return Result(
        profile="passivated",
        settings={
            "resident_runs": sizes.resident_runs,
            "passivated_runs": sizes.passivated_runs,
            "live_runs_max": sizes.passivated_live_max,
        },
        ours={
            "resident_bytes": resident.memory_bytes,
            "resident_disk_bytes": resident.disk_bytes,
            "resident_starts_per_second": resident.starts_per_second,
            "passivated_bytes": away.memory_bytes,
            "passivated_disk_bytes": away.disk_bytes,
            "passivated_starts_per_second": away.starts_per_second,
        },
        floor={"task_bytes": bare.memory_bytes},
        ratio=resident.memory_bytes / max(1.0, bare.memory_bytes),
        bars=[
            Bar("bytes of memory a resident run", resident.memory_bytes, 4_096),
            Bar("bytes of memory a passivated run", away.memory_bytes, 200),
        ],
    )


def _in_child(db: Path, runs: int, live_max: int) -> Cost:
    arguments = [str(db), str(runs), str(live_max)]
    done = subprocess.run(
        [sys.executable, "-m", "outlast.bench.profiles.waiting", *arguments],
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Cost)


# ------------------------------------------------------------------------------ in the child
async def measure(db: Path, runs: int, live_max: int) -> Cost:
    """Start waiting runs and see what they add to this process and to the disk."""
    warm_up = max(1, int(runs * _WARM_UP))
    async with Engine.open(db, live_runs_max=live_max, retention=None) as engine:
        await _start(engine, max(warm_up, min(2 * live_max, runs)))
        await _settle(engine)
        memory, disk = resident_bytes(), _disk_bytes(db)
        began = time.perf_counter()
        await _start(engine, runs)
        seconds = time.perf_counter() - began
        await _settle(engine)
        return Cost(
            memory_bytes=(resident_bytes() - memory) / runs,
            disk_bytes=(_disk_bytes(db) - disk) / runs,
            starts_per_second=runs / seconds,
        )


async def _start(engine: Engine, runs: int) -> None:
    for begun in range(0, runs, _START_TOGETHER):
        count = min(_START_TOGETHER, runs - begun)
        await asyncio.gather(*(engine.start(wait_for_signal()) for _ in range(count)))


async def _settle(engine: Engine) -> None:
    """Wait until summaries are written, and all are away that should be."""
    core = engine._core
    for _ in range(_SETTLE_LOOKS_MAX):
        await asyncio.sleep(_SETTLE_SECONDS)  # beyond the time by which a row may lag
        if not core.residency.is_crowded:
            break
    await core.writer.flushed()
    gc.collect()


async def measure_tasks(count: int) -> Cost:
    """Return what bare tasks cost that wait for a future each."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    async def wait(future: asyncio.Future[None]) -> None:
        await future

    async def begin(number: int) -> None:
        tasks.extend(loop.create_task(wait(loop.create_future())) for _ in range(number))
        await asyncio.sleep(0.1)
        gc.collect()

    await begin(count // 5)
    before, began = resident_bytes(), time.perf_counter()
    await begin(count)
    rate = count / (time.perf_counter() - began)
    cost = Cost((resident_bytes() - before) / count, 0.0, rate)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return cost


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return int(shown.stdout) * 1024


def _disk_bytes(db: Path) -> int:
    return sum(
        path.stat().st_size for path in (db, db.with_name(f"{db.name}-wal")) if path.exists()
    )


def main(arguments: list[str]) -> None:
    """Measure, and print what was found; live_max 0 means bare tasks."""
    db, runs, live_max = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    measuring = measure(db, runs, live_max) if live_max else measure_tasks(runs)
    sys.stdout.buffer.write(msgspec.json.encode(asdict(run_loop(measuring))))


if __name__ == "__main__":
    main(sys.argv[1:])
