"""Handlers that only read: each has a copy of the last committed state, beside whatever goes on."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from outlast._execution.calls.operations import failure_body
from outlast._execution.calls.unreadable import Arguments, arguments_of, state_of
from outlast._messages.letters import Letter, decode_letter
from outlast._records import VALUE
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._store.rows import Message
from outlast._world import World
from outlast.errors import UsageError


@dataclass(frozen=True, slots=True)
class _Call:
    """A reading handler's call; `state` is what it must not change."""

    message: Message
    handler: HandlerDefinition
    letter: Letter
    arguments: Arguments
    state: bytes


class ReadReceiver(Protocol):
    """What takes the outcomes of reading handlers."""

    def read_ended(self, message: Message, outcome: bytes) -> None:
        """Take the outcome of a message whose handler only reads."""
        ...


class Readings:
    """The reading handlers at work for one actor."""

    __slots__ = ("_definition", "_key", "_world", "at_work")

    def __init__(self, world: World, definition: ActorDefinition, key: str) -> None:
        self._world = world
        self._definition = definition
        self._key = key
        self.at_work: int = 0

    def start(
        self, message: Message, handler: HandlerDefinition, state: bytes, receiver: ReadReceiver
    ) -> None:
        """Let a handler read `state`; `receiver` gets what came of it.

        Raises:
            Unreadable: the message, or the state, does not fit its type here.
        """
        letter = decode_letter(message.body)
        call = _Call(message, handler, letter, arguments_of(message, letter, handler), state)
        value = state_of(message.run, self._definition, state)
        self.at_work += 1
        work = self._read(call, value, receiver)
        self._world.spawn(work, name=f"{message.run}.{message.name}")

    async def _read(self, call: _Call, state: object, receiver: ReadReceiver) -> None:
        try:
            outcome = await self._outcome(call, state)
        except BaseException as error:  # noqa: BLE001  # any exception of a handler is an outcome
            outcome = failure_body(error)
        self.at_work -= 1
        receiver.read_ended(call.message, outcome)

    async def _outcome(self, call: _Call, state: object) -> bytes:
        definition, (args, kwargs) = self._definition, call.arguments
        actor = definition.make(state, self._key)
        definition.enter(actor, call.letter.sender)
        work = call.handler.fn(actor, *args, **kwargs)
        value: object = await work if is_awaitable(work) else work
        data, _ = call.handler.signature.returns.roundtrip(value)
        if self._differs(definition.state.encode(definition.state_of(actor)), call):
            raise UsageError(f"handler {call.message.name!r} reads only, and changed the state")
        return VALUE + data

    def _differs(self, state: bytes, call: _Call) -> bool:
        if state == call.state:
            return False
        # Stored by another version of its type, the same state may have other bytes today.
        before = state_of(call.message.run, self._definition, call.state)
        return state != self._definition.state.encode(before)


def is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    """Narrow to something that can be awaited."""
    return isinstance(value, Awaitable)
