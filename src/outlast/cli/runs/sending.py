"""`outlast signal | cancel | terminate`: what is said to a run."""

from __future__ import annotations

from typing import Literal

import click

from outlast._engine.residency.inactive_runs import cancel_waits
from outlast.cli.inputs import json_of, seconds_option
from outlast.cli.places import Place, database_options, place_of
from outlast.cli.printing import note, safe_line
from outlast.cli.runs.bulk import Choice, Commit, act_on_all, act_on_one, choice_options
from outlast.cli.runs.inspect import opened
from outlast.cli.transport import Verbs, write
from outlast.engine import run_loop
from outlast.types import CLOSED_STATUSES, Status


async def _status_of(place: Place, run_id: str) -> Status:
    async with opened(place) as engine:
        return (await engine.get(run_id).info()).status


def _has_ended(place: Place, run_id: str) -> bool:
    """Whether a run has ended already; it says so if it has."""
    status = run_loop(_status_of(place, run_id))
    if status not in CLOSED_STATUSES:
        return False
    note(f"{safe_line(run_id)} has already ended ({status}): there is nothing to stop")
    return True


def _sent(what: str, run_id: str, *, has_owner: bool) -> None:
    later = "" if has_owner else "; no engine is running, so the next one to start acts on it"
    note(f"{what} {safe_line(run_id)}{later}")


@click.command()
@click.argument("run_id", metavar="ID")
@click.argument("name")
@click.argument("value", metavar="[JSON]", default="null")
@click.option(
    "--dedup",
    metavar="KEY",
    default=None,
    help="Deduplication key: a second send with the same key has no effect.",
)
@click.option(
    "--allow-undeclared",
    is_flag=True,
    help="Send the signal even if the run's code does not declare NAME.",
)
@database_options
def signal(
    *,
    run_id: str,
    name: str,
    value: str,
    dedup: str | None,
    allow_undeclared: bool,
    db: str | None,
    url: str | None,
) -> None:
    """Send the signal NAME to a run, with a value as JSON (or @file, or - for stdin).

    An engine that has the run's code rejects a NAME that the code does not declare.
    """
    place = place_of(db, url)
    data = json_of(value, "the signal's value")

    async def commit(engine: Verbs) -> None:
        run = engine.get(run_id)
        await run.signal(name, data, dedup=dedup, allow_undeclared=allow_undeclared)

    written = run_loop(write(place, commit))
    _sent(f"signal {safe_line(name)} sent to", run_id, has_owner=written.acts_now)


@click.command()
@choice_options
@click.option("--reason", default="", help="Reason, recorded with the run.")
@click.option("--grace", metavar="TIME", default=None, help="Time for clean-up, for example 10s.")
@database_options
def cancel(
    *,
    run_id: str | None,
    query: str | None,
    yes: bool,
    reason: str,
    grace: str | None,
    db: str | None,
    url: str | None,
) -> int:
    """Request cancellation of a run: its code is cancelled and can clean up."""
    seconds = None if grace is None else seconds_option("--grace", grace)

    async def commit(engine: Verbs, run: str) -> None:
        await engine.get(run).cancel(reason, seconds)

    return _stop("cancel", Choice(run_id, query, yes, db, url), commit)


@click.command()
@choice_options
@click.option("--reason", default="", help="Reason, recorded with the run.")
@database_options
def terminate(
    *,
    run_id: str | None,
    query: str | None,
    yes: bool,
    reason: str,
    db: str | None,
    url: str | None,
) -> int:
    """End a run immediately, without running any more of its code."""

    async def commit(engine: Verbs, run: str) -> None:
        await engine.get(run).terminate(reason)

    return _stop("terminate", Choice(run_id, query, yes, db, url), commit)


def _stop(verb: Literal["cancel", "terminate"], choice: Choice, commit: Commit) -> int:
    place = place_of(choice.db, choice.url)
    choice.check()
    if choice.query is not None:
        return act_on_all(place, verb, choice.query, yes=choice.yes, commit=commit)
    if _has_ended(place, choice.id):
        return 0
    has_owner = act_on_one(place, choice.id, commit=commit)
    if verb == "terminate":
        # It has ended already: there is nothing left for an engine to act on.
        _sent("terminated:", choice.id, has_owner=True)
    else:
        _sent("cancellation requested:", choice.id, has_owner=has_owner)
        if run_loop(_status_of(place, choice.id)) == "parked":
            note(f"the run is parked: {cancel_waits(safe_line(choice.id))}")
    return 0
