"""Handlers that only read: each has a copy of the last committed state, beside whatever goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeGuard

from outlast._execution.letters import decode_letter
from outlast._execution.operations import failure_body
from outlast._records import VALUE
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._store.contract import Message
from outlast._world import World
from outlast.errors import UsageError


class Readings:
    """The reading handlers at work for one actor."""

    __slots__ = ("_definition", "_ended", "_key", "_world", "at_work")

    def __init__(
        self,
        world: World,
        definition: ActorDefinition,
        key: str,
        ended: Callable[[Message, bytes], None],
    ) -> None:
        self._world = world
        self._definition = definition
        self._key = key
        self._ended = ended
        self.at_work: int = 0

    def start(self, message: Message, handler: HandlerDefinition, state: bytes) -> None:
        """Let a handler read `state`; `ended` gets what came of it."""
        self.at_work += 1
        work = self._read(message, handler, state)
        self._world.spawn(work, name=f"{message.run}.{message.name}")

    async def _read(self, message: Message, handler: HandlerDefinition, state: bytes) -> None:
        try:
            outcome = await self._outcome(message, handler, state)
        except BaseException as error:  # noqa: BLE001  # any exception of a handler is an outcome
            outcome = failure_body(error)
        self.at_work -= 1
        self._ended(message, outcome)

    async def _outcome(self, message: Message, handler: HandlerDefinition, state: bytes) -> bytes:
        definition, letter = self._definition, decode_letter(message.body)
        actor = definition.make(definition.state.decode(state), self._key)
        definition.enter(actor, letter.sender)
        args, kwargs = handler.signature.decode(letter.args)
        work = handler.fn(actor, *args, **kwargs)
        value: object = await work if is_awaitable(work) else work
        data, _ = handler.signature.returns.roundtrip(value)
        if definition.state.encode(definition.state_of(actor)) != state:
            raise UsageError(f"handler {message.name!r} reads only, and changed the state")
        return VALUE + data


def is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    """Narrow to something that can be awaited."""
    return isinstance(value, Awaitable)
