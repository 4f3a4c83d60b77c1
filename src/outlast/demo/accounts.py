"""The demo's accounts: the journals held against the effects file.

Nothing is taken from what the demo's engine said of itself: the records before and after the kill
come from the store, read while no engine runs it, and the executions from a file of the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from outlast._wording.plurals import counted
from outlast.demo.effects import Execution
from outlast.demo.job import SURVEY, Totals
from outlast.demo.journals import Journals


@dataclass(frozen=True, slots=True)
class KillAccount:
    """What the kill did."""

    runs_open: int
    steps_recorded_before: int
    attempts_in_flight: int
    attempts_executed_twice: int
    recorded_steps_run_again: int
    recovery_seconds: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """All figures of one demo."""

    modules: int
    lines: int
    functions: int
    classes: int
    runs: int
    runs_completed: int
    runs_open_max: int
    steps_recorded: int
    steps_per_second: float
    attempts_failed: int
    attempts_executed: int
    kill: KillAccount | None
    problems: list[str] = field(default_factory=list[str])


def account_for(
    totals: Totals,
    after: Journals,
    executions: Sequence[Execution],
    *,
    at_the_kill: Journals | None,
    restarted_at: float,
) -> Account:
    """Return the figures, and what does not add up."""
    problems = _lost_runs(totals, after) + _unexplained(after, executions)
    kill = None
    if at_the_kill is not None:
        kill = _kill_account(after, at_the_kill, executions, restarted_at)
        problems += _kill_problems(kill, after, at_the_kill)
    times = [line.at for lines in after.lines.values() for line in lines]
    steps = after.count("step_done")
    return Account(
        modules=totals.modules,
        lines=totals.lines,
        functions=totals.functions,
        classes=totals.classes,
        runs=len(after.infos),
        runs_completed=after.completed_runs,
        runs_open_max=after.open_runs_max(),
        steps_recorded=steps,
        steps_per_second=steps / max(1e-6, max(times) - min(times)),
        attempts_failed=after.count("attempt_failed"),
        attempts_executed=len(executions),
        kill=kill,
        problems=problems,
    )


def _kill_account(
    after: Journals, at_the_kill: Journals, executions: Sequence[Execution], restarted_at: float
) -> KillAccount:
    recorded = at_the_kill.attempts()
    in_flight = {e.attempt_id for e in executions if e.life == 1} - recorded
    times = Counter(e.attempt_id for e in executions)
    first_epoch = max(line.epoch for lines in at_the_kill.lines.values() for line in lines)
    new = [
        line.at
        for lines in after.lines.values()
        for line in lines
        if line.epoch > first_epoch and line.kind in ("step_done", "attempt_failed")
    ]
    return KillAccount(
        runs_open=at_the_kill.open_runs,
        steps_recorded_before=at_the_kill.count("step_done"),
        attempts_in_flight=len(in_flight),
        attempts_executed_twice=sum(count - 1 for count in times.values()),
        recorded_steps_run_again=sum(e.life > 1 and e.attempt_id in recorded for e in executions),
        recovery_seconds=min(new) - restarted_at if new else None,
    )


def _lost_runs(totals: Totals, after: Journals) -> list[str]:
    problems: list[str] = []
    lost = [run for run, info in after.infos.items() if info.status != "completed"]
    if lost:
        problems.append(f"{counted(len(lost), 'run')} did not complete, the first is {lost[0]!r}")
    if SURVEY not in after.infos:
        problems.append("the survey itself is lost")
    if len(after.infos) != totals.modules + 1:
        problems.append(f"modules reported: {totals.modules}, runs: {len(after.infos)}")
    return problems


def _unexplained(after: Journals, executions: Sequence[Execution]) -> list[str]:
    """Return what only one of the two sides knows of."""
    recorded = {attempt for attempt in after.attempts() if "outlast.demo.job" in attempt[1]}
    executed = {e.attempt_id for e in executions}
    problems: list[str] = []
    if recorded - executed:
        some = min(recorded - executed)
        problems.append(
            f"{len(recorded - executed)} outcomes are recorded of steps that were never executed, "
            f"such as {some}"
        )
    if executed - recorded:
        some = min(executed - recorded)
        problems.append(
            f"{len(executed - recorded)} executions have no recorded outcome, such as {some}"
        )
    return problems


def _kill_problems(kill: KillAccount, after: Journals, at_the_kill: Journals) -> list[str]:
    problems: list[str] = []
    if kill.recorded_steps_run_again:
        problems.append(f"{kill.recorded_steps_run_again} recorded steps were executed again")
    if kill.attempts_executed_twice > kill.attempts_in_flight:
        problems.append(
            f"{kill.attempts_executed_twice} steps were executed twice, but only "
            f"{kill.attempts_in_flight} were in flight at the kill"
        )
    changed = [
        run
        for run, lines in at_the_kill.lines.items()
        if after.lines.get(run, [])[: len(lines)] != lines
    ]
    if changed:
        problems.append(
            f"the journals of {len(changed)} runs lost or changed records that were there at "
            f"the kill, the first is {changed[0]!r}"
        )
    return problems
