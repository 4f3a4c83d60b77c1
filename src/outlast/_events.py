"""Facts that the engine reports beside its work: counters, and who wants to hear of trouble.

Nothing here is on the path of a step; telemetry and the command line read it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
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


@dataclass(frozen=True, slots=True)
class ModelCalls:
    """What an agent has asked of a model: requests, tokens, and nanodollars of those with a price.

    `unpriced` are the requests of which the price is not known.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: int = 0
    unpriced: int = 0

    def __add__(self, other: ModelCalls) -> ModelCalls:
        return ModelCalls(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.usd + other.usd,
            self.unpriced + other.unpriced,
        )

    def since(self, before: ModelCalls) -> ModelCalls:
        """Return what was counted after `before`, an earlier value of this."""
        return ModelCalls(
            self.requests - before.requests,
            self.input_tokens - before.input_tokens,
            self.output_tokens - before.output_tokens,
            self.usd - before.usd,
            self.unpriced - before.unpriced,
        )


NO_CALLS = ModelCalls()
NANODOLLARS = 1_000_000_000
"""So many are a dollar."""

_OTHER = "(other)"


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
    model_calls: Mapping[tuple[str, str], ModelCalls] = field(
        default_factory=dict[tuple[str, str], ModelCalls]
    )
    """By agent and model; replaced and never changed, so that a reader may keep it."""
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
                key = _OTHER, status
        self.ended[key] = self.ended.get(key, 0) + 1

    def model_asked(
        self,
        agent: str,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        usd: int | None,
    ) -> None:
        """Count a response of a model; `usd` is in nanodollars, None where that is not known.

        Beyond `limits.METRIC_WORKFLOWS_MAX` agents and models, as "(other)".
        """
        key = agent, model
        if key not in self.model_calls and len(self.model_calls) >= limits.METRIC_WORKFLOWS_MAX:
            key = _OTHER, _OTHER
        counted = ModelCalls(1, input_tokens, output_tokens, usd or 0, int(usd is None))
        before = self.model_calls.get(key, NO_CALLS)
        self.model_calls = {**self.model_calls, key: before + counted}
