"""Seeds of actors under crashes, lost leases and a failing store."""

from __future__ import annotations

import logging
import os

import pytest

from tests.simulation.actors import ActorScenario, run_actor_seed
from tests.simulation.scenario import play

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
SEEDS = 10_000 if IS_FULL else 400
PART = 50


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_every_message_is_applied_once_and_in_order(first: int) -> None:
    crashes = sum(run_actor_seed(seed).crashes for seed in range(first, first + PART))

    assert crashes > 0


def test_the_interesting_things_do_happen() -> None:
    reasons: dict[str, int] = {}
    refused, late = 0, 0
    for seed in range(40):
        scenario = ActorScenario(seed)
        play(scenario, "tests.simulation.actors")
        for letter in scenario.yard.database.dead(None, 0, 1_000):
            reasons[letter.reason] = reasons.get(letter.reason, 0) + 1
        refused += sum(len(lines) for lines in scenario.promised.refused.values())
        late += "sim.Reader/late" in scenario.yard.database.rows

    assert reasons["failed"] > 20
    assert reasons["closed"] > 5
    assert refused > 20
    assert late > 5
