"""Profiles of answering: `start` and `signal`, from the call to the result."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from outlast.bench.floors import CommitFloor
from outlast.bench.flows import go, one_after_another, wait_for_signal
from outlast.bench.result import Bar, Result, quantile, ratio_of
from outlast.bench.sizes import Sizes
from outlast.engine import Engine

Note = Callable[[str], None]


async def start(directory: Path, sizes: Sizes, note: Note) -> Result:
    """From starting a run of one step to its result."""

    async def answer(engine: Engine) -> float:
        began = time.perf_counter()
        await engine.run(one_after_another(1))
        return time.perf_counter() - began

    return await _measure("start", answer, directory, sizes, note, limit=4.0)


async def signal(directory: Path, sizes: Sizes, note: Note) -> Result:
    """From a signal to the result of the run that waited for it."""

    async def answer(engine: Engine) -> float:
        run = await engine.start(wait_for_signal())
        await asyncio.sleep(0.002)  # it waits by then, and the disk is idle again
        began = time.perf_counter()
        await run.signal(go, 7)
        await run.result()
        return time.perf_counter() - began

    return await _measure("signal", answer, directory, sizes, note, limit=3.0)


async def _measure(
    profile: str,
    answer: Callable[[Engine], Awaitable[float]],
    directory: Path,
    sizes: Sizes,
    note: Note,
    *,
    limit: float,
) -> Result:
    floor = CommitFloor(directory / "floor.db")
    ours: list[list[float]] = []
    floors: list[list[float]] = []
    async with Engine.open(directory / "ours.db") as engine:
        for _ in range(min(20, sizes.answers)):
            await answer(engine)
        await floor.one_row_commits(20)
        for number in range(sizes.rounds):
            note(f"round {number + 1} of {sizes.rounds}")
            ours.append([await answer(engine) for _ in range(sizes.answers)])
            floors.append(await floor.one_row_commits(sizes.answers))
    floor.close()
    ratio = ratio_of(list(map(statistics.median, ours)), list(map(statistics.median, floors)))
    return Result(
        profile=profile,
        settings={"answers": sizes.answers, "rounds": sizes.rounds},
        ours=_milliseconds(ours),
        floor=_milliseconds(floors),
        ratio=ratio,
        bars=[Bar("p50 in one-row commits with a thread hand-over", ratio, limit)],
    )


def _milliseconds(rounds: list[list[float]]) -> dict[str, float]:
    return {
        "p50_ms": statistics.median(quantile(times, 0.5) for times in rounds) * 1e3,
        "p99_ms": statistics.median(quantile(times, 0.99) for times in rounds) * 1e3,
    }
