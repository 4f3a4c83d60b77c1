"""`outlast actor ls | show | ask | tell | stop | tree | dead | redrive`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from outlast._shapes import is_dict
from outlast.cli.inputs import data_of_pairs, json_of, seconds_option
from outlast.cli.places import (
    command_line,
    database_options,
    json_option,
    place_of,
)
from outlast.cli.printing import as_json, moment, note, safe_line, say, shown, table
from outlast.cli.runs.inspect import reading
from outlast.cli.transport import Verbs, ask_engine, write
from outlast.client import Client
from outlast.engine import run_loop
from outlast.errors import TeamNotFound, UsageError
from outlast.types import ActorInfo, DeadLetterInfo, TeamInfo

_STATE_CHARS = 60


@click.group()
def actor() -> None:
    """Inspect, message and stop actors."""


@actor.command()
@click.argument("type_name", metavar="[TYPE]", required=False)
@json_option
@database_options
def ls(*, type_name: str | None, as_data: bool, db: str | None, url: str | None) -> None:
    """List actors, newest first."""
    run_loop(_list(reading(db, url), type_name, as_data=as_data))


async def _list(opening: Verbs, type_name: str | None, *, as_data: bool) -> None:
    async with opening as engine:
        found: list[ActorInfo] = [info async for info in engine.actors(type_name)]
    if as_data:
        say(as_json(found))
        return
    if not found:
        note("no actors yet")
        return
    rows = [
        (
            i.type,
            i.key,
            status_of(i),
            f"{i.waiting}",
            moment(i.oldest_at),
            f"{i.restarts}" if i.supervisor else "",
            shown(i.state)[:_STATE_CHARS],
        )
        for i in found
    ]
    for line in table(("TYPE", "KEY", "STATUS", "WAITING", "OLDEST", "RESTARTS", "STATE"), rows):
        say(line)


def status_of(info: ActorInfo) -> str:
    """Return how an actor stands, in a word: one that waits only for a message is idle."""
    return "idle" if info.status == "waiting" and not info.waiting else info.status


@actor.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("key")
@json_option
@database_options
def show(*, type_name: str, key: str, as_data: bool, db: str | None, url: str | None) -> None:
    """Show one actor: its state and the messages in its mailbox."""
    run_loop(_show(reading(db, url), type_name, key, as_data=as_data))


async def _show(opening: Verbs, type_name: str, key: str, *, as_data: bool) -> None:
    async with opening as engine:
        info = await engine.actor_info(type_name, key)
    if as_data:
        say(as_json(info))
        return
    for name in ("id", "type", "key", "status", "waiting", "error", "supervisor", "restarts"):
        value: object = status_of(info) if name == "status" else getattr(info, name)
        if value not in (None, "") and (name != "restarts" or info.supervisor):
            say(f"{name:12} {safe_line(shown(value))}")
    say(f"{'created_at':12} {moment(info.created_at)}")
    say(f"{'oldest_at':12} {moment(info.oldest_at)}")
    say(f"{'state':12} {safe_line(shown(info.state))}")


def _arguments(pairs: Sequence[str], given: str | None) -> dict[str, object]:
    if given is None:
        return data_of_pairs(pairs)
    data = json_of(given, "--input")
    if not is_dict(data):
        raise UsageError("--input must be a JSON object with the message's arguments by name")
    return {f"{name}": item for name, item in data.items()}


_NEEDS_CLASS = "only a program that has the actor's class can send it a message: start that program"


@actor.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("key")
@click.argument("handler")
@click.argument("pairs", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--input", "given", metavar="JSON", default=None, help="All arguments as JSON.")
@click.option(
    "--timeout", metavar="TIME", default=None, help="How long to wait for the answer [default: 1m]"
)
@database_options
def ask(
    *,
    type_name: str,
    key: str,
    handler: str,
    pairs: Sequence[str],
    given: str | None,
    timeout: str | None,
    db: str | None,
    url: str | None,
) -> None:
    """Send a message and print the answer as JSON.

    Without --timeout, the command fails at once if the actor is parked.
    """
    place = place_of(db, url)
    seconds = None if timeout is None else seconds_option("--timeout", timeout)
    arguments = _arguments(pairs, given)

    async def write_to(client: Client) -> object:
        return await client.ask_actor(type_name, key, handler, arguments, timeout=seconds)

    say(as_json(run_loop(ask_engine(place, write_to, _NEEDS_CLASS))))


@actor.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("key")
@click.argument("handler")
@click.argument("pairs", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--input", "given", metavar="JSON", default=None, help="All arguments as JSON.")
@database_options
def tell(
    *,
    type_name: str,
    key: str,
    handler: str,
    pairs: Sequence[str],
    given: str | None,
    db: str | None,
    url: str | None,
) -> None:
    """Send a message; once the command ends, the message is stored in the actor's mailbox."""
    place = place_of(db, url)
    arguments = _arguments(pairs, given)

    async def write_to(client: Client) -> None:
        await client.ask_actor(type_name, key, handler, arguments, mode="tell")

    run_loop(ask_engine(place, write_to, _NEEDS_CLASS))
    note(f"told {safe_line(type_name)} {safe_line(key)}: {safe_line(handler)}")


