"""`outlast pause | resume | retry | fork`: what a person decides about a run."""

from __future__ import annotations

import click
import msgspec

from outlast._engine.owner_client import OwnerClient
from outlast._engine.owner_protocol import Fork, SteeringVerb
from outlast.cli.inputs import json_of
from outlast.cli.many import Choice, act_on_all, act_on_one, choice_options
from outlast.cli.places import database_options, place_of
from outlast.cli.printing import note, safe_line, say
from outlast.cli.writing import Verbs, write
from outlast.engine import run_loop
from outlast.errors import UsageError

_DONE: dict[SteeringVerb, str] = {
    "pause": "asked to stand still:",
    "resume": "asked to go on:",
    "discard": "asked to go on without the message that it cannot read:",
    "retry": "is done again:",
}


async def steered(engine: Verbs, run_id: str, verb: SteeringVerb) -> None:
    """Commit a verb with an engine of one's own."""
    run = engine.get(run_id)
    match verb:
        case "pause":
            await run.pause()
        case "resume":
            await run.resume()
        case "discard":
            await run.discard()
        case "retry":
            await run.retry()


def _steer(verb: SteeringVerb, choice: Choice) -> int:
    place = place_of(choice.db, choice.url)
    choice.check()

    async def ask(client: OwnerClient, run_id: str) -> None:
        await client.steer(run_id, verb)

    async def commit(engine: Verbs, run_id: str) -> None:
        await steered(engine, run_id, verb)

    if choice.query is not None and verb != "discard":  # each is a decision of its own
        return act_on_all(place, verb, choice.query, yes=choice.yes, ask=ask, commit=commit)
    has_owner = act_on_one(place, choice.id, ask=ask, commit=commit)
    later = "" if has_owner else "; no engine is running, the next one that opens the store acts"
    note(f"{_DONE[verb]} {safe_line(choice.id)}{later}")
    return 0


@click.command()
@choice_options
@database_options
def pause(
    *, run_id: str | None, query: str | None, yes: bool, db: str | None, url: str | None
) -> int:
    """Have a run stand still: nothing new begins, steps in flight end."""
    return _steer("pause", Choice(run_id, query, yes, db, url))


@click.command()
@choice_options
@database_options
def resume(
    *, run_id: str | None, query: str | None, yes: bool, db: str | None, url: str | None
) -> int:
    """Let a paused or parked run go on: a step that spent its attempts is tried again."""
    return _steer("resume", Choice(run_id, query, yes, db, url))


@click.command()
@click.argument("run_id", metavar="ID")
@database_options
def discard(*, run_id: str, db: str | None, url: str | None) -> int:
    """Make the message that a parked run cannot read a dead letter, and resume the run.

    The message stays among the dead letters, and can be sent again (`outlast actor redrive`).
    """
    return _steer("discard", Choice(run_id, None, yes=False, db=db, url=url))


@click.command()
@choice_options
@database_options
def retry(
    *, run_id: str | None, query: str | None, yes: bool, db: str | None, url: str | None
) -> int:
    """Have what failed done again: the run goes on under its id with all it had before that."""
    return _steer("retry", Choice(run_id, query, yes, db, url))


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--at", required=True, metavar="STEP", help="A seq, a step's key, or its name.")
@click.option("--input", "given", metavar="JSON", default=None, help="Other arguments, by name.")
@database_options
def fork(*, run_id: str, at: str, given: str | None, db: str | None, url: str | None) -> None:
    """Start a new run from the past of another one, and print its id.

    What was recorded before STEP is reused; STEP, and what follows it, is done anew.
    """
    place = place_of(db, url)
    point = int(at) if at.isdecimal() else at
    data, text = (None, None) if given is None else json_of(given, "the input")
    try:
        arguments = None if given is None else msgspec.convert(data, dict[str, object])
    except msgspec.ValidationError:
        raise UsageError("--input is an object of arguments by name") from None

    async def ask(client: OwnerClient) -> str:
        encoded = None if text is None else text.encode()
        return await client.fork(Fork(run_id, point, encoded))

    async def commit(engine: Verbs) -> str:
        return (await engine.get(run_id).fork(point, arguments)).id

    written = run_loop(write(place, ask=ask, commit=commit))
    say(safe_line(written.value))
    if not written.acts_now:
        note("no engine is running, the next one that opens the store executes it")
