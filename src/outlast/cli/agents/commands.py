"""`outlast agent chat | ls | show | stop`."""

from __future__ import annotations

import os

import click

from outlast import limits
from outlast._shapes import is_dict
from outlast._wire.unixsocket import user_name
from outlast._wording.names import check_name
from outlast.cli.agents.chatting import Chat, write_text
from outlast.cli.agents.showing import Shown
from outlast.cli.agents.talks import Ends, talk_with
from outlast.cli.places import Place, Server, database_options, json_option, place_of, target_of
from outlast.cli.printing import as_json, moment, note, safe_line, say, table
from outlast.cli.runs.actors import status_of, stop_actor
from outlast.cli.runs.inspect import reading
from outlast.cli.transport import Verbs
from outlast.engine import run_loop
from outlast.types import ActorInfo

_STATE = frozenset(("turns", "usage", "context_tokens", "entries", "events"))


@click.group()
def agent() -> None:
    """Chat with agents, and inspect their conversations."""


@agent.command()
@click.argument("app", metavar="APP:NAME")
@click.option("--key", default="cli", show_default=True, help="Which conversation.")
@database_options
def chat(*, app: str, key: str, db: str | None, url: str | None) -> int:
    """Chat with an agent: a class of AgentActor.

    APP is file.py or package.module; with --url, or while another process runs the agents, NAME
    is enough. What is typed during a turn steers the agent; Ctrl-C interrupts the turn, and
    between turns ends the chat, as Ctrl-D does. Requests for approval are answered in place.
    Through a pipe, each line is a message, and only the answers are printed.
    """
    check_name("a key", key, limits.ID_CHARS_MAX)
    place = target_of(db, None) if url is None else place_of(db, url)
    return run_loop(_chat(place, app, key))


async def _chat(place: Place, app: str, key: str) -> int:
    async with talk_with(place, app, key) as talk:
        # A server records the name of the API token.
        by = "" if isinstance(place, Server) else user_name(os.geteuid())
        return await Chat(talk, by=by).run()


@agent.command()
@click.argument("type_name", metavar="[NAME]", required=False)
@json_option
@database_options
def ls(*, type_name: str | None, as_data: bool, db: str | None, url: str | None) -> None:
    """List conversations, newest first."""
    run_loop(_list(reading(db, url), type_name, as_data=as_data))


async def _list(opening: Verbs, type_name: str | None, *, as_data: bool) -> None:
    async with opening as engine:
        found = [info async for info in engine.actors(type_name) if _is_agent(info)]
    if as_data:
        say(as_json(found))
        return
    if not found:
        of = "" if type_name is None else f" of {type_name!r}; `outlast agent ls` lists all"
        note(f"no conversations yet{of}")
        return
    rows = [(i.type, i.key, status_of(i), *_figures(i.state), moment(i.created_at)) for i in found]
    head = ("AGENT", "KEY", "STATUS", "TURNS", "TOKENS IN", "TOKENS OUT", "CREATED")
    for line in table(head, rows):
        say(line)


def _is_agent(info: ActorInfo) -> bool:
    """Whether an actor is an agent: its state is that of a conversation, or it is at its first."""
    return is_dict(info.state) and _STATE.issubset(info.state)


def _figures(state: object) -> tuple[str, str, str]:
    data = state if is_dict(state) else {}
    used = data.get("usage")
    usage = used if is_dict(used) else {}
    return (
        f"{data.get('turns', 0)}",
        f"{usage.get('input_tokens', 0)}",
        f"{usage.get('output_tokens', 0)}",
    )


@agent.command()
@click.argument("type_name", metavar="NAME")
@click.argument("key")
@json_option
@database_options
def show(*, type_name: str, key: str, as_data: bool, db: str | None, url: str | None) -> None:
    """Print a conversation, from its beginning to the end of its last turn."""
    run_loop(_show(reading(db, url), type_name, key, as_data=as_data))


async def _show(opening: Verbs, type_name: str, key: str, *, as_data: bool) -> None:
    shown = Shown(write_text)
    async with opening as engine:
        info = await engine.actor_info(type_name, key)
        ends = _ends_in(info.state)
        if not ends.entries:
            note("nothing has been said yet")
            return
        async for event in engine.get(info.id).stream("conversation"):
            if event.kind == "data":
                if as_data:
                    say(as_json(event.value))
                else:
                    shown.entry(event.value)
            if event.offset >= ends.entries - 1:
                break
    shown.end_line()


def _ends_in(state: object) -> Ends:
    data = state if is_dict(state) else {}
    entries = data.get("entries", 0)
    return Ends(entries if isinstance(entries, int) else 0)


@agent.command()
@click.argument("type_name", metavar="NAME")
@click.argument("key")
@click.option("--reason", default="", help="Kept with the agent.")
@database_options
def stop(*, type_name: str, key: str, reason: str, db: str | None, url: str | None) -> None:
    """Stop an agent permanently; its conversation can still be read."""
    note(f"stopped: {safe_line(stop_actor(db, url, type_name, key, reason))}")
