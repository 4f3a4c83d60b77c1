"""Writing to actors, and waiting for what they answer.

A message is safe in its actor's mailbox before anything is done with it. An actor that rests costs
a row in memory at most; it comes back with the next message.

Invariants:
  * an actor is created with its first message, in one transaction;
  * an answer reaches who asked only when the commit of its message is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Literal

from outlast import limits
from outlast._codec import name_of_class
from outlast._engine.actors.dead_letters import DeadLetters
from outlast._engine.actors.idle_actors import IdleActors
from outlast._engine.actors.parked_asks import ParkedAsks, is_from_supervisor
from outlast._engine.actors.volatile import VolatileActors
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.actors.actor_memory import outcome_in
from outlast._execution.calls.operations import failure_in
from outlast._messages.envelopes import Envelope, message_of
from outlast._messages.letters import (
    Expired,
    Overflowed,
    Rejected,
)
from outlast._messages.system_messages import ORDERS
from outlast._store.rows import DONE, JOIN, Message, PostResult, RunRow
from outlast._store.transactions import Effects, Receipt, Transaction
from outlast._wording.plurals import counted
from outlast.errors import (
    ActorBusy,
    ActorStopped,
    AskTimeout,
    HandlerFailed,
    MailboxFull,
    SignalConflict,
    StoreDamaged,
)
from outlast.types import CLOSED_STATUSES, RunId


class Actors:
    """The actors of one engine, as those who write to them see them."""

    def __init__(self, scheduler: Scheduler, volatile: VolatileActors) -> None:
        self._scheduler = scheduler
        self._volatile = volatile
        self._world = scheduler.world
        self._store = scheduler.store
        self._is_shared = scheduler.store.is_shared  # an owner may have done it before this one
        self.resting: IdleActors = IdleActors(scheduler)
        self._asks: dict[tuple[RunId, int], asyncio.Future[bytes]] = {}
        self._joins: set[tuple[RunId, int]] = set()  # those of them that wait for stopped ones
        self._changed: dict[RunId, asyncio.Future[None]] = {}
        self.parked: ParkedAsks = ParkedAsks(scheduler)
        self.dead_letters: DeadLetters = DeadLetters(scheduler)
        self.trace_of: Callable[[], str] | None = None  # telemetry: in which trace one is written

    # ------------------------------------------------------------------------ sending
    async def tell(self, envelope: Envelope) -> None:
        """Put a message into its mailbox; return when it is safe.

        Raises:
            MailboxFull, ActorStopped: nothing was stored.
            SignalConflict: the dedup key was used with another message.
        """
        if not envelope.definition.is_durable:
            args, kwargs = envelope.handler.signature.decode(envelope.args)
            definition, key, handler = envelope.definition, envelope.key, envelope.handler
            await self._volatile.tell(definition, key, handler, args, kwargs)
            return
        await self._post(envelope, "tell")

    async def ask(
        self,
        envelope: Envelope,
        safe: asyncio.Event | None = None,
        *,
        parked: Literal["raise", "wait"] | None = None,
    ) -> bytes:
        """Return the encoded answer to a message; `safe` is set when that is in the mailbox.

        `parked` says what a parked actor means: without it, an error for a message without a
        timeout. An order of a supervisor is done when it is safe, if its member is parked.

        Raises:
            MailboxFull, ActorStopped: nothing was stored.
            ActorParked: it is parked, and that is not waited for.
            HandlerFailed, AskTimeout
        """
        if not envelope.definition.is_durable:
            return await self._ask_volatile(envelope)
        if envelope.timeout is None:
            return await self._ask(envelope, safe, parked or "raise")
        try:
            async with asyncio.timeout(envelope.timeout):
                return await self._ask(envelope, safe, parked or "wait")
        except AskTimeout:
            raise  # it was given up
        except TimeoutError:
            because = await self.parked.because(envelope.actor)
            raise AskTimeout(
                f"{envelope.actor} did not answer {envelope.handler.name!r} "
                f"within {counted(envelope.timeout, 'second')}{because}"
            ) from None

    async def _ask_volatile(self, envelope: Envelope) -> bytes:
        """Ask an actor that is in memory only, from a step or a command: by encoded values."""
        handler, timeout = envelope.handler, envelope.timeout
        args, kwargs = handler.signature.decode(envelope.args)
        answer = await self._volatile.ask(
            envelope.definition, envelope.key, handler, args, kwargs, timeout=timeout
        )
        data, _ = handler.signature.returns.roundtrip(answer)
        return data

    async def _ask(
        self, envelope: Envelope, safe: asyncio.Event | None, parked: Literal["raise", "wait"]
    ) -> bytes:
        if self._is_shared and not envelope.dedup:
            # Whoever owns the actor when it answers: by this key the answer is found.
            envelope = replace(envelope, dedup=self._world.new_id())
        is_told = parked == "raise" or is_from_supervisor(envelope)
        answer = await self._post(envelope, "ask", tells_if_parked=is_told)
        if safe is not None:
            safe.set()
        if answer is None:
            return _value_in(envelope, await self._remembered(envelope))
        try:
            if self._is_shared:
                return _value_in(envelope, await self._answer_from_anywhere(envelope, answer))
            return _value_in(envelope, await answer)
        finally:
            answer.cancel()

    async def _answer_from_anywhere(
        self, envelope: Envelope, future: asyncio.Future[bytes]
    ) -> bytes:
        while True:
            changed = self._next_change(envelope.actor)
            await _first_of(future, changed)
            if future.done():
                return future.result()
            known = await self._outcome_so_far(envelope)
            if known is not None:
                return known
            self.parked.look(envelope.actor)  # otherwise this engine never hears of it

    async def _known_outcome(self, envelope: Envelope) -> bytes | None:
        value = await self._store.read_value(envelope.actor, DONE + envelope.dedup)
        return None if value is None else outcome_in(value)

    async def _outcome_so_far(self, envelope: Envelope) -> bytes | None:
        """Return what came of a message, None when nothing has yet.

        Raises:
            ActorStopped: nothing will.
        """
        # The row first: what an actor answered before it stopped is there by then.
        row = await self._store.read_run(envelope.actor)
        is_closed = row is None or row.status in CLOSED_STATUSES
        if is_closed and envelope.handler.name == JOIN and await self._is_waiting(envelope):
            return None  # it starts an actor that has stopped
        known = await self._known_outcome(envelope)
        if known is None and is_closed:
            raise ActorStopped(f"{envelope.actor} has stopped before it answered")
        return known

    async def _is_waiting(self, envelope: Envelope) -> bool:
        mail = await self._store.read_mailbox(envelope.actor, limits.ACTOR_MAIL_MAX)
        return any(message.dedup == envelope.dedup for message in mail)

    async def _remembered(self, envelope: Envelope) -> bytes:
        """The same message is on its way or was handled: wait for what came of it."""
        while True:
            known = await self._outcome_so_far(envelope)
            if known is not None:
                return known
            await _first_of(self._next_change(envelope.actor))

    async def _post(
        self, envelope: Envelope, kind: Literal["tell", "ask"], *, tells_if_parked: bool = False
    ) -> asyncio.Future[bytes] | None:
        """Return the answer to come; None for a tell, and for what was sent before (dedup)."""
        definition = envelope.definition
        is_order = envelope.handler.name in ORDERS
        is_bounded = definition.overflow in ("reject", "block") and not is_order
        bound = definition.mailbox if is_bounded else 0
        if self.trace_of is not None and not envelope.trace:
            envelope = replace(envelope, trace=self.trace_of())
        message = message_of(envelope, kind, self._world.now(), bound=bound)
        while True:
            answer: asyncio.Future[bytes] | None = None
            if kind == "ask":
                answer = self._world.loop.create_future()
                if tells_if_parked:
                    self.parked.expect(answer, envelope)
            result = await self._commit(message, answer)
            if result == "accepted":
                return answer
            if answer is not None:
                answer.cancel()
            match result:
                case "duplicate":
                    return None
                case "conflict":
                    raise SignalConflict(message.run, message.name, envelope.dedup)
                case "full":
                    if definition.overflow == "reject":
                        raise MailboxFull(message.run, definition.mailbox)
                    await _first_of(self._next_change(message.run))
                case "closed" | "not_found":
                    raise ActorStopped(f"{message.run} has stopped and takes no messages")

    async def _commit(self, message: Message, reply: asyncio.Future[bytes] | None) -> PostResult:
        """Commit a message, and deliver it when it is durable, whatever became of its sender."""
        transaction = Transaction(None, message.run, [], Effects(posts=(message,)))
        start = self.resting.start_of(message.run)
        if start is not None:
            transaction.also.starts = (start,)

        def made(receipt: Receipt) -> None:
            if start is not None and message.run not in receipt.existing:
                self.resting.created(start.row)
            number = receipt.numbers[0]
            if receipt.posts[0] == "accepted":
                if reply is not None:
                    self._expect(message.run, number, reply)
                    if message.name == JOIN:
                        self._joins.add((message.run, number))
                self._scheduler.deliver(message, number)

        return (await self._scheduler.writer.commit(transaction, made)).posts[0]

    def _expect(self, actor: RunId, number: int, reply: asyncio.Future[bytes]) -> None:
        """Keep the future of an answer for as long as somebody waits for it."""

        def forget(reply: asyncio.Future[bytes]) -> None:
            del self._asks[actor, number]
            self._joins.discard((actor, number))
            if not reply.cancelled():
                reply.exception()  # looked at, though who asked may be gone

        self._asks[actor, number] = reply
        reply.add_done_callback(forget)

    # ------------------------------------------------------------------------ answers
    def answered(self, message: Message, outcome: bytes) -> None:
        """Give an answer to who waits for it."""
        future = self._asks.get((message.run, message.number))
        if future is not None and not future.done():
            future.set_result(outcome)
        self._has_changed(message.run)

    def changed(self, actor: RunId) -> None:
        """Another engine changed an actor: who waits for it looks again."""
        self._has_changed(actor)
        self.parked.look(actor)

    def _next_change(self, actor: RunId) -> asyncio.Future[None]:
        return self._changed.setdefault(actor, self._world.loop.create_future())

    def _has_changed(self, actor: RunId) -> None:
        changed = self._changed.pop(actor, None)
        if changed is not None and not changed.done():
            changed.set_result(None)

    def stopped(self, row: RunRow) -> None:
        """An actor takes nothing more: tell those who wait for an answer."""
        if row.status not in CLOSED_STATUSES:
            return
        self.resting.forget(row.id)
        self._scheduler.parts.messages.has_mail(row.id)  # what starts it again may be there already
        error = ActorStopped(f"{row.id} has stopped before it answered")
        _fail(self._asks, row.id, error, but=self._joins)
        self._has_changed(row.id)

    def damaged(self, actor: RunId, error: StoreDamaged) -> None:
        """What is stored of an actor is damaged: it answers nothing before that is mended."""
        _fail(self._asks, actor, error)

    def fail_all(self, error: Exception) -> None:
        """The engine cannot go on: tell everyone who waits for an answer."""
        self.resting.stop()
        for future in self._asks.values():
            if not future.done():
                future.set_exception(error)


def _fail(
    asks: Mapping[tuple[RunId, int], asyncio.Future[bytes]],
    actor: RunId,
    error: Exception,
    but: Container[tuple[RunId, int]] = (),
) -> None:
    """Tell who waits for an actor's answers that none will come."""
    for key, future in asks.items():
        if key[0] == actor and key not in but and not future.done():
            future.set_exception(error)


async def _first_of(*futures: asyncio.Future[bytes] | asyncio.Future[None]) -> None:
    """Wait for the first of these, for a while: what another engine does may go unheard."""
    seconds = limits.RECONCILE_SECONDS
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def _value_in(envelope: Envelope, outcome: bytes) -> bytes:
    failure = failure_in(outcome)
    if failure is None:
        return outcome[1:]
    if (failure.module, failure.qualname) == name_of_class(Expired):
        expired = AskTimeout(failure.message)
        expired.is_final = True
        raise expired
    if (failure.module, failure.qualname) == name_of_class(Overflowed):
        raise MailboxFull(envelope.actor, envelope.definition.mailbox, is_dead_letter=True)
    if (failure.module, failure.qualname) == name_of_class(Rejected):
        raise ActorBusy(envelope.actor)
    raise HandlerFailed(envelope.actor, failure.qualname, failure.message, failure.traceback)
