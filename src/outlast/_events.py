"""Facts that the engine reports beside its work: counters, and who wants to hear of trouble.

Nothing here is on the path of a step; telemetry and the command line read it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from outlast import limits
from outlast.errors import StoreError

BOUNDS: tuple[float, ...] = tuple(
    round(digit * 10.0**power, 6) for power in range(-5, 3) for digit in (1, 1.5, 2, 3, 5, 7)
)
"""Upper bounds of a histogram's classes, in seconds: 10 us to 700 s, six a decade."""


class Histogram:
    """How often something took how long; adding costs a search among some fifty bounds."""

    __slots__ = ("count", "counts", "total")

    def __init__(self) -> None:
        self.counts: list[int] = [0] * (len(BOUNDS) + 1)
        self.count: int = 0
        self.total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.count += 1
        self.total += seconds

    def copy(self) -> Histogram:
        """Return it as it is now."""
        return self.since(_EMPTY)

    def since(self, before: Histogram) -> Histogram:
        """Return what was counted after `before`, an earlier copy of this one."""
        found = Histogram()
        found.counts = [a - b for a, b in zip(self.counts, before.counts, strict=True)]
        found.count = self.count - before.count
        found.total = self.total - before.total
        return found

    def quantile(self, part: float) -> float:
        """Return about how long this part of all took at most, 0 without any.

        As Prometheus' `histogram_quantile` has it: those of one class are taken to be spread
        evenly over it, and what is above the last bound is told as that bound.
        """
        wanted = part * self.count
        seen, lower = 0, 0.0
        for bound, count in zip((*BOUNDS, BOUNDS[-1]), self.counts, strict=True):
            if count and seen + count >= wanted:
                return round(lower + (bound - lower) * (wanted - seen) / count, 9)
            seen, lower = seen + count, bound
        return 0.0


_EMPTY = Histogram()


@dataclass(slots=True)
class Events:
    """Counters of one engine since it was opened."""

    commits: int = 0
    runs_started: int = 0
    runs_closed: int = 0
    ended: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """Closed runs by workflow and status; beyond `limits.METRIC_WORKFLOWS_MAX`, as "(other)"."""
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
    step_seconds: Histogram = field(default_factory=Histogram)  # bodies, by how long they ran
    commit_seconds: Histogram = field(default_factory=Histogram)  # from the batch to the disk
    fatal: StoreError | None = None
    on_batch: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    on_fatal: list[Callable[[StoreError], None]] = field(
        default_factory=list[Callable[[StoreError], None]]
    )

    def committed(self, seconds: float) -> None:
        """Count a batch that has become durable, and tell who waits for a gap between two."""
        self.commits += 1
        self.commit_seconds.add(seconds)
        for listener in self.on_batch:
            listener()

    def run_closed(self, workflow: str, status: str) -> None:
        """Count a run that has ended."""
        self.runs_closed += 1
        key = workflow, status
        if key not in self.ended:
            known = {name for name, _ in self.ended}
            if workflow not in known and len(known) >= limits.METRIC_WORKFLOWS_MAX:
                key = "(other)", status
        self.ended[key] = self.ended.get(key, 0) + 1
