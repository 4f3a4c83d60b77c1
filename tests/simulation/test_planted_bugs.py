"""The simulation must find bugs that are planted by hand, or it proves nothing."""

from __future__ import annotations

import logging

import pytest

from tests.simulation.planted import PLANTED, Planted


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(planted: Planted) -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)

    assert planted.find() is not None
