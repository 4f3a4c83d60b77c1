"""Handlers of actors, teams and dead letters."""

from __future__ import annotations

import asyncio
import inspect
from typing import Literal, get_args
from urllib.parse import quote, unquote

import msgspec
from starlette.responses import Response

from outlast import limits
from outlast._actors.teams import Teams
from outlast._engine.actors.topics import publication
from outlast._engine.reading.actor_reader import dead_letter_info
from outlast._messages.actor_ids import OWN_TYPES
from outlast._messages.envelopes import envelope_of
from outlast._shapes import is_dict
from outlast._store.auditing import because, doing
from outlast._store.contract import Cursor
from outlast._store.rows import DeadLetter
from outlast._wire.formats.answers import answer, fields_of, fitting, preview_of
from outlast._wire.formats.problems import Problem
from outlast._wire.handlers.runs import ReasonBody, query_of
from outlast._wire.requests import Call, bad_query, cursor_in, text_of_cursor
from outlast._wire.service import Service
from outlast.errors import DecodingError
from outlast.types import ActorInfo, WhileBusy

_ASK_SECONDS = 60.0
_TEAMS_MAX = 200
_ROW_BYTES = 500  # of an actor beside its state
_SHOWN_BYTES = 4 * limits.HTTP_PREVIEW_BYTES


async def actors(service: Service, call: Call) -> Response:
    """List actors that a query wants, newest first, and the types that the program declares."""
    size = call.page_size()
    rows = await service.actor_reader.page(
        query_of(call),
        call.text("type") or None,
        cursor_in(call),
        size + 1,
        now=service.core.world.now(),
    )
    infos = [(info, row.output or b"") for info, row in rows[:size]]
    count, total = fitting(_ROW_BYTES + min(len(state), _SHOWN_BYTES) for _, state in infos)
    shown = infos[:count]
    last = rows[count - 1][1] if count < len(rows) else None
    following = last and text_of_cursor(Cursor(last.created_at, last.id))

    def told() -> Response:
        actors = [_previewed(service, info, state) for info, state in shown]
        return answer({"actors": actors, "next": following, "types": _types(service)})

    return await call.converted(total + sum(len(state) for _, state in shown), told)


def _types(service: Service) -> list[dict[str, object]]:
    known = service.core.registry.actors
    return [
        {"name": name, "handlers": [each for each in known[name].handlers if each.isidentifier()]}
        for name in sorted(known)
        if name not in OWN_TYPES
    ]


def _previewed(service: Service, info: ActorInfo, state: bytes) -> dict[str, object]:
    href = f"/v1/actors/{quote(info.type, safe='')}/{quote(info.key, safe='')}"
    whole = service.actor_reader.state_json(info.type, state)
    shown, preview = preview_of(state, whole, href)
    return {**fields_of(info), "state": shown, "state_preview": preview}


async def show(service: Service, call: Call) -> Response:
    """Return one actor and its handlers."""
    info, state = await service.actor_reader.stored_actor(call.name("type"), _key(call))
    definition = service.core.registry.actors.get(info.type)
    handlers = [
        {
            "name": name,
            "doc": inspect.getdoc(handler.fn) or "",
            "is_read": handler.is_read,
            "input": handler.signature.schema(),
            "result": handler.signature.returns.schema(),
        }
        for name, handler in (definition.handlers.items() if definition is not None else ())
        if name.isidentifier()
    ]
    census = service.actor_reader
    return await call.converted(
        len(state),
        lambda: answer(
            {**fields_of(info), "state": census.state_json(info.type, state), "handlers": handlers}
        ),
    )


def _key(call: Call) -> str:
    return call.name("key", limits.ID_CHARS_MAX)


def _while_busy(text: str) -> WhileBusy | None:
    """Return what a sender wants of a message that comes while its actor is busy."""
    found = next((known for known in get_args(WhileBusy) if known == text), None)
    if text and found is None:
        raise bad_query("while_busy", f"one of {', '.join(get_args(WhileBusy))}", text)
    return found


