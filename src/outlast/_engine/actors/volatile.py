"""Actors in memory only: state and mailbox live and die with the engine.

For the hot path. A message is a few objects in a deque, handled in a callback of the host loop:
there is no task and no queue per actor. Arguments and answers are handed over uncopied.

Invariants:
  * messages are handled one at a time, in the order they came;
  * a handler that waits holds up only its actor's other messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from outlast._messages.actor_ids import actor_id
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._wording.plurals import counted
from outlast._world import World
from outlast.errors import (
    ActorStopped,
    AskTimeout,
    CallCycle,
    EngineClosed,
    HandlerFailed,
    MailboxFull,
)
from outlast.types import RunId

_BURST = 200  # messages handled in one turn of the host loop


@dataclass(slots=True, eq=False)
class _Message:
    handler: HandlerDefinition
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    answer: asyncio.Future[object] | None
    sender: str
    chain: tuple[str, ...]


@dataclass(slots=True, eq=False)
class VolatileActor:
    """One actor in memory."""

    id: RunId
    definition: ActorDefinition
    instance: object
    mailbox: deque[_Message] = field(default_factory=deque[_Message])
    room: deque[asyncio.Future[None]] = field(default_factory=deque[asyncio.Future[None]])
    message: _Message | None = None
    work: Coroutine[object, object, object] | None = None
    is_called: bool = False
    is_stopped: bool = False


_running: list[VolatileActor] = []  # whose handler is executing on the loop's thread, if one is


def stop_running() -> bool:
    """Stop the actor whose handler is executing; False when none is."""
    if not _running:
        return False
    actor = _running[0]
    actor.is_stopped = True
    for message in actor.mailbox:
        _refuse(message, ActorStopped(f"{actor.id} has stopped"))
    actor.mailbox.clear()
    for future in actor.room:
        _release(future)
    return True


class VolatileActors:
    """All actors of one engine that are in memory only."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._actors: dict[RunId, VolatileActor] = {}
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self._actors)

    # ------------------------------------------------------------------------ sending
    async def ask(
        self,
        definition: ActorDefinition,
        key: str,
        handler: HandlerDefinition,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        timeout: float | None,
    ) -> object:
        """Return what the handler returns.

        Raises:
            MailboxFull, ActorStopped, CallCycle: nothing was sent.
            HandlerFailed, AskTimeout
        """
        actor = self._find(definition, key)
        chain = self._chain(actor)
        if len(actor.mailbox) >= definition.mailbox:
            await self._make_room(actor)
        answer: asyncio.Future[object] = self._world.loop.create_future()
        self._post(
            actor, _Message(handler, args, kwargs, answer, chain[-1] if chain else "", chain)
        )
        if timeout is None:
            return await answer
        timer = self._world.call_later(timeout, _give_up, answer, actor.id, timeout)
        try:
            return await answer
        finally:
            timer.cancel()

    async def tell(
        self,
        definition: ActorDefinition,
        key: str,
        handler: HandlerDefinition,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> None:
        """Put a message into the actor's mailbox.

        Raises:
            MailboxFull, ActorStopped: nothing was sent.
        """
        actor = self._find(definition, key)
        if len(actor.mailbox) >= definition.mailbox:
            await self._make_room(actor)
        sender = _running[0].id if _running else ""
        self._post(actor, _Message(handler, args, kwargs, None, sender, ()))

    def _find(self, definition: ActorDefinition, key: str) -> VolatileActor:
        if self._error is not None:
            raise self._error
        actor = self._actors.get(actor_id(definition.name, key))
        if actor is None:
            instance = definition.make(definition.initial(), key)
            actor = VolatileActor(actor_id(definition.name, key), definition, instance)
            self._actors[actor.id] = actor
        if actor.is_stopped:
            raise ActorStopped(f"{actor.id} has stopped and takes no messages")
        return actor

    def _chain(self, target: VolatileActor) -> tuple[str, ...]:
        """Return who waits for the answer: whoever is running, and who waits for that one."""
        asking = _running[0] if _running else None
        if asking is None or asking.message is None:
            return ()
        chain = (*asking.message.chain, asking.id)
        if target.id in chain:
            raise CallCycle(chain, target.id)
        return chain

    async def _make_room(self, actor: VolatileActor) -> None:
        """Apply the policy of a full mailbox."""
        match actor.definition.overflow:
            case "reject" | "dead_letter":
                raise MailboxFull(actor.id, actor.definition.mailbox)
            case "drop_oldest":
                dropped = actor.mailbox.popleft()
                _refuse(dropped, MailboxFull(actor.id, actor.definition.mailbox))
            case "block":
                while len(actor.mailbox) >= actor.definition.mailbox:
                    future: asyncio.Future[None] = self._world.loop.create_future()
                    actor.room.append(future)
                    await future
                    if self._error is not None:
                        raise self._error
                    if actor.is_stopped:
                        raise ActorStopped(f"{actor.id} has stopped and takes no messages")

    def _post(self, actor: VolatileActor, message: _Message) -> None:
        actor.mailbox.append(message)
        if actor.message is None and not actor.is_called:
            actor.is_called = True
            self._world.call_soon(self._run, actor)

    # ----------------------------------------------------------------------- handling
    def _run(self, actor: VolatileActor) -> None:
        """Handle messages until one waits, or others should have a turn."""
        actor.is_called = False
        for _ in range(_BURST):
            if actor.message is not None or not actor.mailbox or self._error is not None:
                return
            self._begin(actor, actor.mailbox.popleft())
        if actor.mailbox and actor.message is None and not actor.is_called:
            actor.is_called = True
            self._world.call_soon(self._run, actor)

    def _begin(self, actor: VolatileActor, message: _Message) -> None:
        while actor.room and not _release(actor.room.popleft()):
            pass  # it waits no longer
        actor.message = message
        actor.definition.enter(actor.instance, message.sender)
        work = message.handler.fn(actor.instance, *message.args, **message.kwargs)
        if _is_coroutine(work):
            actor.work = work
            self._step(actor)
        else:
            self._end(actor, work, None)

    def _step(self, actor: VolatileActor) -> None:
        """Let the handler go on until it waits again, or ends."""
        work = actor.work
        if work is None:
            return
        outer, _running[:] = _running[:], [actor]
        try:
            waits_for = work.send(None)
        except StopIteration as end:
            self._end(actor, end.value, None)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # any exception of a handler is an outcome
            self._end(actor, None, error)
        else:
            self._wait(actor, waits_for)
        finally:
            _running[:] = outer

    def _wait(self, actor: VolatileActor, waits_for: object) -> None:
        if _is_future(waits_for):
            waits_for._asyncio_future_blocking = False  # the task's half of asyncio's contract
            waits_for.add_done_callback(lambda _: self._go_on(actor))
        else:
            self._world.call_soon(self._go_on, actor)

    def _go_on(self, actor: VolatileActor) -> None:
        self._step(actor)
        if actor.message is None:
            self._run(actor)

    def _end(self, actor: VolatileActor, value: object, error: BaseException | None) -> None:
        message, actor.message, actor.work = actor.message, None, None
        if message is None or message.answer is None or message.answer.done():
            return
        if error is None:
            message.answer.set_result(value)
        else:
            name, text = type(error).__name__, f"{error}"
            message.answer.set_exception(HandlerFailed(actor.id, name, text))

    # ------------------------------------------------------------------------ stopping
    def close(self, error: EngineClosed) -> None:
        """The engine closes: what is in memory only is gone."""
        self._error = error
        for actor in self._actors.values():
            for message in (*actor.mailbox, *([actor.message] if actor.message else [])):
                _refuse(message, error)
            if actor.work is not None:
                actor.work.close()
            actor.mailbox.clear()
            for future in actor.room:
                _release(future)
        self._actors.clear()


def _refuse(message: _Message, error: Exception) -> None:
    if message.answer is not None and not message.answer.done():
        message.answer.set_exception(error)


def _release(future: asyncio.Future[None]) -> bool:
    if future.done():
        return False
    future.set_result(None)
    return True


def _give_up(answer: asyncio.Future[object], actor: RunId, seconds: float) -> None:
    if not answer.done():
        answer.set_exception(
            AskTimeout(f"{actor} did not answer within {counted(seconds, 'second')}")
        )


def _is_future(value: object) -> TypeGuard[asyncio.Future[object]]:
    return isinstance(value, asyncio.Future)


def _is_coroutine(work: object) -> TypeGuard[Coroutine[object, object, object]]:
    return isinstance(work, Coroutine)
