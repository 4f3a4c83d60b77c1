"""`outlast topic`: what is published to actors from the command line."""

from __future__ import annotations

import click

from outlast.cli.inputs import json_of
from outlast.cli.places import database_options, place_of
from outlast.cli.printing import note, safe_line
from outlast.cli.transport import ask_engine
from outlast.client import Client
from outlast.engine import run_loop


@click.group()
def topic() -> None:
    """Publish to a topic."""


@topic.command()
@click.argument("name")
@click.argument("value", metavar="JSON", default="null")
@click.option(
    "--dedup",
    metavar="KEY",
    default="",
    help="Deduplication key: publishing again with the same key has no effect.",
)
@database_options
def publish(*, name: str, value: str, dedup: str, db: str | None, url: str | None) -> None:
    """Publish a value to the topic NAME: JSON, @file, or - for stdin.

    An engine whose code declares the topic must be running, because it checks the value's type.
    """
    data = json_of(value, "the value")

    async def ask(client: Client) -> None:
        await client.publish(name, data, dedup=dedup)

    otherwise = (
        f"only the program that declares topic {name!r} can check the value's type: start that "
        "program"
    )
    run_loop(ask_engine(place_of(db, url), ask, otherwise))
    note(f"published to topic {safe_line(name)}")
