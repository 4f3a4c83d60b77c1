"""`outlast update`: what a run is asked, and what its code answers."""

from __future__ import annotations

from uuid import uuid4

import click

from outlast.cli.inputs import json_of, seconds_option
from outlast.cli.places import Place, database_options, place_of
from outlast.cli.printing import as_json, say
from outlast.cli.runs.inspect import opened
from outlast.cli.transport import ask_engine
from outlast.client import Client
from outlast.engine import run_loop


@click.command()
@click.argument("run_id", metavar="ID")
@click.argument("name")
@click.argument("value", metavar="JSON", default="null")
@click.option(
    "--id",
    "update_id",
    metavar="ID",
    default=None,
    help="Update id: sending the same id again does not repeat the update.",
)
@click.option(
    "--timeout", metavar="TIME", default="1m", help="Maximum time to wait for the answer."
)
@database_options
def update(
    *,
    run_id: str,
    name: str,
    value: str,
    update_id: str | None,
    timeout: str,
    db: str | None,
    url: str | None,
) -> None:
    """Send the update NAME to a run, with a value as JSON (or @file, or - for stdin).

    Prints the handler's result as JSON.
    """
    data = json_of(value, "the update's value")
    seconds = seconds_option("--timeout", timeout)
    place = place_of(db, url)
    run_loop(_known(place, run_id))

    async def ask(client: Client) -> object:
        run = client.get(run_id)
        return await run.update(name, data, id=update_id or f"{uuid4()}", timeout=seconds)

    otherwise = "only the run's own code can answer an update: start the program that has it"
    say(as_json(run_loop(ask_engine(place, ask, otherwise))))


async def _known(place: Place, run_id: str) -> None:
    """An unknown run is said to be that, also where no engine runs."""
    async with opened(place) as engine:
        await engine.get(run_id).info()