@actor.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("key")
@click.option("--reason", default="", help="Kept with the actor.")
@database_options
def stop(*, type_name: str, key: str, reason: str, db: str | None, url: str | None) -> None:
    """Stop an actor permanently; messages in its mailbox become dead letters."""
    note(f"stopped: {safe_line(stop_actor(db, url, type_name, key, reason))}")


def stop_actor(db: str | None, url: str | None, type_name: str, key: str, reason: str) -> str:
    """Stop an actor, and return its id."""
    place = place_of(db, url)
    run_id = run_loop(_id_of(reading(db, url), type_name, key))

    async def commit(engine: Verbs) -> None:
        await engine.get(run_id).terminate(reason)

    run_loop(write(place, commit))
    return run_id


async def _id_of(opening: Verbs, type_name: str, key: str) -> str:
    async with opening as engine:
        return (await engine.actor_info(type_name, key)).id


@actor.command()
@click.argument("name", metavar="[TEAM]", required=False)
@json_option
@database_options
def tree(*, name: str | None, as_data: bool, db: str | None, url: str | None) -> None:
    """Show teams: supervisors, their members, each member's state and restarts."""
    run_loop(_tree(reading(db, url), name, as_data=as_data))


async def _tree(opening: Verbs, name: str | None, *, as_data: bool) -> None:
    async with opening as engine:
        found: list[TeamInfo] = [
            one
            async for team in engine.teams()
            for one in ([team] if name is None else _with_all_within(team))
            if name in (None, _team_name(one.id), one.id)
        ]
    if not found and name is not None:
        raise TeamNotFound(name)
    if as_data:
        say(as_json(found))
        return
    if not found:
        note("no teams yet")
        return
    for team in found:
        say(f"{safe_line(_team_name(team.id))}  {team.status}, {_policy(team)}")
        for line in _branches(team, ""):
            say(line)


def _with_all_within(team: TeamInfo) -> Iterator[TeamInfo]:
    yield team
    for member in team.members:
        if member.team is not None:
            yield from _with_all_within(member.team)


def _team_name(actor_id: str) -> str:
    return actor_id.partition("/")[2]


def _branches(team: TeamInfo, indent: str) -> Iterator[str]:
    for number, member in enumerate(team.members, start=1):
        is_last = number == len(team.members)
        label = _team_name(member.id) if member.team is not None else member.id
        line = f"{indent}{'└─ ' if is_last else '├─ '}{safe_line(label)}  {member.status}"
        if member.restarts:
            line += f", {member.restarts} restart{'s' if member.restarts > 1 else ''}"
        if member.significant:
            line += ", significant"
        if member.team is not None:
            line += f", {_policy(member.team)}"
        if member.error and member.status != "up":
            line += f": {safe_line(member.error)}"
        yield line
        if member.team is not None:
            yield from _branches(member.team, indent + ("   " if is_last else "│  "))


def _policy(team: TeamInfo) -> str:
    limit = f"{team.failures} of {team.max_restarts} failures in {team.within_seconds:g} s"
    return f"{team.strategy}, {limit}, then {team.on_exhausted}"


@actor.command()
@click.argument("type_name", metavar="[TYPE KEY]", required=False)
@click.argument("key", metavar="", required=False)
@json_option
@database_options
def dead(
    *, type_name: str | None, key: str | None, as_data: bool, db: str | None, url: str | None
) -> None:
    """List messages that could not be delivered, and why."""
    run_loop(_dead(reading(db, url), type_name, key, as_data=as_data))


async def _dead(opening: Verbs, type_name: str | None, key: str | None, *, as_data: bool) -> None:
    async with opening as engine:
        letters: list[DeadLetterInfo] = [
            letter
            async for letter in engine.dead_letters()
            if type_name is None or letter.actor.endswith(f"{type_name}/{key or ''}")
        ]
    if as_data:
        say(as_json(letters))
        return
    if not letters:
        note("no dead letters")
        return
    rows = [
        (f"{x.number}", x.actor, x.handler, x.reason, f"{x.attempts}", moment(x.at), x.error)
        for x in letters
    ]
    for line in table(("NUMBER", "ACTOR", "HANDLER", "REASON", "ATTEMPTS", "AT", "ERROR"), rows):
        say(line)
    note(f"`{command_line('actor', 'redrive', 'NUMBER')}` redelivers one")


@actor.command()
@click.argument("number", type=click.IntRange(min=1))
@database_options
def redrive(*, number: int, db: str | None, url: str | None) -> None:
    """Redeliver a dead letter."""
    place = place_of(db, url)

    async def commit(engine: Verbs) -> None:
        await engine.redrive(number)

    run_loop(write(place, commit))
    note(f"dead letter {number} has been redelivered")
