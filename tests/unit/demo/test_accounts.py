"""The demo's accounts find it when something does not add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from outlast.demo.accounts import Account, account_for
from outlast.demo.effects import Execution
from outlast.demo.job import SURVEY, Totals
from outlast.demo.journals import Journals, Line
from outlast.types import RunInfo, Status

STEP = "0#1:outlast.demo.job.read"
NEXT = "0#2:outlast.demo.job.parse"
TOTALS = Totals(modules=1, lines=10, functions=2, classes=1)


def info(run: str, status: Status = "completed") -> RunInfo:
    return RunInfo(run, "study", "1", status, datetime.now(UTC), None, None, None, None)


def line(seq: int, kind: str, key: str = "", epoch: int = 1) -> Line:
    return Line(seq, kind, key, 1 if key else 0, epoch, float(seq), b"print")


def journals(*lines: Line, status: Status = "completed") -> Journals:
    infos = {SURVEY: info(SURVEY, status), "ast": info("ast", status)}
    return Journals(infos, {SURVEY: [], "ast": list(lines)})


BEFORE = journals(line(1, "run_started"), line(2, "step_done", STEP), status="running")
AFTER = journals(
    line(1, "run_started"),
    line(2, "step_done", STEP),
    line(3, "step_done", NEXT, epoch=2),
    line(4, "run_closed", epoch=2),
)


def ran(key: str, life: int) -> Execution:
    return Execution("ast", f"ast/{key}", 1, 100 + life, life)


EXECUTIONS = [ran(STEP, 1), ran(NEXT, 1), ran(NEXT, 2)]


def account(
    after: Journals = AFTER,
    executions: list[Execution] = EXECUTIONS,
    at_the_kill: Journals = BEFORE,
) -> Account:
    return account_for(TOTALS, after, executions, at_the_kill=at_the_kill, restarted_at=2.5)


def test_a_step_in_flight_at_the_kill_may_be_executed_twice() -> None:
    found = account()

    assert found.problems == []
    assert found.runs_open_max == 1
    assert found.kill is not None
    assert found.kill.attempts_in_flight == found.kill.attempts_executed_twice == 1
    assert found.kill.steps_recorded_before == 1
    assert found.kill.runs_open == 2
    assert found.kill.recovery_seconds == 0.5


def test_a_recorded_step_that_is_executed_again_is_found() -> None:
    [*problems] = account(executions=[*EXECUTIONS, ran(STEP, 2)]).problems

    assert "1 recorded steps were executed again" in problems
    assert "2 steps were executed twice, but only 1 were in flight at the kill" in problems


def test_a_run_that_does_not_complete_is_found() -> None:
    stuck = replace(AFTER, infos={**AFTER.infos, "ast": info("ast", "running")})

    assert account(after=stuck).problems == ["1 run did not complete, the first is 'ast'"]


def test_a_run_that_is_gone_is_found() -> None:
    gone = Journals({SURVEY: info(SURVEY)}, {SURVEY: AFTER.lines["ast"]})

    assert "modules reported: 1, runs: 1" in account(after=gone).problems


def test_a_record_that_changed_after_the_kill_is_found() -> None:
    lines = list(AFTER.lines["ast"])
    lines[1] = replace(lines[1], fingerprint=b"another")

    [problem] = account(after=journals(*lines)).problems

    assert "lost or changed records that were there at the kill, the first is 'ast'" in problem


def test_an_outcome_of_a_step_that_nobody_executed_is_found() -> None:
    [problem] = account(executions=EXECUTIONS[1:]).problems

    assert "1 outcomes are recorded of steps that were never executed" in problem


def test_an_execution_without_an_outcome_is_found() -> None:
    [problem] = account(executions=[*EXECUTIONS, ran("0#3:outlast.demo.job.measure", 2)]).problems

    assert "1 executions have no recorded outcome" in problem
