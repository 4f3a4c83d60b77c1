"""What a supervisor, or another actor, may have an actor do at once, whatever waits before it.

An order is a message like any other, safe in the mailbox until it is obeyed; it only takes no turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from outlast._codec import SignatureCodec
from outlast._messages.letters import Letter, encode_letter
from outlast._registry import HandlerDefinition
from outlast._store.rows import JOIN, Message
from outlast.errors import StoreDamaged
from outlast.types import Restart, RunId

Down: TypeAlias = Literal["", "failed", "held", "parked"]

ORDER = "\x00order"  # the name of orders that only those obey who have not stopped: `Hold`
STARTED = "started"  # the handler that hears of every start in a team, before all other messages


class Assignment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An actor's assignment to a team; `life` counts how often it was started there.

    `by` is the number of the order that began this life.
    """

    supervisor: str
    member: str
    restart: Restart
    life: int
    down: Down = ""
    why: str = ""
    by: int = 0

    def is_led_by(self, supervisor: str) -> bool:
        """Whether it is to the team of this supervisor."""
        return self.supervisor == supervisor


class Watch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """By which handler, and which parameter of it, a watcher wants to be told.

    `token` tells this watch from other ones of the same two: it is told of once.
    """

    handler: str
    parameter: str
    token: str = ""


class Join(msgspec.Struct, frozen=True, tag=True):
    """Take a place in a team, or begin a new life in it; also for an actor that had stopped.

    Of a life that has begun it changes the conditions only.
    """

    place: Assignment
    reset: bool = False


class Hold(msgspec.Struct, frozen=True, tag=True):
    """Undo what is being handled, and handle nothing until told to go on."""

    life: int
    down: Down
    why: str


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Stop for good."""

    reason: str


class WatchOver(msgspec.Struct, frozen=True, tag=True):
    """Tell an actor when this one stops; without `watch` no longer."""

    watcher: str
    watch: Watch | None


Order: TypeAlias = Join | Hold | Leave | WatchOver
_encode = msgspec.msgpack.Encoder().encode
_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)


async def _obey(data: bytes) -> None:
    """Stands in a message for a handler: actors obey orders without one."""


_signature = SignatureCodec(_obey)
ORDERS: Mapping[str, HandlerDefinition] = {
    name: HandlerDefinition(name, _obey, _signature) for name in (JOIN, ORDER)
}
DONE_WELL: bytes = _signature.returns.encode(None)
NO_ARGUMENTS: bytes = msgspec.msgpack.encode({})


def encode_order(order: Order) -> bytes:
    """Return an order as the arguments of a message."""
    return _encode(order)


def order_message(actor: str, order: Order, *, sender: str, at: int) -> Message:
    """Return an order as a message without a reply that reaches stopped actors too."""
    body = encode_letter(Letter(args=encode_order(order), sender=sender))
    return Message(run=RunId(actor), kind="notice", name=JOIN, body=body, at=at)


def watch_orders(actor: str, watches: Mapping[str, Watch], at: int) -> list[Message]:
    """Return what has other actors tell this one when they stop."""
    return [
        order_message(target, WatchOver(actor, watch), sender=actor, at=at)
        for target, watch in watches.items()
    ]


def decode_order(data: bytes) -> Order:
    """Return the order in the arguments of a message.

    Raises:
        StoreDamaged: it is none.
    """
    try:
        return _orders.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreDamaged(f"an order to an actor is damaged: {error}") from error
