"""Statistics of many runs: counted in time, by workflow, and by what they failed with."""

from __future__ import annotations

import pytest

from outlast import limits
from outlast._engine.reading.queries import parse_query
from outlast._engine.reading.run_statistics import RunStatistics, statistics_of
from outlast._store.glimpses import RunGlance
from outlast.types import RunId, Status

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
HOUR = 3_600 * SECOND


def glance(
    name: str,
    ago: float,
    status: Status = "completed",
    *,
    took: float | None = 1.0,
    workflow: str = "shop.checkout",
    version: str = "v1",
    error: str | None = None,
) -> RunGlance:
    """A run that was created so many seconds ago, and ran for so long."""
    created = NOW - int(ago * SECOND)
    closed = None if took is None else created + int(took * SECOND)
    return RunGlance(RunId(name), workflow, version, status, created, created, closed, error)


def of(*glances: RunGlance, query: str = "since:1h", points: int = 6) -> RunStatistics:
    newest = sorted(glances, key=lambda one: -one.created_at)
    return statistics_of(newest, parse_query(query, NOW), NOW, points=points)


def test_runs_are_counted_in_the_part_of_the_time_in_which_they_began_and_ended() -> None:
    found = of(
        glance("a", 3_599, took=1_000),
        glance("b", 3_590, "failed", took=600, error="E"),
        glance("c", 10, took=1),
        glance("d", 5, "running", took=None),
        glance("e", 1_801, "timed_out", took=0.5),
    )

    assert found.started == [2, 0, 1, 0, 0, 2]
    assert found.completed == [0, 1, 0, 0, 0, 1]
    assert found.failed == [0, 1, 0, 0, 0, 0]
    assert (found.runs, found.is_exact, found.step_seconds) == (5, True, 600)
    assert found.counts == {"completed": 2, "failed": 1, "running": 1, "timed_out": 1}
    assert (found.until - found.since).total_seconds() == 3_600


def test_percentiles_are_of_completed_runs_and_of_durations_that_occurred() -> None:
    runs = [glance(f"r{n}", 100, took=float(n)) for n in range(1, 101)]
    found = of(*runs, glance("slow", 3_000, "failed", took=2_000, error="E"))

    assert (found.p50, found.p99) == (50.0, 99.0)
    assert of(glance("only", 10, took=3)).p99 == 3.0
    assert of(glance("open", 10, "running", took=None)).p50 is None


def test_failures_that_differ_in_numbers_and_ids_are_one_group() -> None:
    found = of(
        glance("a", 50, "failed", error="Declined: card of order 7 was declined"),
        glance("b", 40, "failed", error="Declined: card of order 12 was declined"),
        glance("c", 30, "failed", error="Declined: card of order 4f3c2a1b9d was declined"),
        glance("d", 20, "failed", error="Declined: no card"),
        glance("e", 10, "failed", workflow="shop.refund", error="Declined: no card"),
        glance("f", 5, "timed_out"),
        glance("g", 1),
    )

    groups = [(one.workflow, one.error, one.count, one.run) for one in found.failures]
    assert groups == [
        ("shop.checkout", "Declined: card of order 4f3c2a1b9d was declined", 3, "c"),
        ("shop.checkout", "timed out", 1, "f"),
        ("shop.refund", "Declined: no card", 1, "e"),
        ("shop.checkout", "Declined: no card", 1, "d"),
    ]


def test_each_workflow_has_its_versions_and_those_that_failed_come_first() -> None:
    found = of(
        glance("a", 50, version="v1"),
        glance("b", 40, version="v2"),
        glance("c", 30, version="v2"),
        glance("d", 20, "failed", workflow="shop.refund", error="E"),
    )

    assert [one.name for one in found.workflows] == ["shop.refund", "shop.checkout"]
    checkout = found.workflows[1]
    assert checkout.versions == {"v2": 2, "v1": 1}
    assert (checkout.runs, checkout.counts, sum(checkout.started)) == (3, {"completed": 3}, 3)


def test_with_more_runs_than_are_read_the_time_begins_with_the_oldest_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "STATISTICS_RUNS_MAX", 3)
    found = of(*[glance(f"r{n}", 10.0 * (n + 1)) for n in range(3)])

    assert not found.is_exact
    assert (found.until - found.since).total_seconds() == 30
    assert sum(found.started) == 3


def test_nothing_is_counted_as_nothing() -> None:
    for query in ("", "since:1h", "since:1h until:2h"):
        found = of(query=query)
        assert (found.runs, sum(found.started), found.workflows) == (0, 0, [])
        assert found.since <= found.until
