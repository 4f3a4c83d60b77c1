"""`outlast bench`: every profile gives its documented figures. How good they are is not tested."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from outlast.bench import command
from outlast.bench.command import NAMES, measure_alone, shown
from outlast.bench.profiles.table import PROFILES
from outlast.bench.result import Bar, Result, fields_of, quantile, ratio_of, this_machine

pytestmark = pytest.mark.once

SPREAD = ("p50_ms", "p99_ms", "p999_ms", "max_ms")
OURS: dict[str, set[str]] = {
    "sequential": {"steps_per_second", "cpu_us"},
    "concurrent": {
        "steps_per_second",
        "starts_per_second",
        "cpu_us",
        "marginal_cpu_us",
        "memory_steps_per_second",
        "memory_cpu_us",
    },
    "growth": {
        *(f"among_{n}_cpu_us" for n in (2, 20)),
        *(f"after_{n}_cpu_us" for n in (5, 20)),
    },
    "start": {"p50_ms", "p99_ms"},
    "signal": {"p50_ms", "p99_ms"},
    "passivated": {
        f"{state}_{figure}"
        for state in ("resident", "passivated")
        for figure in ("bytes", "disk_bytes", "starts_per_second")
    },
    "recovery": {
        "recovery_seconds",
        "first_step_seconds",
        "in_flight_steps",
        "executed_again_steps",
        "recorded_steps_executed_again",
    },
    "latency": {f"{kind}_{s}" for kind in ("step", "timer") for s in SPREAD} | {"gc_max_ms"},
    "parallel": {f"{place}_speed_up" for place in ("process", "thread", "loop")},
    "actors": {
        "volatile_asks_per_second",
        "volatile_fan_in_per_second",
        "ring_hops_per_second",
        "durable_tells_per_second",
        "durable_asks_per_second",
        "idle_volatile_bytes",
        "spawned_per_second",
    },
    "agents": {
        "cpu_ms_per_turn",
        "turns_per_second",
        "overhead_cpu_ms_per_turn",
        "of_it_pydantic_ai_cpu_ms_per_turn",
        "ticker_late_p50_ms",
        "ticker_late_p99_ms",
        "journal_bytes_per_turn_first",
        "journal_bytes_per_turn_last",
        "resident_bytes",
        "passivated_bytes",
        "late_p50_ms",
        "late_p99_ms",
        "first_word_p50_ms",
        "paced_word_p50_ms",
        "paced_word_p99_ms",
        "records_of_a_speech",
    },
    "http": {"starts_per_second", "p50_ms", "p99_ms"},
    "overload": {
        "goodput_per_second",
        "refused_per_second",
        "refusal_p50_ms",
        "refusal_p99_ms",
        "memory_grown_bytes",
        "seconds_until_normal",
    },
    "stream": {
        *(f"{how}_to_{n}_per_second" for how in ("singly", "merged") for n in (1, 5)),
        "paced_p50_ms",
        "paced_p99_ms",
    },
}
FLOOR: dict[str, set[str]] = {
    "sequential": {"commits_per_second"},
    "concurrent": {"steps_per_second", "cpu_us", "marginal_cpu_us"},
    "growth": {"least_among_cpu_us", "least_after_cpu_us"},
    "start": {"p50_ms", "p99_ms"},
    "signal": {"p50_ms", "p99_ms"},
    "passivated": {"task_bytes"},
    "recovery": {"start_up_seconds"},
    "latency": {f"{kind}_{s}" for kind in ("loop", "system") for s in SPREAD},
    "parallel": {"plain_seconds"},
    "actors": {"callbacks_per_second", "rows_per_second"},
    "agents": {
        "cpu_ms_per_turn",
        "turns_per_second",
        "ticker_late_p99_ms",
        "waiting_agent_bytes",
        "commit_p50_ms",
    },
    "http": {"requests_per_second", "p50_ms", "p99_ms"},
    "overload": {"peak_per_second"},
    "stream": {
        *(f"singly_to_{n}_per_second" for n in (1, 5)),
        "paced_p50_ms",
        "paced_p99_ms",
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_gives_its_documented_figures(name: str, tmp_path: Path) -> None:
    result = measure_alone(name, "tiny", tmp_path)

    assert result.profile == name
    assert set(result.ours) == OURS[name]
    assert set(result.floor) == FLOOR[name]
    assert result.bars
    assert all(math.isfinite(v) for v in (*result.ours.values(), *result.floor.values()))
    assert list(tmp_path.iterdir()) == []


def test_the_profiles_that_can_be_named_are_those_that_there_are() -> None:
    assert list(NAMES) == list(PROFILES)


def test_a_result_is_printed_with_its_machine_and_whether_its_bars_are_met() -> None:
    bars = [Bar("steps", 5.0, 4.0, is_at_least=True), Bar("ms", 5.0, 4.0)]
    result = Result("start", {"rounds": 1}, {"p50_ms": 1.0}, {"p50_ms": 0.5}, 2.0, bars)

    fields = fields_of(result, this_machine())
    text = "\n".join(shown(result))

    data = msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, object])
    assert set(data) == {"profile", "settings", "ours", "floor", "ratio", "bars", "machine"}
    assert [bar.is_met for bar in bars] == [True, False]
    assert ">= 4 met: steps" in text
    assert "<= 4 missed: ms" in text


def test_quantiles_and_ratios() -> None:
    values = [float(n) for n in range(1, 101)]

    assert quantile(values, 0.99) == 100.0
    assert quantile([1.0], 0.5) == 1.0
    assert ratio_of([2.0, 6.0, 9.0], [1.0, 2.0, 1.0]) == 3.0


@pytest.mark.parametrize("args", [["nothing"], ["--quick", "--full", "start"]])
def test_a_wrong_command_line_is_refused(args: list[str]) -> None:
    assert CliRunner().invoke(command, args).exit_code != 0
