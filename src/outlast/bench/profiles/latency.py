"""Profile `latency`: how late are sleeps of 50 ms when 10,000 runs are open in memory?

The open runs hold about 5 KiB of objects each, and short runs come and go beside them, so that
the garbage collector has something to stumble over.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from outlast.bench.floors import loop_overshoots, thread_overshoots
from outlast.bench.flows import (
    NAP_SECONDS,
    hold,
    nap_by_timers,
    nap_in_steps,
    one_after_another,
    timer_overshoots,
)
from outlast.bench.result import Bar, Result, quantile
from outlast.bench.sizes import Sizes
from outlast.engine import Engine

Note = Callable[[str], None]

_SLEEPERS = 10  # of each kind, at once
_CHURN_SECONDS = 0.005  # between two short runs
_START_TOGETHER = 500


async def latency(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Sleeps in steps and by durable timers."""
    note("the bare loop")
    floor = await loop_overshoots(2 * _SLEEPERS, sizes.latency_naps, NAP_SECONDS)
    system = await asyncio.to_thread(thread_overshoots, sizes.latency_naps, NAP_SECONDS)
    live_max = 2 * sizes.latency_open_runs + 1_000
    async with Engine.open(directory / "ours.db", live_runs_max=live_max) as engine:
        for begun in range(0, sizes.latency_open_runs, _START_TOGETHER):
            note(f"{begun:,} runs are open")
            count = min(_START_TOGETHER, sizes.latency_open_runs - begun)
            await asyncio.gather(*(engine.start(hold()) for _ in range(count)))
        await asyncio.sleep(1.0)
        note("sleeping")
        churning = asyncio.create_task(_churn(engine))
        with _collections_watched() as pauses:
            in_steps, by_timers = await _nap(engine, sizes.latency_naps)
        churning.cancel()
        await asyncio.wait([churning])
    ours = {
        **_spread("step", in_steps),
        **_spread("timer", by_timers),
        "gc_max_ms": max(pauses, default=0.0) * 1e3,
    }
    both = in_steps + by_timers
    return Result(
        profile="latency",
        settings={
            "open_runs": sizes.latency_open_runs,
            "sleepers": 2 * _SLEEPERS,
            "naps_each": sizes.latency_naps,
            "nap_ms": NAP_SECONDS * 1e3,
        },
        ours=ours,
        floor={**_spread("loop", floor), **_spread("system", system)},
        ratio=quantile(both, 0.99) / max(1e-6, quantile(floor, 0.99)),
        bars=[
            Bar("p99 of all sleeps, ms", quantile(both, 0.99) * 1e3, 5.0),
            Bar("the latest of all sleeps, ms", max(both) * 1e3, 15.0),
        ],
    )


async def _nap(engine: Engine, naps: int) -> tuple[list[float], list[float]]:
    timer_overshoots.clear()
    in_steps = [engine.run(nap_in_steps(naps)) for _ in range(_SLEEPERS)]
    by_timers = [engine.run(nap_by_timers(naps)) for _ in range(_SLEEPERS)]
    found, _ = await asyncio.gather(asyncio.gather(*in_steps), asyncio.gather(*by_timers))
    return [late for one in found for late in one], list(timer_overshoots)


@contextmanager
def _collections_watched() -> Generator[list[float]]:
    """Note how long each garbage collection of this process takes, whoever asked for it."""
    pauses: list[float] = []
    began = time.perf_counter()

    def watch(phase: Literal["start", "stop"], _: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            pauses.append(time.perf_counter() - began)

    gc.callbacks.append(watch)
    try:
        yield pauses
    finally:
        gc.callbacks.remove(watch)


async def _churn(engine: Engine) -> None:
    while True:
        await engine.run(one_after_another(1))
        await asyncio.sleep(_CHURN_SECONDS)


def _spread(name: str, late: list[float]) -> dict[str, float]:
    return {
        f"{name}_p50_ms": statistics.median(late) * 1e3,
        f"{name}_p99_ms": quantile(late, 0.99) * 1e3,
        f"{name}_p999_ms": quantile(late, 0.999) * 1e3,
        f"{name}_max_ms": max(late) * 1e3,
    }
