"""Asks that come back to an actor which waits for whom it asked: part of the message it handles.

A asks B, B asks A. With `reentrant="chain"` the second ask is handled in the midst of the first,
on the same loop and state, as a call is; its records are among the first one's, so that a crash
replays both. Its answer and its leaving the mailbox are a commit of their own.

Invariants:
  * only an ask whose chain of callers has the very message that is handled comes in;
  * what it did to the state and sent is committed, or undone, with the outer message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from outlast._execution.actors.actor_memory import ActorState
from outlast._execution.actors.actor_reads import is_awaitable
from outlast._execution.actors.handled_message import HandledMessage
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.calls.operations import failure_body
from outlast._execution.calls.unreadable import Arguments, Unreadable, arguments_of
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._messages.letters import (
    Letter,
    caller,
    decode_letter,
    message_body,
    message_in,
)
from outlast._records import VALUE, Record
from outlast._registry import HandlerDefinition
from outlast._store.rows import Message
from outlast.errors import UsageError


class Ends(Protocol):
    """What takes the ends of messages (`MessageEnds`), as far as nested ones have them."""

    def done(self, message: Message, outcome: bytes) -> None:
        """Take the message out of the mailbox, and answer it, with the next commit."""
        ...


@dataclass(slots=True, eq=False)
class _Nested:
    message: Message
    letter: Letter
    outer: HandledMessage
    outcome: bytes | None = None


class Reentrancy:
    """The nested messages of the one that an actor is handling."""

    __slots__ = ("_appended", "_ends", "_journal", "_loop", "_open", "_state")

    def __init__(self, journal: RunJournal, loop: RunLoop, state: ActorState, ends: Ends) -> None:
        self._journal = journal
        self._loop = loop
        self._state = state
        self._ends = ends
        self._appended: dict[int, Message] = {}  # written down, not known to be durable
        self._open: list[_Nested] = []

    def chain(self) -> tuple[str, ...] | None:
        """Return who waits for the nested message that executes, None when none does."""
        executing = [nested for nested in self._open if nested.outcome is None]
        return executing[-1].letter.chain if executing else None

    def let_in(self, message: Message, outer: HandledMessage | None, at: int) -> bool:
        """Have a message handled within another, if it is from someone that this one waits for."""
        comes_back = outer is not None and is_for(decode_letter(message.body), outer)
        if comes_back:
            self._append(message, at)
        return comes_back

    def let_waiting_in(self, mail: Mailbox, outer: HandledMessage, at: int) -> None:
        """Begun anew, a message may find those waiting that it let in before."""
        for message in mail.take_if(partial(is_for, outer=outer)):
            self._append(message, at)

    def _append(self, message: Message, at: int) -> None:
        """Write down that a message comes in; it is handled when that is durable."""
        body = message_body(message)
        self._appended[message.number] = message
        self._journal.append(
            "message_nested", at=at, key=f"{message.number}", name=message.name, body=body
        )

    def deliver(self, record: Record, outer: HandledMessage) -> None:
        """Begin to handle a message that is recorded, within another one."""
        message = message_in(record)
        self._appended.pop(message.number, None)
        nested = _Nested(message, decode_letter(message.body), outer)
        self._open.append(nested)
        handler = self._state.definition.handlers.get(message.name)
        known: Arguments = ((), {})
        if handler is not None:
            try:
                known = arguments_of(message, nested.letter, handler)
            except Unreadable as error:
                error.culprit = None  # it is part of the outer message, and cannot go alone
                raise
        self._loop.own(self._handle(nested, handler, known))

    async def _handle(
        self, nested: _Nested, handler: HandlerDefinition | None, arguments: Arguments
    ) -> None:
        actor, definition, outer = self._state.actor, self._state.definition, nested.outer
        before = definition.state.encode(definition.state_of(actor))
        outbox_before = outer.outbox.copy()
        definition.enter(actor, nested.letter.sender)
        try:
            if handler is None:
                raise UsageError(f"the actor has no handler {nested.message.name!r}")
            args, kwargs = arguments
            work = handler.fn(actor, *args, **kwargs)
            value: object = await work if is_awaitable(work) else work
            data, _ = handler.signature.returns.roundtrip(value)
            outcome = VALUE + data
        except asyncio.CancelledError as error:
            self._end(nested, failure_body(error))  # the outer message has ended first
            raise
        except Exception as error:  # noqa: BLE001  # any error of a handler is an answer
            definition.restore(actor, definition.state.decode(before))
            outer.outbox.put_back(outbox_before)
            outcome = failure_body(error)
        definition.enter(actor, outer.letter.sender)
        self._end(nested, outcome)

    def _end(self, nested: _Nested, outcome: bytes) -> None:
        if self._loop.is_leaving:
            return  # what it does while it unwinds is no end: it stays open
        nested.outcome = outcome
        if self._journal.recorded("nested_ended", f"{nested.message.number}") is not None:
            self._open.remove(nested)
        elif not self._journal.is_replaying:
            self.answer_ended()

    def answer_ended(self) -> None:
        """Write down the ends that are not, each with its answer."""
        for nested in [nested for nested in self._open if nested.outcome is not None]:
            self._open.remove(nested)
            message = nested.message
            at = self._journal.last_at
            self._journal.append("nested_ended", at=at, key=f"{message.number}", name=message.name)
            self._ends.done(message, nested.outcome or b"")

    def take_open(self) -> list[tuple[Message, Letter]]:
        """Return what has not ended, and forget it: the outer message is over."""
        opened = [(nested.message, nested.letter) for nested in self._open]
        opened += [(message, decode_letter(message.body)) for message in self._appended.values()]
        self._open.clear()
        self._appended.clear()
        return opened


def is_for(letter: Letter, outer: HandledMessage) -> bool:
    """Whether a letter comes from someone that the message which is handled waits for."""
    return caller(outer.message.run, outer.message.number) in letter.chain
