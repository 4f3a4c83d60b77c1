"""Seeds of the whole engine: crashes, pauses, lost leases, a failing store."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import cache

import pytest

from outlast._execution.bodies import starts
from outlast._journal import slices
from tests.simulation import scenario
from tests.simulation.invariants import Violated
from tests.simulation.scenario import run_seed

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
SEEDS = 10_000 if IS_FULL else 400
PART = 50
# Seeds that once found a bug; what each found is in docs/explanation/simulation.md.
REGRESSIONS = (1, 5, 37, 64, 628, 754, 818, 838, 1_108, 1_172, 2_024, 11_092, 2477, 2557)


report_of = cache(run_seed)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_every_invariant_holds_on_fresh_seeds(first: int) -> None:
    reports = [report_of(seed) for seed in range(first, first + PART)]

    assert all(report.runs > 0 for report in reports)


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_once_found_a_bug_stays_clean(seed: int) -> None:
    assert run_seed(seed).runs > 0


def test_the_interesting_things_do_happen() -> None:
    reports = [report_of(seed) for seed in range(60)]

    assert sum(r.crashes for r in reports) > 20
    assert sum(r.fenced for r in reports) > 5
    assert sum(r.passivated for r in reports) > 20


@pytest.mark.parametrize("seed", [3, 11, 17])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    assert run_seed(seed).trace == report_of(seed).trace


def test_the_trace_does_not_depend_on_hash_randomisation() -> None:

    traces = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation.scenario", "3"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert len(traces) == 1


def test_a_violation_says_how_to_reproduce_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: scenario.Scenario) -> None:
        raise Violated("planted")

    monkeypatch.setattr(scenario.Scenario, "check", fail)

    with pytest.raises(Violated, match=r"python -m tests.simulation.scenario 7"):
        run_seed(7)


def test_every_invariant_holds_when_each_run_goes_on_in_a_turn_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(starts, "_STARTS_FIRST", 1)

    reports = [run_seed(seed) for seed in range(500, 500 + PART)]

    assert all(report.runs > 0 for report in reports)
