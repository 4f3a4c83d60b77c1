"""What users give to an engine, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from outlast import limits
from outlast._durations import seconds_of
from outlast._engine.open_engine import CoreOptions
from outlast.errors import UsageError
from outlast.types import Duration

Resources = Mapping[type[object], Callable[[], object]]


def core_options(
    *,
    recover: bool = True,
    resources: Resources | None = None,
    retention: Duration | None = limits.RETENTION,
    live_runs_max: int = limits.LIVE_RUNS_MAX,
    live_bytes_max: int | None = None,
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
    )


def _check_types(resources: object, live_runs_max: object) -> None:
    """Refuse what no type checker has seen."""
    if not isinstance(resources, Mapping | None):
        raise UsageError(f"resources= takes a mapping of types to makers, not {resources!r}")
    if not isinstance(live_runs_max, int):
        raise UsageError(f"live_runs_max= takes a whole number, not {live_runs_max!r}")
