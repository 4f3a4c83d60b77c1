"""Seeds of actors under crashes, lost leases and a failing store."""

from __future__ import annotations

import logging
import os

import pytest

from tests.simulation.actors import run_actor_seed

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
SEEDS = 10_000 if IS_FULL else 400
PART = 50


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_every_message_is_applied_once_and_in_order(first: int) -> None:
    crashes = sum(run_actor_seed(seed) for seed in range(first, first + PART))

    assert crashes > 0
