"""Messages that are handled within another one, which waits.

A asks B, B asks A: with `reentrant="chain"` the second ask is handled in the midst of the first, on
the same loop and state, as a call is; its records are among the first one's, so that a crash
replays both. Its answer and its leaving the mailbox are a commit of their own. So are messages
handled that are to steer or to interrupt the handler that waits.

Invariants:
  * of a class that is reentrant, an ask comes in whose chain of callers has the very message that
    is handled; otherwise only messages whose handlers let them, and that want to;
  * what it did to the state and sent is committed, or undone, with the outer message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from outlast import limits
from outlast._execution.actors.actor_memory import ActorState
from outlast._execution.actors.actor_reads import is_awaitable
from outlast._execution.actors.handled_message import HandledMessage, KeptError, NotNow
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.calls.operations import failure_body, failure_in
from outlast._execution.calls.unreadable import Arguments, Unreadable, arguments_of
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._messages.letters import (
    Letter,
    Rejected,
    caller,
    decode_letter,
    message_body,
    message_in,
)
from outlast._records import VALUE, Record
from outlast._registry import HandlerDefinition
from outlast._store.rows import DeathReason, Message
from outlast.errors import UsageError
from outlast.types import WhileBusy

_AT_ONCE = ("steer", "interrupt")


class Ends(Protocol):
    """What takes the ends of messages (`MessageEnds`), as far as nested ones have them."""

    def done(self, message: Message, outcome: bytes) -> None:
        """Take the message out of the mailbox, and answer it, with the next commit."""
        ...

    def give_up(self, message: Message, reason: DeathReason, why: str) -> object:
        """Make it a dead letter."""
        ...

    def give_up_unhandled(self, message: Message, reason: DeathReason, why: str) -> None:
        """Make it a dead letter before its handler began, and answer it."""
        ...


@dataclass(slots=True, eq=False)
class _Nested:
    message: Message
    letter: Letter
    outer: HandledMessage
    outcome: bytes | None = None
    is_put_back: bool = False  # it has its turn next, when the outer one has ended


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

    @property
    def while_busy(self) -> WhileBusy | None:
        """How the message came in whose handler begins now; None: it is the outer one."""
        executing = self._open[-1] if self._open else None
        if executing is None or executing.outcome is not None:
            return None
        return self._policy(executing.message, executing.letter)

    def chain(self) -> tuple[str, ...] | None:
        """Return who waits for the nested message that executes, None when none does.

        A message that steers or interrupts goes beside the outer one, which executes too.
        """
        executing = [
            nested
            for nested in self._open
            if nested.outcome is None and self._policy(nested.message, nested.letter) is None
        ]
        return executing[-1].letter.chain if executing else None

    def let_in(self, message: Message, outer: HandledMessage | None, at: int) -> bool:
        """Handle a message within another, or refuse it; return False if it waits its turn."""
        if outer is None:
            return False
        letter = decode_letter(message.body)
        policy = self._policy(message, letter)
        if policy == "reject" and letter.due_at <= at:
            self._reject(message)
            return True
        comes_in = self._comes_in(message, letter, outer, at)
        if comes_in:
            self._append(message, at)
        return comes_in

    def let_waiting_in(self, mail: Mailbox, outer: HandledMessage, at: int) -> None:
        """Begun anew, a message may find those waiting that it let in before."""
        for message in mail.take_if(partial(self._comes_in, outer=outer, at=at)):
            self._append(message, at)

    def _comes_in(self, message: Message, letter: Letter, outer: HandledMessage, at: int) -> bool:
        """Whether a message is handled within another: its caller waits for it, or it wants to."""
        if self._state.definition.is_reentrant and is_for(letter, outer):
            return True
        return self._policy(message, letter) in _AT_ONCE and letter.due_at <= at

    def _policy(self, message: Message, letter: Letter) -> WhileBusy | None:
        handler = self._state.definition.handlers.get(message.name)
        if handler is None or handler.while_busy is None:
            return None
        return letter.while_busy or handler.while_busy

    def _reject(self, message: Message) -> None:
        why = "it came while the actor was handling another message, and was not to wait"
        if message.kind == "ask":
            self._ends.done(message, failure_body(Rejected(why)))
        else:
            self._ends.give_up_unhandled(message, "rejected", why)

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
        others_moved: list[bool] = []
        if self._policy(nested.message, nested.letter) is not None:
            self._loop.call_soon(others_moved.append, True)
        try:
            if handler is None:
                raise UsageError(f"the actor has no handler {nested.message.name!r}")
            args, kwargs = arguments
            work = handler.fn(actor, *args, **kwargs)
            value: object = await work if is_awaitable(work) else work
            data, _ = handler.signature.returns.roundtrip(value)
            outcome = VALUE + data
        except NotNow:
            nested.is_put_back = True
            definition.enter(actor, outer.letter.sender)
            return
        except KeptError as error:
            outcome = failure_body(error.error)
        except asyncio.CancelledError as error:
            self._end(nested, failure_body(error))  # the outer message has ended first
            raise
        except Exception as error:  # noqa: BLE001  # any error of a handler is an answer
            if not others_moved:
                # Otherwise it has waited, and what others did since cannot be told apart.
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
            failure = failure_in(nested.outcome or b"") if message.kind == "tell" else None
            if failure is None:
                self._ends.done(message, nested.outcome or b"")
            else:
                why = f"{failure.qualname}: {failure.message}"[: limits.ERROR_CHARS_MAX]
                self._ends.give_up(message, "failed", why)

    def put_back(self, mail: Mailbox, now: int) -> None:
        """Let what has not ended wait its turn, for the outer message is over.

        What has interrupted it comes first.
        """
        for nested in self._open:
            if nested.is_put_back:
                mail.add_first(nested.message, nested.letter)
            else:
                mail.add(nested.message, nested.letter, now)
        for message in self._appended.values():
            mail.add(message, decode_letter(message.body), now)
        self._open.clear()
        self._appended.clear()


def is_for(letter: Letter, outer: HandledMessage) -> bool:
    """Whether a letter comes from someone that the message which is handled waits for."""
    return caller(outer.message.run, outer.message.number) in letter.chain
