"""Profile `growth`: does a step cost more when many runs are open, or when its run is long?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from outlast.bench.flows import marked, marks, one_after_another, wait_for_signal
from outlast.bench.result import Bar, Rate, Result
from outlast.bench.sizes import Sizes
from outlast.engine import Engine

Note = Callable[[str], None]

_STARTS_AT_ONCE = 500
_WINDOW = 500  # steps over which the cost in a long run is taken


async def growth(directory: Path, sizes: Sizes, note: Note) -> Result:
    """CPU time of a step among ever more open runs, and in a run with ever more records."""
    ours: dict[str, float] = {}
    async with Engine.open(directory / "open.db") as engine:
        opened = 0
        for count in sizes.growth_open_runs:
            while opened < count:
                note(f"{opened} of {count} runs open")
                more = min(_STARTS_AT_ONCE, count - opened)
                await asyncio.gather(*(_open(engine, n) for n in range(opened, opened + more)))
                opened += more
            ours[f"among_{count}_cpu_us"] = await _cost(engine, sizes)
    async with Engine.open(directory / "long.db") as engine:
        note(f"a run of {sizes.growth_records[-1]} records")
        marks.clear()
        await engine.run(marked(sizes.growth_records[-1]))
        for records in sizes.growth_records:
            ours[f"after_{records}_cpu_us"] = _cost_after(records)
    among = [ours[f"among_{count}_cpu_us"] for count in sizes.growth_open_runs]
    after = [ours[f"after_{records}_cpu_us"] for records in sizes.growth_records]
    return Result(
        profile="growth",
        settings={"rounds": sizes.rounds, "runs": sizes.growth_runs, "steps_each": 10},
        ours=ours,
        floor={"least_among_cpu_us": min(among), "least_after_cpu_us": min(after)},
        ratio=max(among) / min(among),
        bars=[
            Bar("most against least, by open runs", max(among) / min(among), 1.5),
            Bar("most against least, by records of the run", max(after) / min(after), 1.5),
        ],
    )


async def _open(engine: Engine, number: int) -> None:
    await engine.start(wait_for_signal(), id=f"open-{number}")


async def _cost(engine: Engine, sizes: Sizes) -> float:
    """Return the least CPU time of a step of some rounds: what disturbs a round only adds."""
    costs: list[float] = []
    for _ in range(sizes.rounds):
        began, cpu_began = time.perf_counter(), time.process_time()
        work = (engine.run(one_after_another(10)) for _ in range(sizes.growth_runs))
        await asyncio.gather(*work)
        costs.append(Rate.since(began, cpu_began, 10 * sizes.growth_runs).cpu_us)
    return min(costs)


def _cost_after(records: int) -> float:
    """Return the CPU time of a step when its run has about so many records."""
    last = min(len(marks) - 1, max(records, _WINDOW))
    first = max(0, last - _WINDOW)
    return (marks[last] - marks[first]) / (last - first) * 1e6
