"""Histograms and counters: classes and percentiles, and each failed attempt."""

from __future__ import annotations

import pytest

from outlast import Engine, Retry, step, this_step, workflow
from outlast._events import BOUNDS, Histogram
from outlast.errors import RunFailed


def test_a_quantile_lies_within_its_class_in_proportion_as_prometheus_has_it() -> None:
    histogram = Histogram()
    for _ in range(100):
        histogram.add(0.4)  # all in the class from 0.3 to 0.5

    assert histogram.quantile(0.5) == pytest.approx(0.4)
    assert histogram.quantile(0.99) == pytest.approx(0.498)


def test_the_classes_below_count_and_what_is_above_all_bounds_is_told_as_the_last_one() -> None:
    histogram = Histogram()
    for seconds in (0.000_005, 0.4, 0.4, 5_000.0):
        histogram.add(seconds)

    assert histogram.quantile(0.25) == pytest.approx(BOUNDS[0])
    assert histogram.quantile(0.5) == pytest.approx(0.4)
    assert histogram.quantile(1) == BOUNDS[-1]
    assert Histogram().quantile(0.99) == 0.0


@step(retry=Retry(attempts=3, first="1ms"))
async def flaky() -> int:
    if this_step().attempt < 3:
        raise ConnectionError("not yet")
    return 1


@step
async def broken() -> int:
    raise ConnectionError("for good")


@step
async def unfit() -> int:
    return "no int"  # type: ignore[return-value]  # wrong on purpose


@workflow
async def calls(name: str) -> int:
    match name:
        case "flaky":
            return await flaky()
        case "broken":
            return await broken()
        case _:
            return await unfit()


@pytest.mark.parametrize(("name", "count"), [("flaky", 2), ("broken", 1), ("unfit", 1)])
async def test_every_failed_attempt_is_counted(engine: Engine, name: str, count: int) -> None:
    if name == "flaky":
        assert await engine.run(calls(name)) == 1
    else:
        with pytest.raises(RunFailed):
            await engine.run(calls(name))

    assert engine._core.events.attempts_failed == count
