"""Profiles of throughput: `sequential` and `concurrent`."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outlast.bench.floors import CommitFloor, loop_tasks_per_second
from outlast.bench.flows import one_after_another
from outlast.bench.result import Bar, Result, ratio_of
from outlast.bench.sizes import Sizes
from outlast.engine import Engine

Note = Callable[[str], None]


async def sequential(directory: Path, sizes: Sizes, note: Note) -> Result:
    """One run, its steps one after another: each waits for its own commit."""
    steps = sizes.sequential_steps
    floor = CommitFloor(directory / "floor.db")
    ours: list[float] = []
    floors: list[float] = []
    cpu: list[float] = []
    async with Engine.open(directory / "ours.db") as engine:
        await engine.run(one_after_another(10))
        await floor.one_row_commits(10)
        for number in range(sizes.rounds):
            note(f"round {number + 1} of {sizes.rounds}")
            began, cpu_began = time.perf_counter(), time.process_time()
            await engine.run(one_after_another(steps))
            cpu.append((time.process_time() - cpu_began) / steps * 1e6)
            ours.append(steps / (time.perf_counter() - began))
            floors.append(steps / sum(await floor.one_row_commits(steps)))
    floor.close()
    ratio = ratio_of(ours, floors)
    return Result(
        profile="sequential",
        settings={"steps": steps, "rounds": sizes.rounds},
        ours={"steps_per_second": statistics.median(ours), "cpu_us": statistics.median(cpu)},
        floor={"commits_per_second": statistics.median(floors)},
        ratio=ratio,
        bars=[Bar("share of one-row commits with a thread hand-over", ratio, 0.8, True)],
    )


@dataclass(frozen=True, slots=True)
class _Round:
    steps_per_second: float
    starts_per_second: float
    cpu_us: float


async def concurrent(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Many runs at once: commits carry the steps of all of them."""
    floor = CommitFloor(directory / "floor.db")
    ours: list[_Round] = []
    rows: list[float] = []
    tasks: list[float] = []
    in_memory: list[_Round] = []
    count = sizes.concurrent_runs * sizes.concurrent_steps
    async with Engine.open(directory / "ours.db") as engine:
        await _many_runs(engine, sizes)
        for number in range(sizes.rounds):
            note(f"round {number + 1} of {sizes.rounds}")
            ours.append(await _many_runs(engine, sizes))
            rows.append(floor.batched_rows_per_second(20, 1_000))
            tasks.append(await loop_tasks_per_second(count))
    floor.close()
    note("the same without a disk")
    async with Engine.open("memory://bench") as engine:
        await _many_runs(engine, sizes)
        for _ in range(sizes.rounds):
            in_memory.append(await _many_runs(engine, sizes))
    rate = statistics.median(r.steps_per_second for r in ours)
    cpu = statistics.median(r.cpu_us for r in ours)
    return Result(
        profile="concurrent",
        settings={
            "runs": sizes.concurrent_runs,
            "steps_each": sizes.concurrent_steps,
            "rounds": sizes.rounds,
        },
        ours={
            "steps_per_second": rate,
            "starts_per_second": statistics.median(r.starts_per_second for r in ours),
            "cpu_us": cpu,
            "memory_steps_per_second": statistics.median(r.steps_per_second for r in in_memory),
            "memory_cpu_us": statistics.median(r.cpu_us for r in in_memory),
        },
        floor={
            "rows_per_second": statistics.median(rows),
            "tasks_per_second": statistics.median(tasks),
        },
        ratio=ratio_of([r.steps_per_second for r in ours], rows),
        bars=[
            Bar("durable steps a second", rate, 60_000, True),
            Bar("CPU us a step, start and end of the runs included", cpu, 15),
        ],
    )


async def _many_runs(engine: Engine, sizes: Sizes) -> _Round:
    runs, steps = sizes.concurrent_runs, sizes.concurrent_steps
    began, cpu_began = time.perf_counter(), time.process_time()
    starting = (engine.start(one_after_another(steps)) for _ in range(runs))
    handles = await asyncio.gather(*starting)
    started = time.perf_counter()
    await asyncio.gather(*(handle.result() for handle in handles))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return _Round(
        steps_per_second=runs * steps / seconds,
        starts_per_second=runs / (started - began),
        cpu_us=cpu / (runs * steps) * 1e6,
    )
