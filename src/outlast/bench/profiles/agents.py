"""Profile `agents`: what durability adds to agents of pydantic-ai, beside bare ones.

Each measurement has a process of its own. The model is a function that takes no time, so a turn (a
request, and a tool call but for the last) costs what pydantic-ai and outlast make of it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from outlast.bench.result import Bar, Result
from outlast.bench.sizes import Sizes
from outlast.errors import UsageError

Note = Callable[[str], None]


async def agents(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Overhead of a turn, growth of the journal, memory, lateness of steps and of words."""
    if importlib.util.find_spec("pydantic_ai") is None:
        raise UsageError("the profile agents needs pydantic-ai: pip install 'outlast[agents]'")
    runs, turns = sizes.agent_runs, sizes.agent_turns

    async def measure(what: str, number: int = 0, turns: int = turns) -> dict[str, float]:
        place = directory / f"{what}{number}"
        place.mkdir()
        return await asyncio.to_thread(_in_child, what, place, runs, turns)

    rounds: list[dict[str, float]] = []
    for number in range(min(3, sizes.rounds)):
        note(f"round {number + 1}: {runs:,} agents of {turns} turns, bare and durable")
        rounds.append(await measure("turns", number))
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    overhead = statistics.median(one["cpu_ms"] - one["bare_cpu_ms"] for one in rounds)
    interface = statistics.median(one["interface_cpu_ms"] - one["bare_cpu_ms"] for one in rounds)
    note("a ticker beside agents")
    busy = await measure("busy")
    note("one long run")
    journal = await measure("journal", turns=sizes.agent_long_turns)
    note(f"{runs:,} agents that wait")
    resident, bare = await measure("resident"), await measure("bare")
    away = await measure("passivated")
    note("agents that speak")
    spoken = await measure("speech")
    return Result(
        profile="agents",
        settings={"agents": runs, "turns": turns, "long_turns": sizes.agent_long_turns},
        ours={
            "cpu_ms_per_turn": middle["cpu_ms"],
            "turns_per_second": middle["per_second"],
            "overhead_cpu_ms_per_turn": overhead,
            "of_it_pydantic_ai_cpu_ms_per_turn": interface,
            "ticker_late_p50_ms": busy["ticker_late_p50_ms"],
            "ticker_late_p99_ms": busy["ticker_late_p99_ms"],
            "journal_bytes_per_turn_first": journal["first_bytes"],
            "journal_bytes_per_turn_last": journal["last_bytes"],
            "resident_bytes": resident["resident_bytes"],
            "passivated_bytes": away["passivated_bytes"],
            "late_p50_ms": resident["late_p50_ms"],
            "late_p99_ms": resident["late_p99_ms"],
            "first_word_p50_ms": spoken["first_word_p50_ms"],
            "paced_word_p50_ms": spoken["paced_word_p50_ms"],
            "paced_word_p99_ms": spoken["paced_word_p99_ms"],
            "records_of_a_speech": spoken["stream_records"],
        },
        floor={
            "cpu_ms_per_turn": middle["bare_cpu_ms"],
            "turns_per_second": middle["bare_per_second"],
            "ticker_late_p99_ms": busy["bare_ticker_late_p99_ms"],
            "waiting_agent_bytes": bare["bare_bytes"],
            "commit_p50_ms": spoken["commit_p50_ms"],
        },
        ratio=middle["cpu_ms"] / middle["bare_cpu_ms"],
        bars=_bars(overhead, journal, busy, resident, spoken),
    )  # fmt: skip


def _bars(
    overhead: float,
    journal: dict[str, float],
    busy: dict[str, float],
    resident: dict[str, float],
    spoken: dict[str, float],
) -> list[Bar]:
    growth = journal["last_bytes"] / journal["first_bytes"]
    first, paced = (
        spoken[name] - spoken["commit_p50_ms"]
        for name in ("first_word_p50_ms", "paced_word_p50_ms")
    )
    late, late_steps = busy["ticker_late_p99_ms"], resident["late_p99_ms"]
    return [
        Bar("CPU that durability adds to a turn, ms", overhead, 0.6),
        Bar("p99 lateness of a ticker beside busy agents, ms", late, 20.0),
        Bar("journal bytes of a late turn, beside an early one", growth, 1.1),
        Bar("p99 lateness of 50 ms steps beside resident agents, ms", late_steps, 5.0),
        Bar("p50 of a first word beyond a commit, ms", first, 2.0),
        Bar("p50 of words at 100 a second beyond a commit, ms", paced, 20.0),
        Bar("journal records of a speech", spoken["stream_records"], 64),
    ]


def _in_child(what: str, directory: Path, runs: int, turns: int) -> dict[str, float]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "outlast.bench.agent_program"),
            *(what, str(directory), str(runs), str(turns)),
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=dict[str, float])
