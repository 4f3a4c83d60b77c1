"""How much each profile does. Quick is for looking, default for comparing, full for the record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

SizeName: TypeAlias = Literal["tiny", "quick", "default", "full"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one run of the benchmarks."""

    rounds: int
    sequential_steps: int
    concurrent_runs: int
    concurrent_steps: int
    answers: int  # starts or signals a round
    resident_runs: int
    passivated_runs: int
    passivated_live_max: int
    recovery_rounds: int
    recovery_runs: int
    recovery_steps: int
    latency_open_runs: int
    latency_naps: int  # of each sleeper
    actor_messages: int
    agent_runs: int
    agent_turns: int
    agent_long_turns: int
    parallel_calls: int
    parallel_work: int
    stream_clients: tuple[int, ...]
    overload_seconds: float
    stream_tokens: int  # to all clients together, in one measurement
    stream_tokens_min: int  # to each of them
    growth_open_runs: tuple[int, ...]
    growth_records: tuple[int, ...]  # of one run, the last number is how many it comes to
    growth_runs: int  # of ten steps each, that are measured


_DEFAULT = Sizes(
    rounds=5,
    sequential_steps=2_000,
    concurrent_runs=1_000,
    concurrent_steps=10,
    answers=400,
    resident_runs=5_000,
    passivated_runs=50_000,
    passivated_live_max=1_000,
    recovery_rounds=3,
    recovery_runs=200,
    recovery_steps=20,
    latency_open_runs=10_000,
    latency_naps=200,
    actor_messages=20_000,
    agent_runs=1_000,
    agent_turns=10,
    agent_long_turns=200,
    parallel_calls=16,
    parallel_work=2_000_000,
    stream_clients=(1, 100, 1_000),
    overload_seconds=10.0,
    stream_tokens=100_000,
    stream_tokens_min=500,
    growth_open_runs=(10, 1_000, 100_000),
    growth_records=(10, 1_000, 90_000),
    growth_runs=200,
)
_QUICK = replace(
    _DEFAULT,
    rounds=3,
    sequential_steps=500,
    answers=100,
    resident_runs=2_000,
    passivated_runs=5_000,
    recovery_rounds=1,
    latency_naps=60,
    actor_messages=5_000,
    agent_runs=200,
    parallel_calls=8,
    overload_seconds=4.0,
    stream_tokens=40_000,
    stream_tokens_min=100,
    growth_open_runs=(10, 1_000, 20_000),
    growth_records=(10, 1_000, 10_000),
)
_TINY = Sizes(
    rounds=1,
    sequential_steps=20,
    concurrent_runs=20,
    concurrent_steps=2,
    answers=5,
    resident_runs=50,
    passivated_runs=100,
    passivated_live_max=20,
    recovery_rounds=1,
    recovery_runs=10,
    recovery_steps=10,
    latency_open_runs=50,
    latency_naps=3,
    actor_messages=200,
    agent_runs=5,
    agent_turns=3,
    agent_long_turns=50,
    parallel_calls=2,
    parallel_work=10_000,
    stream_clients=(1, 5),
    overload_seconds=0.5,
    stream_tokens=50,
    stream_tokens_min=20,
    growth_open_runs=(2, 20),
    growth_records=(5, 20),
    growth_runs=2,
)

SIZES: dict[SizeName, Sizes] = {
    "tiny": _TINY,  # for the tests: it measures nothing worth reading
    "quick": _QUICK,
    "default": _DEFAULT,
    "full": replace(_DEFAULT, passivated_runs=1_000_000),
}


def size_named(text: str) -> SizeName:
    """Return a size by its name, as a command line has it."""
    match text:
        case "tiny" | "quick" | "default" | "full":
            return text
        case _:
            raise ValueError(f"there is no size {text!r}; there are {', '.join(SIZES)}")
