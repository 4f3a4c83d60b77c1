"""What users give to an engine, checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from outlast import limits
from outlast._codec.stored.layers import CodecLayer, codec_of
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._registry import Registry
from outlast._wording.durations import seconds_of
from outlast._world import World
from outlast.errors import UsageError
from outlast.types import Duration, RunBudget

Resources = Mapping[type[object], Callable[[], object]]


def core_options(
    *,
    recover: bool = True,
    resources: Resources | None = None,
    retention: Duration | None = limits.RETENTION,
    live_runs_max: int = limits.LIVE_RUNS_MAX,
    live_bytes_max: int | None = None,
    codec: CodecLayer | Sequence[CodecLayer] | None = None,
    tracing: object = None,
) -> CoreOptions:
    """Return what an engine is opened with.

    Raises:
        UsageError: a value is out of its bounds, or of a wrong type.
    """
    _check_types(resources, live_runs_max)
    if live_runs_max < 1 or (live_bytes_max is not None and live_bytes_max < 1):
        raise UsageError("live_runs_max and live_bytes_max must be at least 1")
    if retention is not None and seconds_of(retention) < 0:
        raise UsageError("retention must not be negative")
    return CoreOptions(
        recover=recover,
        retention_seconds=None if retention is None else seconds_of(retention),
        live_runs_max=live_runs_max,
        live_bytes_max=live_bytes_max or limits.LIVE_BYTES_MAX,
        resources=dict(resources or {}),
        codec=codec_of(codec),
        prepare=() if tracing is None else (_tracing_by(tracing),),
    )


def handed_by(
    budget: RunBudget | None, world: World, run: str | None, *, delay: Duration | None
) -> str:
    """Return what a new run is told of the budget that it is started under.

    Raises:
        UsageError: it is no budget.
    """
    if budget is None:
        return ""
    if not isinstance(budget, RunBudget):
        raise UsageError(
            f"budget= of start takes what outlast.agents.budget(...) returns, not {budget!r}"
        )
    begins = world.now() / 1e6 + (0.0 if delay is None else seconds_of(delay))
    return budget.handed_to(run or "", unique=world.new_id(), begins=begins)


def _tracing_by(provider: object) -> Callable[[EngineCore], None]:
    """Return what has an engine traced by a tracer provider of OpenTelemetry."""
    if not (hasattr(provider, "get_tracer") and hasattr(provider, "id_generator")):
        raise UsageError(f"tracing= takes a TracerProvider of OpenTelemetry, not {provider!r}")
    try:
        module = import_module("outlast.telemetry.tracing")
    except ImportError as error:
        raise UsageError(
            f"tracing= needs the extra: pip install 'outlast[otel]' ({error})"
        ) from None
    attach: Callable[[EngineCore], None] = module.tracing_by(provider)
    return attach


def _check_types(resources: object, live_runs_max: object) -> None:
    """Refuse what no type checker has seen."""
    if not isinstance(resources, Mapping | None):
        raise UsageError(f"resources= takes a mapping of types to makers, not {resources!r}")
    if not isinstance(live_runs_max, int):
        raise UsageError(f"live_runs_max= takes a whole number, not {live_runs_max!r}")


def check_opening(url: object, registry: object) -> None:
    """Refuse what no type checker has seen."""
    wanted: list[tuple[str, object, type | tuple[type, ...], str]] = [
        ("url", url, (str, os.PathLike), "a path or an url"),
        ("registry", registry, (Registry, type(None)), "a Registry"),
    ]
    for name, value, kinds, what in wanted:
        if not isinstance(value, kinds):
            raise UsageError(f"{name}= of Engine.open takes {what}, not {value!r}")