async def write(service: Service, call: Call) -> Response:
    """Ask or tell an actor."""
    mode = call.text("mode", "ask")
    if mode not in ("ask", "tell"):
        raise bad_query("mode", "`ask` or `tell`", mode)
    doing(mode)
    seconds = call.seconds("timeout", _ASK_SECONDS)
    while_busy = _while_busy(call.text("while_busy"))
    arguments = await call.json()
    if not is_dict(arguments):
        raise DecodingError("$", "the arguments must be an object that maps names to values")
    kind, key, handler = call.name("type"), _key(call), unquote(call.path["handler"])
    envelope = await call.converted(
        len(call.body),
        lambda: envelope_of(
            service.core.registry,
            kind,
            key,
            handler,
            arguments,
            timeout=seconds,
            dedup=call.text("dedup"),
            trace=call.traceparent,
            while_busy=while_busy,
        ),
    )
    kind = envelope.definition.name
    if kind in OWN_TYPES:
        detail = (
            f"actors of type {kind} belong to the engine and cannot be messaged directly: "
            "publish to the topic or apply the team instead"
        )
        raise Problem(403, "actor-of-the-engine", detail)
    if mode == "tell":
        await service.core.actors.tell(envelope)
        return answer({}, 202)
    returns = envelope.handler.signature.returns
    safe = asyncio.Event()
    # As in an engine: who gives no timeout is told of a parked actor at once.
    parked: Literal["raise", "wait"] = "wait" if call.text("timeout") else "raise"
    asking = service.core.actors.ask(envelope, safe, parked=parked)
    data = await service.within(asking, seconds + 1, safe)
    if data is None:
        raise Problem(
            503,
            "draining",
            "the server is stopping; the message is stored and will be handled later",
        )
    return await call.converted(
        len(data), lambda: answer({"result": returns.to_json(returns.decode(data))})
    )


async def stop(service: Service, call: Call) -> Response:
    """Stop an actor permanently."""
    info, _ = await service.actor_reader.stored_actor(call.name("type"), _key(call))
    await service.engine.get(info.id).terminate(f"stopped by {call.caller.name}")
    return answer({}, 202)


async def teams(service: Service, _: Call) -> Response:
    """List teams with their members."""
    found: list[object] = []
    async for team in Teams(service.core.store).all():
        found.append(team)
        if len(found) == _TEAMS_MAX:
            break
    return answer({"teams": found})


async def dead_letters(service: Service, call: Call) -> Response:
    """List messages that could not be delivered."""
    size = call.page_size()
    after = call.number("after", 0, most=1 << 60)
    letters, following = await service.actor_reader.dead_page(
        call.text("actor") or None, after, size
    )
    count, total = fitting(len(letter.body) for letter in letters)
    shown = letters[:count]
    if count < len(letters):
        following = shown[-1].number

    def told() -> Response:
        return answer({"dead_letters": [_dead(service, one) for one in shown], "next": following})

    return await call.converted(total, told)


def _dead(service: Service, letter: DeadLetter) -> dict[str, object]:
    # Redriving it is all that one does with the whole of a large one: its beginning is shown.
    shown, preview = preview_of(letter.body, service.actor_reader.message_json(letter), "")
    fields = fields_of(dead_letter_info(letter))
    return fields | {"input": shown, "input_bytes": None if preview is None else len(letter.body)}


async def redrive(service: Service, call: Call) -> Response:
    """Redeliver a dead letter."""
    number = _letter_number(call)
    because((await call.read(ReasonBody)).reason)
    await service.engine.redrive(number)
    return answer({}, 202)


async def discard(service: Service, call: Call) -> Response:
    """Delete a dead letter."""
    number = _letter_number(call)
    because((await call.read(ReasonBody)).reason)
    await service.core.actors.dead_letters.discard(number)
    return answer({}, 202)


def _letter_number(call: Call) -> int:
    number = call.path["number"]
    if not number.isascii() or not number.isdigit():
        raise Problem(
            404, "dead-letter-not-found", f"{number[:50]!r} is not the number of a dead letter"
        )
    return int(number[:18])


class PublishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a publication takes; publishing again under the same `dedup` does nothing."""

    value: object = None
    dedup: str = ""


async def publish(service: Service, call: Call) -> Response:
    """Publish a value to a topic; it is stored when this answers."""
    body = await call.read(PublishBody)
    core, name = service.core, call.name("name")
    envelope = await call.converted(
        len(call.body), lambda: publication(core.registry, name, body.value, dedup=body.dedup)
    )
    await core.actors.tell(envelope)
    return answer({}, 202)
