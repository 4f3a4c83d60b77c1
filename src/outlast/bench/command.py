"""`outlast bench`: measures profile after profile, and prints ours beside the floor."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from outlast.bench.result import Result, fields_of, this_machine
from outlast.bench.sizes import SizeName
from outlast.errors import OutlastError, UsageError

# Their names alone: asking for help must not import the engine.
NAMES = (
    "sequential",
    "concurrent",
    "growth",
    "start",
    "signal",
    "passivated",
    "recovery",
    "latency",
    "parallel",
    "actors",
    "agents",
    "http",
    "stream",
    "overload",
)


class BenchFailed(OutlastError):
    """A profile could not be measured."""


@click.command()
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...", type=click.Choice(NAMES))
@click.option(
    "--json", "as_data", is_flag=True, help="Print a JSON array with one object per profile."
)
@click.option("--quick", "is_quick", is_flag=True, help="Use small sizes, for a quick impression.")
@click.option(
    "--full", "is_full", is_flag=True, help="Use the largest sizes, with a million waiting runs."
)
@click.option(
    "--db",
    "directory",
    metavar="DIR",
    default=None,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory on the disk to measure [default: the temporary directory].",
)
def command(
    *,
    profiles: tuple[str, ...],
    as_data: bool,
    is_quick: bool,
    is_full: bool,
    directory: Path | None,
) -> None:
    """Measure durable execution on this machine.

    Each profile shows ours, the floor that was measured in turn with it on the same disk, and the
    figure to reach. Profiles: sequential, concurrent, start, signal, passivated, recovery,
    latency, parallel; all of them when none is named.
    """
    if is_quick and is_full:
        raise UsageError("--quick and --full contradict each other")
    size: SizeName = "quick" if is_quick else "full" if is_full else "default"
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    machine = this_machine()
    found: list[dict[str, object]] = []
    if not as_data:
        print(", ".join(f"{name} {value}" for name, value in machine.items()))
    for name in profiles or _possible():
        result = measure_alone(name, size, directory)
        found.append(fields_of(result, machine))
        if not as_data:
            print("\n".join(["", *shown(result)]), flush=True)
    if as_data:
        print(json.dumps(found, indent=1))


def _possible() -> list[str]:
    """Return the profiles that can be measured with what is installed."""
    has_agents = importlib.util.find_spec("pydantic_ai") is not None
    return [name for name in NAMES if name != "agents" or has_agents]


def measure_alone(name: str, size: SizeName, directory: Path | None) -> Result:
    """Measure a profile in a process of its own, and leave nothing behind.

    Raises:
        BenchFailed: the process ended without a result; what it said is on stderr.
    """
    with tempfile.TemporaryDirectory(prefix=f"outlast-bench-{name}-", dir=directory) as place:
        done = subprocess.run(
            [sys.executable, "-m", "outlast.bench.profiles.table", name, size, place],
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            raise BenchFailed(f"{name} could not be measured: its process ended with "
                              f"{done.returncode}")  # fmt: skip
        return msgspec.json.decode(done.stdout, type=Result)


def shown(result: Result) -> list[str]:
    """Return lines for a person."""
    settings = ", ".join(f"{_words(name)} {_number(v)}" for name, v in result.settings.items())
    lines = [f"{result.profile} ({settings})"]
    lines += _columns("ours", result.ours)
    lines += _columns("floor", result.floor)
    if result.ratio is not None:
        lines.append(f"  {'ratio':6} {_number(result.ratio):>12}")
    for bar in result.bars:
        sign = ">=" if bar.is_at_least else "<="
        state = "met" if bar.is_met else "missed"
        wanted = f"{sign} {_number(bar.limit)}"
        lines.append(f"  {'bar':6} {_number(bar.value):>12}  {wanted} {state}: {bar.claim}")
    return lines


def _columns(title: str, figures: Mapping[str, float]) -> list[str]:
    return [f"  {title:6} {_number(value):>12}  {_words(name)}" for name, value in figures.items()]


def _words(name: str) -> str:
    return name.replace("_per_", "/").replace("_", " ")


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
