"""The server's own figures: rates, latencies, memory; now, and over the last hour.

Invariant: what is kept is bounded, and measuring costs the engine a few additions a step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._events import NANODOLLARS, NO_CALLS, Histogram, ModelCalls
from outlast._world import Timer, memory_bytes

_LAG_SECONDS = 0.1
_MINUTE_POINTS = 12
_RATE_POINTS = 2


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Two points of a distribution, in seconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Point:
    """What was counted up to one moment."""

    at: float
    steps: int
    commits: int
    starts: int
    step: Histogram
    commit: Histogram
    lag: Histogram
    memory: int
    runs: int
    models: Mapping[tuple[str, str], ModelCalls]


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What one agent has asked of one model; `usd` is in dollars, of requests whose price is known.

    `unpriced` are the requests of which it is not.
    """

    agent: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    usd: float
    unpriced: int


@dataclass(slots=True)
class Figures:
    """Looks at the engine every few seconds."""

    core: EngineCore
    lag: Histogram = field(default_factory=Histogram)
    _points: deque[Point] = field(default_factory=lambda: deque(maxlen=limits.HISTORY_POINTS + 1))
    _timers: list[Timer] = field(default_factory=list[Timer])
    _lag_asked_at: float = 0.0

    def start(self) -> None:
        """Begin."""
        self._take()
        self._measure_lag()

    def close(self) -> None:
        """Stop looking."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # ---------------------------------------------------------------------- measuring
    def _take(self) -> None:
        events = self.core.events
        self._points.append(
            Point(
                at=self.core.world.monotonic(),
                steps=events.steps_executed,
                commits=events.commits,
                starts=events.runs_started,
                step=events.step_seconds.copy(),
                commit=events.commit_seconds.copy(),
                lag=self.lag.copy(),
                memory=memory_bytes(),
                runs=len(self.core.scheduler.residents),
                models=events.model_calls,
            )
        )
        timer = self.core.world.call_later(limits.HISTORY_SECONDS, self._take)
        self._timers[:1] = [timer]

    def _measure_lag(self) -> None:
        now = self.core.world.monotonic()
        if self._lag_asked_at:
            self.lag.add(max(0.0, now - self._lag_asked_at - _LAG_SECONDS))
        self._lag_asked_at = now
        timer = self.core.world.call_later(_LAG_SECONDS, self._measure_lag)
        self._timers[1:] = [timer]

    # ------------------------------------------------------------------------ telling
    def latency(self) -> dict[str, Percentiles | None]:
        """Return percentiles over the last minute."""
        events = self.core.events
        before = self._points[-min(_MINUTE_POINTS, len(self._points))]
        return {
            "step": _percentiles(events.step_seconds, before.step),
            "commit": _percentiles(events.commit_seconds, before.commit),
            "loop_lag": _percentiles(self.lag, before.lag),
        }

    def rates(self) -> dict[str, float]:
        """Return how much happens a second, over the last ten or so."""
        events = self.core.events
        before = self._points[-min(_RATE_POINTS, len(self._points))]
        seconds = max(0.001, self.core.world.monotonic() - before.at)
        return {
            "steps": round((events.steps_executed - before.steps) / seconds, 1),
            "commits": round((events.commits - before.commits) / seconds, 1),
            "starts": round((events.runs_started - before.starts) / seconds, 1),
        }

    def model_use(self) -> tuple[float, list[ModelUse]]:
        """Return what agents have asked of models in the last hour, most dollars first.

        With it comes how many seconds that is: less than an hour after a start.
        """
        first, now = self._points[0], self.core.events.model_calls
        found = [
            _use(agent, model, calls.since(first.models.get((agent, model), NO_CALLS)))
            for (agent, model), calls in now.items()
        ]
        used = [use for use in found if use.requests]
        used.sort(key=lambda use: (-use.usd, -use.input_tokens - use.output_tokens, use.agent))
        return self.core.world.monotonic() - first.at, used

    def history(self) -> dict[str, list[float | None]]:
        """Return the last hour's series, oldest first."""
        points = list(self._points)
        pairs = list(pairwise(points))
        return {
            "steps": [_rate(b.steps - a.steps, a, b) for a, b in pairs],
            "commits": [_rate(b.commits - a.commits, a, b) for a, b in pairs],
            "starts": [_rate(b.starts - a.starts, a, b) for a, b in pairs],
            "step_p99": [_p99(b.step, a.step) for a, b in pairs],
            "commit_p99": [_p99(b.commit, a.commit) for a, b in pairs],
            "loop_lag_p99": [_p99(b.lag, a.lag) for a, b in pairs],
            "memory_bytes": [float(b.memory) for _, b in pairs],
            "runs_in_memory": [float(b.runs) for _, b in pairs],
        }


def _use(agent: str, model: str, calls: ModelCalls) -> ModelUse:
    return ModelUse(
        agent,
        model,
        calls.requests,
        calls.input_tokens,
        calls.output_tokens,
        calls.usd / NANODOLLARS,
        calls.unpriced,
    )


def _rate(count: int, a: Point, b: Point) -> float:
    return round(count / max(0.001, b.at - a.at), 1)


def _p99(now: Histogram, before: Histogram) -> float | None:
    found = _percentiles(now, before)
    return None if found is None else found.p99


def _percentiles(now: Histogram, before: Histogram) -> Percentiles | None:
    since = now.since(before)
    if not since.count:
        return None
    return Percentiles(since.quantile(0.5), since.quantile(0.99))
