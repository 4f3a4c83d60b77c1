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
    "attach": "is reused as it is; the run waits for it if it is open",
    "wait": "must end first, and is then restarted unless it completes",
    "start": "is restarted from the beginning",
    "refuse": "is refused, because its id is in use",
}


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a fork begins, and what it takes along."""

    at: int | str
    keys: ForkKeys
    signals: ForkSignals


@click.command()
@click.argument("run_id", metavar="ID")
@click.option(
    "--at",
    required=True,
    metavar="STEP",
    help="Where to fork: a seq, a step's key, or a step's name.",
)
@click.option(
    "--input", "given", metavar="JSON", default=None, help="New arguments, as an object by name."
)
@click.option(
    "--keys",
    type=click.Choice(["same", "new"]),
    default="same",
    show_default=True,
    help="Idempotency keys of steps that run again: those of the original run, or new ones.",
)
@click.option(
    "--signals",
    type=click.Choice(["leave", "copy"]),
    default="leave",
    show_default=True,
    help="Signals that the original run received after STEP: leave them there, or copy them.",
)
@reason_option
@click.option("--dry-run", is_flag=True, help="Show what would run again, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
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
    """Start a new run from a point in another run's history, and print its id.

    Records before STEP are reused; STEP and everything after it run again. The command first shows
    what would run again and, on a terminal, asks for confirmation.
    """
    place = place_of(db, url)
    point = int(at) if at.isdecimal() else at
    data = None if given is None else json_of(given, "the input")
    try:
        arguments = None if given is None else msgspec.convert(data, dict[str, object])
    except msgspec.ValidationError:
        raise UsageError("--input must be a JSON object with arguments by name") from None
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
        note("no engine is running; the next one that opens the database executes it")
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
    note("nothing was changed")
    return False


def in_words(plan: RerunPlan) -> list[str]:
    """Return a plan as lines for people."""
    kept = f"{counted(plan.records_kept, 'record')}, {counted(plan.steps_kept, 'step')} in them"
    lines = [f"kept: {kept}, of what was recorded before record {plan.seq}"]
    lines += _listed(
        "runs again, if the code reaches it",
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
        "is requested again",
        [f"{t.kind} {safe_line(t.title) or safe_line(t.key)}" for t in plan.tokens],
    )
    left = [f"signal {safe_line(s.name)}{_at(s.seq)}" for s in plan.signals_left]
    lines += _listed("stays with this run (--signals copy would copy it)", left)
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
