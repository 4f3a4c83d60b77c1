"""The engine's counters as metrics of OpenTelemetry (extra `otel`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from outlast._engine.open_engine import EngineCore
from outlast._world import memory_bytes
from outlast.engine import Engine

_COUNTERS = (
    "commits",
    "runs_started",
    "runs_closed",
    "runs_activated",
    "runs_passivated",
    "runs_parked",
    "steps_executed",
    "attempts_failed",
    "fenced",
    "store_errors",
    "loop_blocked",
)


def metered(engine: Engine, provider: MeterProvider) -> Engine:
    """Return the engine, whose counters are metrics of the provider from its opening on.

    They are called `outlast.runs_started` and so on, as in `/metrics`; besides there are
    `outlast.runs_in_memory`, `outlast.steps_running` and `outlast.memory_bytes`.

    Raises:
        UsageError: the engine is open already.
    """

    def attach(core: EngineCore) -> None:
        meter = provider.get_meter("outlast")
        for name in _COUNTERS:
            meter.create_observable_counter(f"outlast.{name}", [_counter(core, name)])
        gauges: dict[str, Callable[[], int]] = {
            "runs_in_memory": lambda: len(core.scheduler.residents),
            "steps_running": lambda: len(core.scheduler.bodies),
            "memory_bytes": memory_bytes,
        }
        for name, value in gauges.items():
            meter.create_observable_gauge(f"outlast.{name}", [_observed(value)])

    engine.before_recovery(attach)
    return engine


def _counter(core: EngineCore, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return _observed(lambda: int(getattr(core.events, name)))


def _observed(value: Callable[[], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value())]

    return observe
