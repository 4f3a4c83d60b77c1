"""What a profile found: ours, the floor of the same run, and the bar between them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util

import apsw


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure to reach: at least, or at most, `limit`."""

    claim: str
    value: float
    limit: float
    is_at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is reached."""
        return self.value >= self.limit if self.is_at_least else self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Result:
    """One profile's figures; names end in their unit."""

    profile: str
    settings: Mapping[str, int | float]
    ours: Mapping[str, float]
    floor: Mapping[str, float]
    ratio: float | None
    bars: Sequence[Bar] = field(default_factory=list[Bar])


@dataclass(frozen=True, slots=True)
class Rate:
    """How quick a number of steps was, and what each cost."""

    steps: int
    seconds: float
    cpu_seconds: float

    @classmethod
    def since(cls, began: float, cpu_began: float, steps: int) -> Rate:
        """Return the rate of what has begun at these times of both clocks, and has just ended."""
        return cls(steps, time.perf_counter() - began, time.process_time() - cpu_began)

    @property
    def per_second(self) -> float:
        """Steps a second."""
        return self.steps / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of a step, in microseconds."""
        return self.cpu_seconds / self.steps * 1e6

    def marginal_cpu_us(self, shorter: Rate) -> float:
        """CPU time of a step more, beside a round of as many runs with fewer steps."""
        return (self.cpu_seconds - shorter.cpu_seconds) / (self.steps - shorter.steps) * 1e6


def fields_of(result: Result, machine: Mapping[str, str | int]) -> dict[str, object]:
    """Return a result as `--json` prints it."""
    return {
        "profile": result.profile,
        "settings": dict(result.settings),
        "ours": dict(result.ours),
        "floor": dict(result.floor),
        "ratio": result.ratio,
        "bars": [
            {
                "claim": bar.claim,
                "value": bar.value,
                "limit": bar.limit,
                "at_least": bar.is_at_least,
                "met": bar.is_met,
            }
            for bar in result.bars
        ],
        "machine": dict(machine),
    }


def this_machine() -> dict[str, str | int]:
    """Return what figures depend on."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "loop": _loop_name(),
        "outlast": _version("outlast"),
    }


def _loop_name() -> str:
    return f"uvloop {_version('uvloop')}" if util.find_spec("uvloop") else "asyncio"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio_of(ours: Sequence[float], floors: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: a machine that slows down slows both sides."""
    return statistics.median(a / b for a, b in zip(ours, floors, strict=True))
