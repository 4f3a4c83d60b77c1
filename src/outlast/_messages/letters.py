"""What a message to an actor carries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from outlast._messages.actor_ids import TOPICS, actor_id
from outlast._records import VALUE, Record
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._store.rows import Message
from outlast.errors import AskTimeout, StoreDamaged
from outlast.types import RunId, WhileBusy


class Letter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Body of a message: the handler's arguments, and how it wants to be treated.

    Times are microseconds since 1970, 0 for none; `every` is microseconds. `chain` are the callers
    that wait for the answer. `reminder` names the reminder whose message it is, `token` the life
    of that reminder; without one, the life that an actor hears the start of. `trace` is the W3C
    traceparent that it was sent in. `while_busy` is what becomes of it while the actor is busy,
    empty for what its handler declares.
    """

    args: bytes
    sender: str = ""
    priority: int = 0
    due_at: int = 0
    deadline: int = 0
    chain: tuple[str, ...] = ()
    every: int = 0
    reminder: str = ""
    token: str = ""
    trace: str = ""
    while_busy: WhileBusy | Literal[""] = ""


# Under this name the two are in databases, wherever this module lies.
STORED_MODULE = "outlast._execution.letters"


class Overflowed(Exception):
    """What is kept of an ask that became a dead letter because the mailbox was full.

    A class of its own: a handler whose own message was refused fails with `MailboxFull`.
    """

    __module__ = STORED_MODULE


class Rejected(Exception):
    """What is kept of an ask that its actor was too busy for."""

    __module__ = STORED_MODULE


class Expired(AskTimeout):
    """What is kept of an ask whose deadline had passed before its turn came.

    A class of its own: a handler whose own ask ran out fails with the one above.
    """

    __module__ = STORED_MODULE


class _Begun(Message, frozen=True, gc=False, kw_only=True):
    """The first message of an actor, and the state that it found."""

    initial: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_letters = msgspec.msgpack.Decoder(Letter)
_messages = msgspec.msgpack.Decoder(Message)
_beginnings = msgspec.msgpack.Decoder(_Begun)


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


def message_body(message: Message, initial: bytes | None = None) -> bytes:
    """Return a message as the body of the record that it was begun.

    `initial` is the actor's encoded state while no message of it has ended: another life would
    make it anew, perhaps with other code.
    """
    if initial is None:
        return VALUE + _encode(message)
    return VALUE + _encode(_Begun(**msgspec.structs.asdict(message), initial=initial))


def initial_in(record: Record) -> bytes:
    """Return the state that an actor's first message found; b"" when the record does not say."""
    return _beginnings.decode(record.body[1:]).initial


def message_in(record: Record) -> Message:
    """Return the message that a record says was begun."""
    return _messages.decode(record.body[1:])


def as_new(letter: Letter) -> Letter:
    """Return a letter that is sent again as it comes: due at once, and of no reminder."""
    return msgspec.structs.replace(letter, due_at=0, deadline=0, every=0, reminder="", token="")


def subscriptions(
    actor: RunId, definition: ActorDefinition, now: int, *, only: Collection[str] | None = None
) -> list[Message]:
    """Return what subscribes an actor to all topics that its class takes, or `only` some."""
    heard = [handler for handler in definition.handlers.values() if handler.topic]
    heard = [handler for handler in heard if only is None or handler.name in only]
    return [subscription(actor, handler, now) for handler in heard]


def caller(actor: str, number: int) -> str:
    """Return a link of a chain of callers: an actor, and the message that waits in it."""
    return f"{actor}\n{number}"  # no id has a line break


def callers_in(chain: Sequence[str]) -> tuple[str, ...]:
    """Return the actors of a chain of callers."""
    return tuple(link.partition("\n")[0] for link in chain)
