"""Histograms: what is counted in classes, and the percentiles that are told of it."""

from __future__ import annotations

import pytest

from outlast._events import BOUNDS, Histogram


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
