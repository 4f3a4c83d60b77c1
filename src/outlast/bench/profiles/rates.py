"""Profiles of throughput: `sequential` and `concurrent`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from outlast.bench.floors import CommitFloor
from outlast.bench.flows import one_after_another
from outlast.bench.least import LeastSteps
from outlast.bench.result import Bar, Rate, Result, ratio_of
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
        ours={"steps_per_second": median(ours), "cpu_us": median(cpu)},
        floor={"commits_per_second": median(floors)},
        ratio=ratio,
        bars=[Bar("share of one-row commits with a thread hand-over", ratio, 0.75, True)],
    )


_LONGER = 4  # times the steps, to tell a step from the start and the end of its run


@dataclass(slots=True)
class _Rounds:
    """What rounds in turns have given: ours, the least program's, each short and long."""

    starts: list[float]
    ours: list[Rate]
    ours_long: list[Rate]
    least: list[Rate]
    least_long: list[Rate]


async def concurrent(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Many runs at once: commits carry the steps of all of them."""
    found = _Rounds([], [], [], [], [])
    await _rounds(directory, sizes, note, found)
    note("the same without a disk")
    in_memory: list[Rate] = []
    async with Engine.open("memory://bench") as engine:
        await _many_runs(engine, sizes.concurrent_runs, sizes.concurrent_steps)
        for _ in range(sizes.rounds):
            _, rate = await _many_runs(engine, sizes.concurrent_runs, sizes.concurrent_steps)
            in_memory.append(rate)
    ours, least = found.ours, found.least
    marginal = [a.marginal_cpu_us(b) for a, b in zip(found.ours_long, ours, strict=True)]
    least_marginal = [a.marginal_cpu_us(b) for a, b in zip(found.least_long, least, strict=True)]
    ratio = ratio_of([r.per_second for r in ours], [r.per_second for r in least])
    cpu_ratio = ratio_of([r.cpu_us for r in ours], [r.cpu_us for r in least])
    return Result(
        profile="concurrent",
        settings={
            "runs": sizes.concurrent_runs,
            "steps_each": sizes.concurrent_steps,
            "rounds": sizes.rounds,
        },
        ours={
            "steps_per_second": median(r.per_second for r in ours),
            "starts_per_second": median(found.starts),
            "cpu_us": median(r.cpu_us for r in ours),
            "marginal_cpu_us": median(marginal),
            "memory_steps_per_second": median(r.per_second for r in in_memory),
            "memory_cpu_us": median(r.cpu_us for r in in_memory),
        },
        floor={
            "steps_per_second": median(r.per_second for r in least),
            "cpu_us": median(r.cpu_us for r in least),
            "marginal_cpu_us": median(least_marginal),
        },
        ratio=ratio,
        bars=[
            Bar("steps a second, as a share of the least program's", ratio, 0.16, True),
            Bar("CPU a step, as a multiple of the least program's", cpu_ratio, 6),
            Bar("CPU of a step more, as a multiple", ratio_of(marginal, least_marginal), 4.5),
        ],
    )


async def _rounds(directory: Path, sizes: Sizes, note: Note, found: _Rounds) -> None:
    runs, steps = sizes.concurrent_runs, sizes.concurrent_steps
    floor = LeastSteps(directory / "floor.db")
    async with Engine.open(directory / "ours.db") as engine:
        await _many_runs(engine, runs, steps)
        await floor.measure(runs, steps)
        for number in range(sizes.rounds):
            note(f"round {number + 1} of {sizes.rounds}")
            starts, rate = await _many_runs(engine, runs, steps)
            found.starts.append(starts)
            found.ours.append(rate)
            found.least.append(await floor.measure(runs, steps))
            _, longer = await _many_runs(engine, runs, _LONGER * steps)
            found.ours_long.append(longer)
            found.least_long.append(await floor.measure(runs, _LONGER * steps))
    floor.close()


async def _many_runs(engine: Engine, runs: int, steps: int) -> tuple[float, Rate]:
    """Return starts a second, and the rate of the steps, starts and ends of runs included."""
    began, cpu_began = time.perf_counter(), time.process_time()
    starting = (engine.start(one_after_another(steps)) for _ in range(runs))
    handles = await asyncio.gather(*starting)
    started = time.perf_counter()
    await asyncio.gather(*(handle.result() for handle in handles))
    return runs / (started - began), Rate.since(began, cpu_began, runs * steps)
