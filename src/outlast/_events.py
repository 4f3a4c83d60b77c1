"""Facts that the engine reports beside its work: counters, and who wants to hear of trouble.

Nothing here is on the path of a step; telemetry and the command line read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from outlast.errors import StoreError


@dataclass(slots=True)
class Events:
    """Counters of one engine since it was opened."""

    commits: int = 0
    runs_started: int = 0
    runs_closed: int = 0
    runs_activated: int = 0
    runs_passivated: int = 0
    runs_parked: int = 0
    steps_executed: int = 0
    attempts_failed: int = 0
    fenced: int = 0
    store_errors: int = 0
    loop_blocked: int = 0
    collections: int = 0
    collection_seconds_max: float = 0.0
    fatal: StoreError | None = None
    on_fatal: list[Callable[[StoreError], None]] = field(
        default_factory=list[Callable[[StoreError], None]]
    )
