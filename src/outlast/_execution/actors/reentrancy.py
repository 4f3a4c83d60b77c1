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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from outlast._execution.actors.actor_reads import is_awaitable
from outlast._execution.actors.outbox import Outbox
from outlast._execution.calls.operations import failure_body
from outlast._execution.calls.unreadable import Arguments, Unreadable, arguments_of
from outlast._execution.journal.letters import (
    Letter,
    caller,
    decode_letter,
    message_body,
    message_in,
)
from outlast._execution.journal.view import RunJournal
from outlast._records import VALUE, Record
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._store.contract import Message
from outlast.errors import UsageError


@dataclass(slots=True, eq=False)
class _Nested:
    message: Message
    letter: Letter
    outcome: bytes | None = None


class Reentrancy:
    """The nested messages of the one that an actor is handling."""

    __slots__ = (
        "_appended",
        "_begin",
        "_definition",
        "_ended",
        "_instance",
        "_journal",
        "_open",
        "_outbox",
    )

    def __init__(
        self,
        definition: ActorDefinition,
        journal: RunJournal,
        *,
        begin: Callable[[Coroutine[object, object, None]], object],
        instance: Callable[[], object],
        ended: Callable[[Message, bytes], None],
        wishes: Callable[[], Outbox],
    ) -> None:
        self._definition = definition
        self._journal = journal
        self._begin = begin  # a task of the run's loop
        self._instance = instance
        self._ended = ended
        self._outbox = wishes
        self._appended: dict[int, Message] = {}  # written down, not known to be durable
        self._open: list[_Nested] = []

    def is_for(self, letter: Letter, number: int) -> bool:
        """Whether a letter comes from someone that the message of this number waits for."""
        return self._definition.is_reentrant and caller(self._journal.run, number) in letter.chain

    def chain(self) -> tuple[str, ...] | None:
        """Return who waits for the nested message that executes, None when none does."""
        executing = [nested for nested in self._open if nested.outcome is None]
        return executing[-1].letter.chain if executing else None

    def append(self, message: Message, at: int) -> None:
        """Write down that a message comes in; it is handled when that is durable."""
        body = message_body(message)
        self._appended[message.number] = message
        self._journal.append(
            "message_nested", at=at, key=f"{message.number}", name=message.name, body=body
        )

    def deliver(self, record: Record, outer_sender: str) -> None:
        """Begin to handle a message that is recorded."""
        message = message_in(record)
        self._appended.pop(message.number, None)
        nested = _Nested(message, decode_letter(message.body))
        self._open.append(nested)
        handler = self._definition.handlers.get(message.name)
        known: Arguments = ((), {})
        if handler is not None:
            try:
                known = arguments_of(message, nested.letter, handler)
            except Unreadable as error:
                error.culprit = None  # it is part of the outer message, and cannot go alone
                raise
        self._begin(self._handle(nested, handler, known, outer_sender))

    async def _handle(
        self,
        nested: _Nested,
        handler: HandlerDefinition | None,
        arguments: Arguments,
        outer_sender: str,
    ) -> None:
        actor, definition = self._instance(), self._definition
        before = definition.state.encode(definition.state_of(actor))
        wished = self._outbox().copy()
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
            self._outbox().put_back(wished)
            outcome = failure_body(error)
        definition.enter(actor, outer_sender)
        self._end(nested, outcome)

    def _end(self, nested: _Nested, outcome: bytes) -> None:
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
            self._ended(message, nested.outcome or b"")

    def take_open(self) -> list[tuple[Message, Letter]]:
        """Return what has not ended, and forget it: the outer message is over."""
        opened = [(nested.message, nested.letter) for nested in self._open]
        opened += [(message, decode_letter(message.body)) for message in self._appended.values()]
        self._open.clear()
        self._appended.clear()
        return opened
