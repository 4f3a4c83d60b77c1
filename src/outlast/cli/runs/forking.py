"""`outlast fork`, and what a fork or a retry would run again, shown before it is done."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import click
import msgspec

from outlast._wording.plurals import counted
from outlast.cli.inputs import json_of
from outlast.cli.places import Place, database_options, json_option, place_of
from outlast.cli.printing import as_json, note, safe_line, say
from outlast.cli.runs.bulk import reason_option
from outlast.cli.transport import Verbs, write
from outlast.engine import run_loop
from outlast.errors import UsageError
from outlast.types import ChildAction, ForkKeys, ForkSignals, RerunPlan, Status

_SHOWN_MAX = 20
_OF_CHILDREN: dict[ChildAction, str] = {
    "attach": "is taken as it stands, and waited for if it is open",
    "wait": "ends first, and is then started anew unless it completes",
    "start": "is started anew, at its first line",
    "refuse": "is refused, for its id is in use",
}


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a fork begins, and what it takes along."""

    at: int | str
    keys: ForkKeys
    signals: ForkSignals


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--at", required=True, metavar="STEP", help="A seq, a step's key, or its name.")
@click.option("--input", "given", metavar="JSON", default=None, help="Other arguments, by name.")
@click.option(
    "--keys",
    type=click.Choice(["same", "new"]),
    default="same",
    show_default=True,
    help="Idempotency keys of steps that run again: those of run ID, or new ones.",
)
@click.option(
    "--signals",
    type=click.Choice(["leave", "copy"]),
    default="leave",
    show_default=True,
    help="Signals that run ID was sent behind STEP: they stay with it, or are copied.",
)
@reason_option
@click.option("--dry-run", is_flag=True, help="Only show what would run again.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@database_options
def fork(
    *,
    run_id: str,
    at: str,
    given: str | None,
    keys: ForkKeys,
    signals: ForkSignals,
    reason: str,
    dry_run: bool,
    yes: bool,
    as_data: bool,
    db: str | None,
    url: str | None,
) -> int:
    """Start a new run from the past of another one, and print its id.

    What was recorded before STEP is reused; STEP, and what follows it, runs again. What that is, is
    shown first; on a terminal it asks.
    """
    place = place_of(db, url)
    point = int(at) if at.isdecimal() else at
    data = None if given is None else json_of(given, "the input")
    try:
        arguments = None if given is None else msgspec.convert(data, dict[str, object])
    except msgspec.ValidationError:
        raise UsageError("--input is an object of arguments by name") from None
    asked = Fork(point, keys, signals)
    plan = planned(place, run_id, asked)
    if dry_run and as_data:
        say(as_json(plan))
        return 0
    if not may_go_on(plan, "fork", dry_run=dry_run, yes=yes or as_data):
        return 0 if dry_run else 1

    async def commit(engine: Verbs) -> str:
        run = engine.get(run_id)
        made = await run.fork(point, arguments, keys=keys, signals=signals, reason=reason)
        return made.id

    written = run_loop(write(place, commit))
    say(as_json({"id": written.value, "plan": plan}) if as_data else safe_line(written.value))
    if not written.acts_now:
        note("no engine is running, the next one that opens the store executes it")
    return 0


def planned(place: Place, run_id: str, fork: Fork | None) -> RerunPlan:
    """Return what a fork, or without one a retry, would run again."""

    async def commit(engine: Verbs) -> RerunPlan:
        run = engine.get(run_id)
        if fork is None:
            return await run.retry_plan()
        return await run.fork_plan(fork.at, keys=fork.keys, signals=fork.signals)

    return run_loop(write(place, commit)).value


def may_go_on(plan: RerunPlan, verb: Literal["fork", "retry"], *, dry_run: bool, yes: bool) -> bool:
    """Show a plan, and on a terminal ask whether to go on; `yes` does neither."""
    if not yes or dry_run:
        for line in in_words(plan):
            note(line)
    if dry_run:
        return False
    if yes or not sys.stdin.isatty():
        return True
    if click.confirm(f"{verb} {safe_line(plan.run_id)}?", err=True):
        return True
    note("nothing was done")
    return False


def in_words(plan: RerunPlan) -> list[str]:
    """Return a plan as lines for people."""
    kept = f"{counted(plan.records_kept, 'record')}, {counted(plan.steps_kept, 'step')} in them"
    lines = [f"kept: {kept}, of what was recorded before record {plan.seq}"]
    lines += _listed(
        "runs again, if the code asks for it",
        [
            f"step {safe_line(step.key)}{_of_place(step.place)} ({step.outcome}), idempotency key "
            f"{'new' if step.idempotency_key is None else safe_line(step.idempotency_key)}"
            for step in plan.steps
        ],
    )
    for action, what in _OF_CHILDREN.items():
        children = [c for c in plan.children if c.action == action]
        lines += _listed(what, [f"child {safe_line(c.id)}{_standing(c.status)}" for c in children])
    lines += _listed(
        "is asked anew", [f"{t.kind} {safe_line(t.title) or safe_line(t.key)}" for t in plan.tokens]
    )
    left = [f"signal {safe_line(s.name)}{_at(s.seq)}" for s in plan.signals_left]
    lines += _listed("stays with this run (--signals copy takes it along)", left)
    copied = [f"signal {safe_line(s.name)}{_at(s.seq)}" for s in plan.signals_copied]
    return lines + _listed("is copied", copied)


def _standing(status: Status | None) -> str:
    return "" if status is None else f" ({status})"


def _of_place(place: str) -> str:
    return f" of {safe_line(place)}" if place else ""


def _at(seq: int | None) -> str:
    return " (unread)" if seq is None else f" (record {seq})"


def _listed(what: str, lines: list[str]) -> list[str]:
    shown = [f"{what}: {line}" for line in lines[:_SHOWN_MAX]]
    more = len(lines) - _SHOWN_MAX
    return shown if more <= 0 else [*shown, f"{what}: {more:,} more"]
