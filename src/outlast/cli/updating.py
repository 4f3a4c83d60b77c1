"""`outlast update`: what a run is asked, and what its code answers."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import click

from outlast._engine.owner_client import OwnerClient
from outlast._engine.owner_protocol import SendUpdate
from outlast.cli.inputs import json_of, seconds_option
from outlast.cli.looking import opened
from outlast.cli.places import Place, Server, database_options, place_of
from outlast.cli.printing import as_json, say
from outlast.cli.writing import client_of
from outlast.engine import run_loop
from outlast.errors import StoreUnavailable


@click.command()
@click.argument("run_id", metavar="ID")
@click.argument("name")
@click.argument("value", metavar="JSON", default="null")
@click.option("--id", "update_id", metavar="ID", default=None, help="The same is the same update.")
@click.option("--timeout", metavar="TIME", default="1m", help="How long to wait for the answer.")
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
    """Have a run answer an update: its NAME, and its value as JSON (or @file, or - for stdin).

    Prints what its handler returns, as JSON.
    """
    data, text = json_of(value, "the update's value")
    seconds = seconds_option("--timeout", timeout)
    request = SendUpdate(run_id, name, text.encode(), update_id or f"{uuid4()}", seconds)
    say(run_loop(_updated(place_of(db, url), request, data)))


async def _updated(place: Place, request: SendUpdate, data: object) -> str:
    if isinstance(place, Server):
        async with client_of(place) as client:
            run = client.get(request.run)
            seconds = request.timeout_seconds
            return as_json(await run.update(request.name, data, id=request.id, timeout=seconds))
    owner = await OwnerClient.connect(Path(place.name))
    if owner is None:
        async with opened(place) as engine:
            await engine.get(request.run).info()  # an unknown run is said to be that
        raise StoreUnavailable(
            f"no engine runs {place.name}, and an update is answered by the run's own code: start "
            f"the program that has it, then try again"
        )
    try:
        return await owner.update(request)
    finally:
        await owner.close()
