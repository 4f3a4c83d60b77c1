"""`App`: what a program's engine is opened with, for the commands that open one for it.

app = App(resources={Bank: make_bank}, retention="90d")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from outlast import limits
from outlast._codec.stored.layers import CodecLayer
from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import parse_url
from outlast._engine.options import Resources, core_options
from outlast._handles.limits import Limits
from outlast._registry import default_registry
from outlast.engine import Engine
from outlast.types import Duration


class App:
    """What `Engine.open` takes, named at the module level of a program.

    `outlast run`, `serve` and `dev` open the engine of `APP` with it. The program itself opens one
    with `app.open(url)`, so that both have the same resources.

    Args:
        resources: makers by type, called once per process; `this_step().resource(type)`.
        retention: how long closed runs are kept; None keeps them.
        live_runs_max: runs in memory; more are passivated.
        live_bytes_max: journal bytes that runs in memory may hold.
        codec: what stored values pass through, as for `Engine.open`.
        tracing: OpenTelemetry's TracerProvider that gets spans of runs, attempts and messages.

    Raises:
        UsageError: a value is out of its bounds, or of a wrong type.
    """

    def __init__(
        self,
        *,
        resources: Resources | None = None,
        retention: Duration | None = limits.RETENTION,
        live_runs_max: int = limits.LIVE_RUNS_MAX,
        live_bytes_max: int | None = None,
        codec: CodecLayer | Sequence[CodecLayer] | None = None,
        tracing: object = None,
    ) -> None:
        self._made = core_options(
            resources=resources,
            retention=retention,
            live_runs_max=live_runs_max,
            live_bytes_max=live_bytes_max,
            codec=codec,
            tracing=tracing,
        )
        self._limits = Limits(self._made.provider_limits)

    @property
    def limits(self) -> Limits:
        """What agents keep to in each engine that is opened from now on: `limits.provider(...)`."""
        return self._limits

    def open(self, url: str | os.PathLike[str] = "outlast.db") -> Engine:
        """Return an engine to enter with `async with`; see `Engine.open`."""
        target = parse_url(os.fspath(url), read_only=False)
        return Engine(target, self._options, default_registry)

    @property
    def _options(self) -> CoreOptions:
        """What the next engine is opened with."""
        return replace(self._made, provider_limits=self._made.provider_limits.copy())

    @override
    def __repr__(self) -> str:
        return f"App(resources={list(self._made.resources)!r})"
