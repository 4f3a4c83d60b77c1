"""What a message to an actor carries, and what the actor's engine remembers of messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from outlast._registry import ActorDefinition, HandlerDefinition, Registry
from outlast._store.contract import Message
from outlast.errors import StoreDamaged, UnknownActor
from outlast.types import RunId

DONE = "\x00done/"  # values: what came of messages that had a dedup key
ATTEMPTS = "\x00attempts"  # value: a message that failed and is tried again
TOPICS = "outlast.Topic"  # the actors that keep who has subscribed to what


class Letter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Body of a message: the handler's arguments, and how it wants to be treated.

    Times are microseconds since 1970, 0 for none. `chain` are the actors that wait for the answer.
    """

    args: bytes
    sender: str = ""
    priority: int = 0
    due_at: int = 0
    deadline: int = 0
    chain: tuple[str, ...] = ()


class Attempts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message that failed: how often, and when it is tried again."""

    number: int
    failed: int
    next_at: int


_encode = msgspec.msgpack.Encoder().encode
_letters = msgspec.msgpack.Decoder(Letter)
_attempts = msgspec.msgpack.Decoder(Attempts)


def encode_letter(letter: Letter) -> bytes:
    """Return a letter as the body of a message."""
    return _encode(letter)


def decode_letter(body: bytes) -> Letter:
    """Return the letter of a message.

    Raises:
        StoreDamaged: it is none.
    """
    try:
        return _letters.decode(body)
    except msgspec.MsgspecError as error:
        raise StoreDamaged(f"a message to an actor is damaged: {error}") from error


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
        )
    )


def read_envelope(data: bytes, registry: Registry) -> Envelope:
    """Return the envelope that was written.

    Raises:
        UnknownActor: its actor or handler is not registered here.
    """
    wire = _wires.decode(data)
    definition = registry.actors.get(wire.actor)
    handler = definition.handlers.get(wire.handler) if definition is not None else None
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
    )


def subscription(actor: RunId, handler: HandlerDefinition, now: int) -> Message:
    """Return what subscribes an actor's handler to its topic."""
    arguments = {
        "subscriber": actor,
        "message": handler.name,
        "parameter": handler.parameter,
    }
    return Message(
        run=actor_id(TOPICS, handler.topic),
        kind="tell",
        name="subscribe",
        body=_encode(Letter(args=_encode(arguments), sender=actor)),
        at=now,
    )


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
    )
    return Message(
        run=envelope.actor,
        kind=kind,
        name=envelope.handler.name,
        body=_encode(letter),
        dedup=envelope.dedup,
        at=now,
        bound=bound,
    )


@dataclass(slots=True)
class ActorMemory:
    """What is known of an actor beside its row: outcomes by dedup key, and failed attempts."""

    outcomes: dict[str, bytes] = field(default_factory=dict[str, bytes])
    attempts: Attempts | None = None

    @classmethod
    def read(cls, values: dict[str, bytes]) -> ActorMemory:
        """Return it from the values that the store has."""
        memory = cls()
        for name, data in values.items():
            if name.startswith(DONE):
                memory.outcomes[name[len(DONE) :]] = data
        tried = values.get(ATTEMPTS)
        if tried is not None:
            memory.attempts = _attempts.decode(tried)
        return memory


def encode_attempts(attempts: Attempts) -> bytes:
    """Return failed attempts as a value."""
    return _encode(attempts)


def actor_id(type_name: str, key: str) -> RunId:
    """Return the id of the actor of a type under a key."""
    return RunId(f"{type_name}/{key}")


def key_in(actor: RunId, type_name: str) -> str:
    """Return the key that an actor's id was made of."""
    return actor[len(type_name) + 1 :]
