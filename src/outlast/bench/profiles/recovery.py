"""Profile `recovery`: what a SIGKILL costs.

Runs of 20 ms steps are killed half-way in a process of their own. A new process starts, and two
times are taken: until the first step goes on, and until all is done, less what the rest of the
work takes at the least. The floor is a process that imports outlast and sleeps the same rest.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from outlast.bench.effects import environment, read_effects
from outlast.bench.flows import WORK_SECONDS, work_on
from outlast.bench.result import Bar, Result
from outlast.bench.sizes import Sizes
from outlast.engine import Engine, run_loop

Note = Callable[[str], None]

_LOOK_SECONDS = 0.01
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Round:
    recovery_seconds: float
    first_step_seconds: float
    floor_seconds: float
    in_flight: int
    executed_again: int
    recorded_again: int


async def recovery(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Kill, start again, and count."""
    rounds: list[_Round] = []
    for number in range(sizes.recovery_rounds):
        note(f"round {number + 1} of {sizes.recovery_rounds}")
        place = directory / f"recovery-{number}"
        place.mkdir()
        rounds.append(await _round(place, sizes))
    seconds = statistics.median(r.recovery_seconds for r in rounds)
    floor = statistics.median(r.floor_seconds for r in rounds)
    beyond = max(r.executed_again - r.in_flight for r in rounds)
    return Result(
        profile="recovery",
        settings={
            "runs": sizes.recovery_runs,
            "steps_each": sizes.recovery_steps,
            "step_ms": WORK_SECONDS * 1e3,
            "rounds": sizes.recovery_rounds,
        },
        ours={
            "recovery_seconds": seconds,
            "first_step_seconds": statistics.median(r.first_step_seconds for r in rounds),
            "in_flight_steps": statistics.median(r.in_flight for r in rounds),
            "executed_again_steps": statistics.median(r.executed_again for r in rounds),
            "recorded_steps_executed_again": max(r.recorded_again for r in rounds),
        },
        floor={"start_up_seconds": floor},
        ratio=seconds / floor,
        bars=[
            Bar("seconds lost, beside the rest of the work", seconds, 1.2),
            Bar("steps executed again beyond those in flight", beyond, 0),
            Bar("recorded steps executed again", max(r.recorded_again for r in rounds), 0),
        ],
    )


async def _round(place: Path, sizes: Sizes) -> _Round:
    db, file = place / "ours.db", place / "effects.txt"
    runs, steps = sizes.recovery_runs, sizes.recovery_steps
    with _child(["work", str(db), str(runs), str(steps)], file) as child:
        try:
            await asyncio.to_thread(_wait_for_lines, file, runs * steps // 2, child)
        finally:
            child.kill()
    before = read_effects(file)
    recorded = await _recorded(db)
    done = Counter(key.partition("/")[0] for key in recorded)
    ideal = (steps - min((done[f"r{n}"] for n in range(runs)), default=0)) * WORK_SECONDS

    began = time.time()
    with _child(["work", str(db), str(runs), str(steps)], file) as child:
        await asyncio.to_thread(child.wait, _PATIENCE_SECONDS)
    ended = float((place / "done.txt").read_text())
    again = read_effects(file)[len(before) :]

    floor_began = time.time()
    with _child(["sleep", str(place / "floor.db"), str(runs), str(ideal)], file) as child:
        await asyncio.to_thread(child.wait, _PATIENCE_SECONDS)
    floor_ended = float((place / "done.txt").read_text())

    executed = Counter(effect.key for effect in read_effects(file))
    return _Round(
        recovery_seconds=ended - began - ideal,
        first_step_seconds=min(effect.at for effect in again) - began,
        floor_seconds=floor_ended - floor_began - ideal,
        in_flight=len({effect.key for effect in before} - recorded),
        executed_again=sum(count - 1 for count in executed.values()),
        recorded_again=sum(effect.key in recorded for effect in again),
    )


async def _recorded(db: Path) -> set[str]:
    """Return the steps, by their keys, that the dead store has."""
    found: set[str] = set()
    async with Engine.open(db, read_only=True) as engine:
        async for info in engine.runs():
            async for record in engine.get(info.id).journal():
                if record.kind == "step_done":
                    found.add(f"{info.id}/{record.key}")
    return found


def _wait_for_lines(file: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _PATIENCE_SECONDS
    while child.poll() is None and time.monotonic() < ends:
        if file.exists() and file.read_bytes().count(b"\n") >= count:
            return
        time.sleep(_LOOK_SECONDS)


def _child(arguments: Sequence[str], effects: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "outlast.bench.profiles.recovery", *arguments],
        env={**os.environ, **environment(effects)},
    )


# ------------------------------------------------------------------------------ in the child
async def work(db: Path, runs: int, steps: int) -> None:
    """Start the runs, or go on with them, and wait for all."""
    async with Engine.open(db) as engine:
        starting = (engine.start(work_on(steps), id=f"r{n}") for n in range(runs))
        handles = await asyncio.gather(*starting)
        await asyncio.gather(*(handle.result() for handle in handles))
        _note_end(db)


async def sleep(db: Path, runs: int, seconds: float) -> None:
    """Do what is left without any durability."""

    async def one() -> None:
        for _ in range(round(seconds / WORK_SECONDS)):
            await asyncio.sleep(WORK_SECONDS)

    await asyncio.gather(*(one() for _ in range(runs)))
    _note_end(db)


def _note_end(db: Path) -> None:
    db.with_name("done.txt").write_text(f"{time.time()}")


def main(arguments: list[str]) -> None:
    """Be the process that is killed, the one that goes on, or the floor."""
    what, db, runs, amount = arguments
    if what == "work":
        run_loop(work(Path(db), int(runs), int(amount)))
    else:
        run_loop(sleep(Path(db), int(runs), float(amount)))


if __name__ == "__main__":
    main(sys.argv[1:])
