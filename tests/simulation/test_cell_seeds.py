"""Seeds of counters and registers in actors: what their clients saw is linearisable."""

from __future__ import annotations

import logging
import os

import pytest

from tests.simulation.cells import CellScenario, run_cell_seed
from tests.simulation.scenario import play

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
SEEDS = 5_000 if IS_FULL else 150
PART = 50


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_what_clients_saw_of_every_actor_is_linearisable(first: int) -> None:
    crashes = sum(run_cell_seed(seed).crashes for seed in range(first, first + PART))

    assert crashes > 0


def test_operations_do_overlap_and_do_stay_unknown() -> None:
    overlaps, unknown, fenced = 0, 0, 0
    for seed in (*range(19), 32):  # the last one loses leases while it commits
        scenario = CellScenario(seed)
        fenced += play(scenario, "tests.simulation.cells").fenced
        for history in scenario.histories.values():
            unknown += sum(operation.returned is None for operation in history)
            ends = [operation.returned or float("inf") for operation in history]
            overlaps += sum(
                first.called < second.called < end
                for first, end in zip(history, ends, strict=True)
                for second in history
            )

    assert overlaps > 200
    assert unknown > 20
    assert fenced > 0
