"""`outlast pause | resume | discard | retry`: what a person decides about a run."""

from __future__ import annotations

from typing import Literal

import click

from outlast.cli.places import database_options, json_option, place_of
from outlast.cli.printing import as_json, note, safe_line, say
from outlast.cli.runs.bulk import Choice, act_on_all, act_on_one, choice_options, reason_option
from outlast.cli.runs.forking import may_go_on, planned
from outlast.cli.transport import Verbs
from outlast.errors import UsageError

SteeringVerb = Literal["pause", "resume", "discard", "retry"]
_DONE: dict[SteeringVerb, str] = {
    "pause": "pause requested:",
    "resume": "resume requested:",
    "discard": "discard requested:",
    "retry": "retried:",
}


async def steered(engine: Verbs, run_id: str, verb: SteeringVerb, reason: str = "") -> None:
    """Commit a verb with an engine of one's own."""
    run = engine.get(run_id)
    match verb:
        case "pause":
            await run.pause(reason=reason)
        case "resume":
            await run.resume(reason=reason)
        case "discard":
            await run.discard(reason=reason)
        case "retry":
            await run.retry(reason=reason)


def _steer(verb: SteeringVerb, choice: Choice, reason: str = "") -> int:
    place = place_of(choice.db, choice.url)
    choice.check()

    async def commit(engine: Verbs, run_id: str) -> None:
        await steered(engine, run_id, verb, reason)

    if choice.query is not None and verb != "discard":  # each is a decision of its own
        return act_on_all(place, verb, choice.query, yes=choice.yes, commit=commit)
    has_owner = act_on_one(place, choice.id, commit=commit)
    later = "" if has_owner else "; no engine is running, so the next one to start acts on it"
    note(f"{_DONE[verb]} {safe_line(choice.id)}{later}")
    return 0


@click.command()
@choice_options
@reason_option
@database_options
def pause(
    *,
    run_id: str | None,
    query: str | None,
    yes: bool,
    reason: str,
    db: str | None,
    url: str | None,
) -> int:
    """Pause a run: no new operation starts, and steps in flight finish."""
    return _steer("pause", Choice(run_id, query, yes, db, url), reason)


@click.command()
@choice_options
@reason_option
@database_options
def resume(
    *,
    run_id: str | None,
    query: str | None,
    yes: bool,
    reason: str,
    db: str | None,
    url: str | None,
) -> int:
    """Resume a paused or parked run; a step that has used all its attempts is tried again."""
    return _steer("resume", Choice(run_id, query, yes, db, url), reason)


@click.command()
@click.argument("run_id", metavar="ID")
@reason_option
@database_options
def discard(*, run_id: str, reason: str, db: str | None, url: str | None) -> int:
    """Discard the message that a parked run cannot read, and resume the run.

    The message becomes a dead letter and can be redelivered with `outlast actor redrive`.
    """
    return _steer("discard", Choice(run_id, None, yes=False, db=db, url=url), reason)


@click.command()
@choice_options
@reason_option
@click.option("--dry-run", is_flag=True, help="Show what would run again, and change nothing.")
@json_option
@database_options
def retry(
    *,
    run_id: str | None,
    query: str | None,
    yes: bool,
    reason: str,
    dry_run: bool,
    as_data: bool,
    db: str | None,
    url: str | None,
) -> int:
    """Retry a failed run under the same id, keeping everything recorded before the failure.

    The command shows what would run again and, on a terminal, asks for confirmation.
    """
    choice = Choice(run_id, query, yes, db, url)
    choice.check()
    if query is not None:
        if dry_run or as_data:
            raise UsageError(
                "--dry-run and --json apply to one run: give its ID instead of --query"
            )
        return _steer("retry", choice, reason)
    plan = planned(place_of(db, url), choice.id, None)
    if as_data:
        say(as_json(plan))
    if not may_go_on(plan, "retry", dry_run=dry_run, yes=yes or as_data):
        return 0 if dry_run else 1
    return _steer("retry", choice, reason)
