"""Statistics of many runs: how they ended, how long they took, and which errors they failed with.

They are made of the newest runs that a query wants, `limits.STATISTICS_RUNS_MAX` at most: with
more, `is_exact` is false, and `since` is the time from which on all are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from outlast import limits
from outlast._engine.reading.records import moment
from outlast._store.contract import RunFilter
from outlast._store.glimpses import RunGlance
from outlast.types import Status

_GROUPS_MAX = 100  # workflows, versions of one, and kinds of failures
_HOUR = 3_600_000_000
# What differs from one failure to the next of the same kind: numbers, and ids of eight or more.
_VARIABLE = re.compile(r"[0-9a-fA-F]{8}[0-9a-fA-F-]*|\d+")


@dataclass(frozen=True, slots=True)
class WorkflowStatistics:
    """The runs of one workflow; durations in seconds, of completed runs."""

    name: str
    runs: int
    counts: Mapping[Status, int]
    versions: Mapping[str, int]
    p50: float | None
    p99: float | None
    started: Sequence[int]
    failed: Sequence[int]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Runs of one workflow that failed, or timed out, alike: errors differ in numbers and ids.

    `error`, `run` and `at` are those of the run that failed last.
    """

    workflow: str
    error: str
    count: int
    run: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """How many runs were created, and how they stand, in equal parts of a span of time."""

    since: datetime
    until: datetime
    step_seconds: float
    runs: int
    is_exact: bool
    counts: Mapping[Status, int]
    p50: float | None
    p99: float | None
    started: Sequence[int]
    completed: Sequence[int]
    failed: Sequence[int]
    workflows: Sequence[WorkflowStatistics]
    failures: Sequence[FailureGroup]


@dataclass(frozen=True, slots=True)
class _Span:
    since: int
    until: int
    points: int

    def series(self, times: Iterable[int | None]) -> list[int]:
        """Count times in each of the equal parts."""
        counts = [0] * self.points
        length = self.until - self.since + 1
        for at in times:
            if at is not None and self.since <= at <= self.until:
                counts[(at - self.since) * self.points // length] += 1
        return counts


@dataclass(slots=True)
class _Group:
    last: RunGlance
    count: int = 0


def statistics_of(
    glances: Sequence[RunGlance], which: RunFilter, now: int, *, points: int
) -> RunStatistics:
    """Return the statistics of runs, newest first, that a filter wants."""
    is_exact = len(glances) < limits.STATISTICS_RUNS_MAX
    until = min(now, which.created_to or now)
    oldest = glances[-1].created_at if glances else until - _HOUR
    since = which.created_from if is_exact and which.created_from is not None else oldest
    span = _Span(min(since, until), until, points)
    p50, p99 = _percentiles(glances)
    return RunStatistics(
        since=moment(span.since),
        until=moment(span.until),
        step_seconds=(span.until - span.since) / points / 1e6,
        runs=len(glances),
        is_exact=is_exact,
        counts=Counter(one.status for one in glances),
        p50=p50,
        p99=p99,
        started=span.series(one.created_at for one in glances),
        completed=span.series(one.closed_at for one in glances if one.status == "completed"),
        failed=span.series(one.closed_at for one in glances if one.status == "failed"),
        workflows=_workflows(glances, span),
        failures=_failures(glances),
    )


def _workflows(glances: Sequence[RunGlance], span: _Span) -> list[WorkflowStatistics]:
    """Return the workflows with the most runs, and of those first the ones that failed most."""
    found: dict[str, list[RunGlance]] = {}
    for one in glances:
        found.setdefault(one.workflow, []).append(one)
    kept = sorted(found, key=lambda name: (-len(found[name]), name))
    told = [_workflow(name, found[name], span) for name in kept[:_GROUPS_MAX]]
    return sorted(told, key=lambda one: -sum(one.failed))


def _workflow(name: str, runs: Sequence[RunGlance], span: _Span) -> WorkflowStatistics:
    p50, p99 = _percentiles(runs)
    return WorkflowStatistics(
        name=name,
        runs=len(runs),
        counts=Counter(one.status for one in runs),
        versions=dict(Counter(one.version for one in runs).most_common(_GROUPS_MAX)),
        p50=p50,
        p99=p99,
        started=span.series(one.created_at for one in runs),
        failed=span.series(one.closed_at for one in runs if one.status == "failed"),
    )


def _failures(glances: Sequence[RunGlance]) -> list[FailureGroup]:
    groups: dict[tuple[str, str], _Group] = {}
    for one in glances:
        if one.status in ("failed", "timed_out"):
            error = one.error or one.status.replace("_", " ")
            group = groups.setdefault((one.workflow, _VARIABLE.sub("#", error)), _Group(one))
            group.count += 1
            if (one.closed_at or 0) > (group.last.closed_at or 0):
                group.last = one
    found = sorted(groups.values(), key=lambda group: (-group.count, -(group.last.closed_at or 0)))
    return [_told(group) for group in found[:_GROUPS_MAX]]


def _told(group: _Group) -> FailureGroup:
    last = group.last
    error = last.error or last.status.replace("_", " ")
    return FailureGroup(last.workflow, error, group.count, last.id, moment(last.closed_at))


def _percentiles(glances: Sequence[RunGlance]) -> tuple[float | None, float | None]:
    """Return the median and the 99th percentile of how long completed runs took, in seconds."""
    lengths = sorted(
        one.closed_at - (one.started_at or one.created_at)
        for one in glances
        if one.status == "completed" and one.closed_at is not None
    )
    if not lengths:
        return None, None
    return _rank(lengths, 50), _rank(lengths, 99)


def _rank(lengths: Sequence[int], percent: int) -> float:
    """Return the smallest value that at least so many percent do not exceed."""
    return max(0, lengths[-(-len(lengths) * percent // 100) - 1]) / 1e6
