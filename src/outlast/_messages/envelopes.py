"""A message as its sender wants it, before its times are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from outlast._messages.actor_ids import actor_id
from outlast._messages.letters import Letter, encode_letter
from outlast._messages.system_messages import ORDERS
from outlast._registry import ActorDefinition, HandlerDefinition, Registry
from outlast._store.rows import Message
from outlast.errors import UnknownActor, UsageError
from outlast.types import RunId, WhileBusy


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as its sender wants it: `delay` and `timeout` in seconds."""

    definition: ActorDefinition
    key: str
    handler: HandlerDefinition
    args: bytes
    sender: str = ""
    priority: int = 0
    delay: float = 0.0
    timeout: float | None = None
    dedup: str = ""
    chain: tuple[str, ...] = ()
    trace: str = ""
    while_busy: WhileBusy | Literal[""] = ""

    @property
    def actor(self) -> RunId:
        """Whom it is for."""
        return actor_id(self.definition.name, self.key)


class _Wire(msgspec.Struct, frozen=True, array_like=True, gc=False):
    actor: str
    key: str
    handler: str
    args: bytes
    sender: str
    priority: int
    delay: float
    timeout: float | None
    dedup: str
    chain: tuple[str, ...]
    while_busy: WhileBusy | Literal[""] = ""


_encode = msgspec.msgpack.Encoder().encode
_wires = msgspec.msgpack.Decoder(_Wire)


def write_envelope(envelope: Envelope) -> bytes:
    """Return an envelope as the argument of a step."""
    return _encode(
        _Wire(
            envelope.definition.name,
            envelope.key,
            envelope.handler.name,
            envelope.args,
            envelope.sender,
            envelope.priority,
            envelope.delay,
            envelope.timeout,
            envelope.dedup,
            envelope.chain,
            envelope.while_busy,
        )
    )


def read_envelope(data: bytes, registry: Registry) -> Envelope:
    """Return the envelope that was written.

    Raises:
        UnknownActor: its actor or handler is not registered here.
    """
    wire = _wires.decode(data)
    definition = registry.actors.get(wire.actor)
    handler = find_handler(definition, wire.handler) if definition is not None else None
    if definition is None or handler is None:
        raise UnknownActor(f"there is no actor {wire.actor!r} with a handler {wire.handler!r} here")
    return Envelope(
        definition,
        wire.key,
        handler,
        wire.args,
        wire.sender,
        wire.priority,
        wire.delay,
        wire.timeout,
        wire.dedup,
        wire.chain,
        while_busy=wire.while_busy,
    )


def asked_in(data: bytes) -> str:
    """Return the actor and the handler that a written envelope asks."""
    wire = _wires.decode(data)
    return f"actor {wire.actor}/{wire.key} to {wire.handler!r}"


def message_of(
    envelope: Envelope, kind: Literal["tell", "ask"], now: int, *, bound: int = 0
) -> Message:
    """Return an envelope as a message for a mailbox in which `bound` may wait."""
    letter = Letter(
        args=envelope.args,
        sender=envelope.sender,
        priority=envelope.priority,
        due_at=now + int(envelope.delay * 1e6) if envelope.delay > 0 else 0,
        deadline=0 if envelope.timeout is None else now + int(envelope.timeout * 1e6),
        chain=envelope.chain,
        trace=envelope.trace,
        while_busy=envelope.while_busy,
    )
    return Message(
        run=envelope.actor,
        kind=kind,
        name=envelope.handler.name,
        body=encode_letter(letter),
        dedup=envelope.dedup,
        at=now,
        bound=bound,
    )


def envelope_of(
    registry: Registry,
    actor: str,
    key: str,
    handler: str,
    arguments: object,
    *,
    timeout: float | None,
    dedup: str = "",
    trace: str = "",
    while_busy: WhileBusy | None = None,
) -> Envelope:
    """Return a message that is given by names and JSON, checked against the handler's types.

    Raises:
        UnknownActor: there is no such actor or handler here.
        DecodingError: the arguments do not fit.
        UsageError: the handler takes no `while_busy`.
    """
    definition = registry.actor_asked_for(actor)
    taken = definition.handlers.get(handler)
    if taken is None:
        names = ", ".join(sorted(definition.handlers)) or "none"
        raise UnknownActor(f"{definition.name} has no handler {handler!r}; it has: {names}")
    bound = taken.signature.from_json(arguments)
    return Envelope(
        definition,
        key,
        taken,
        taken.signature.encode(bound),
        timeout=timeout,
        dedup=dedup,
        trace=trace,
        while_busy=policy_of(definition, taken, while_busy),
    )


def policy_of(
    definition: ActorDefinition, handler: HandlerDefinition, while_busy: WhileBusy | None
) -> WhileBusy | Literal[""]:
    """Return what a sender wants of its message while the actor is busy, empty for no wish.

    Raises:
        UsageError: the handler's messages wait their turn in any case.
    """
    if while_busy and handler.while_busy is None:
        raise UsageError(
            f"{definition.name}.{handler.name} takes no while_busy: its messages wait their turn. "
            "Declare it with @handler(while_busy=...)"
        )
    return while_busy or ""


def find_handler(definition: ActorDefinition, name: str) -> HandlerDefinition | None:
    """Return what a message of this name is for: a handler, or an order."""
    return ORDERS.get(name) or definition.handlers.get(name)
