"""`outlast topic`: what is published to actors from the command line."""

from __future__ import annotations

from pathlib import Path

import click

from outlast._engine.owner_client import OwnerClient
from outlast._engine.owner_protocol import Done, Publish
from outlast.cli.inputs import json_of
from outlast.cli.places import Place, Server, database_options, place_of
from outlast.cli.printing import note, safe_line
from outlast.cli.writing import client_of
from outlast.engine import run_loop
from outlast.errors import StoreUnavailable


@click.group()
def topic() -> None:
    """Publish to the actors that are subscribed to a topic."""


@topic.command()
@click.argument("name")
@click.argument("value", metavar="JSON", default="null")
@click.option("--dedup", metavar="KEY", default="", help="Publishing again under it does nothing.")
@database_options
def publish(*, name: str, value: str, dedup: str, db: str | None, url: str | None) -> None:
    """Publish a value under a topic's NAME: JSON, or @file, or - for stdin.

    An engine whose code declares the topic must be running: it knows which values fit.
    """
    data, text = json_of(value, "the value")
    request = Publish(name, text.encode(), dedup)
    run_loop(_published(place_of(db, url), request, data))
    note(f"published to topic {safe_line(name)}")


async def _published(place: Place, request: Publish, data: object) -> None:
    if isinstance(place, Server):
        async with client_of(place) as client:
            await client.publish(request.topic, data, dedup=request.dedup)
        return
    owner = await OwnerClient.connect(Path(place.name))
    if owner is None:
        raise StoreUnavailable(
            f"no engine runs {place.name}, and only the program that declares topic "
            f"{request.topic!r} knows which values fit it: start that program, then try again"
        )
    try:
        await owner.ask(request, Done)
    finally:
        await owner.close()
