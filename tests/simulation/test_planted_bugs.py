"""The simulation must find bugs that are planted by hand, or it proves nothing."""

from __future__ import annotations

import logging
import os

import pytest

from tests.simulation.planted import PLANTED, SEEDS_MAX, Planted

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(planted: Planted) -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)
    first, count = (0, SEEDS_MAX) if IS_FULL else (max(0, planted.near - 5), 120)

    assert planted.find(first, count) is not None
