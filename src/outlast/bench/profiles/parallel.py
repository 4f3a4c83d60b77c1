"""Profile `parallel`: what the cores give to steps that burn CPU, by where they run."""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from outlast.bench.flows import burn, burn_all
from outlast.bench.result import Bar, Result
from outlast.bench.sizes import Sizes
from outlast.engine import Engine

Note = Callable[[str], None]

_PLACES = ("process", "thread", "loop")
# Two processes on two cores share memory bandwidth, and with the engine's own loop.
_SHARE_MIN = 0.75


async def parallel(directory: Path, sizes: Sizes, note: Note) -> Result:
    """The same work in processes, on threads and on the loop, against a plain `for`."""
    calls, amount = sizes.parallel_calls, sizes.parallel_work
    rounds = min(3, sizes.rounds)
    plain: list[float] = []
    times: dict[str, list[float]] = {place: [] for place in _PLACES}
    # The watchdog is right to complain of who burns on the loop, which is measured here.
    logging.getLogger("outlast.latency").setLevel(logging.CRITICAL)
    async with Engine.open(directory / "ours.db") as engine:
        note("starting the worker processes")
        await engine.run(burn_all("process", 2 * (os.cpu_count() or 1), amount // 4))
        for number in range(rounds):
            note(f"round {number + 1} of {rounds}")
            began = time.perf_counter()
            for _ in range(calls):
                burn(amount)
            plain.append(time.perf_counter() - began)
            for place in _PLACES:
                began = time.perf_counter()
                await engine.run(burn_all(place, calls, amount))
                times[place].append(time.perf_counter() - began)
    speed_ups = {
        place: statistics.median(p / t for p, t in zip(plain, times[place], strict=True))
        for place in _PLACES
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = speed_ups["process"] / min(calls, cores or 1)
    return Result(
        profile="parallel",
        settings={"calls": calls, "cores": cores or 1, "rounds": rounds},
        ours={f"{place}_speed_up": speed_ups[place] for place in _PLACES},
        floor={"plain_seconds": statistics.median(plain)},
        ratio=share,
        bars=[Bar("share of the cores that process steps use", share, _SHARE_MIN, True)],
    )
