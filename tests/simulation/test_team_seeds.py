"""Seeds of teams under crashes, lost leases and a failing store."""

from __future__ import annotations

import logging
import os

import pytest

from outlast._actors.supervisor import Supervisor
from tests.simulation.scenario import play
from tests.simulation.team_invariants import is_team, team_of
from tests.simulation.teams import TeamScenario, run_team_seed

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
SEEDS = 5_000 if IS_FULL else 100
PART = 25


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_everybody_is_where_his_supervisor_says(first: int) -> None:
    crashes = sum(run_team_seed(seed).crashes for seed in range(first, first + PART))

    assert crashes > 0


@pytest.mark.parametrize(
    "seed", [8, 11, 21, 35, 51, 53, 57, 139, 167, 182, 220, 1_636, 2_546, 3_651, 5_405]
)
def test_a_seed_that_once_broke_an_invariant_keeps_all_of_them(seed: int) -> None:
    run_team_seed(seed)


def test_the_interesting_things_do_happen() -> None:
    restarts, ended, depth, told, reasons = 0, 0, 0, 0, set[str]()
    for seed in range(20):
        scenario = TeamScenario(seed)
        play(scenario, "tests.simulation.teams")
        database = scenario.yard.database
        reasons |= {letter.reason for letter in database.dead(None, 0, 1_000)}
        told += len(scenario.promised.watched)
        depth = max(depth, *(_depth(team) for team in scenario.final))
        for row in database.rows.values():
            members = team_of(row).members if is_team(row) else []
            restarts += sum(member.restarts for member in members)
            ended += sum(member.status == "ended" for member in members)

    assert restarts > 15
    assert ended > 5
    assert depth == 3
    assert told > 20
    assert {"failed", "closed"} <= reasons


def _depth(team: Supervisor) -> int:
    within = [_depth(child) for child in team.children if isinstance(child, Supervisor)]
    return 1 + max(within, default=0)
