"""How an actor handles one message after another: begun, carried on after a crash, ended.

Invariants:
  * the row's state is that of the last message that ended well; a handler that raises changes
    nothing;
  * a message's end, the state, and what was sent are one commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from outlast import limits
from outlast._execution.actors.actor_ends import MessageEnds
from outlast._execution.actors.actor_memory import ActorState
from outlast._execution.actors.actor_row import ActorRow
from outlast._execution.actors.handled_message import HandledMessage, KeptError, Stage
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.actors.membership import Membership
from outlast._execution.actors.outbox import Outbox
from outlast._execution.actors.reentrancy import Reentrancy
from outlast._execution.calls.operations import failure_body
from outlast._execution.calls.run_calls import RunCalls
from outlast._execution.calls.unreadable import arguments_of, raise_refusal
from outlast._execution.loop.tasks import RunTask
from outlast._messages.letters import (
    Letter,
    caller,
    decode_letter,
    message_in,
)
from outlast._messages.system_messages import STARTED
from outlast._records import VALUE, Record
from outlast._store.rows import Message
from outlast._store.transactions import Transaction
from outlast.errors import EncodingError, NotInRun, UsageError


@dataclass(frozen=True, slots=True)
class Next:
    """What an actor does next: look at its mailbox soon, or stop for good."""

    looks: bool = False
    stop_reason: str | None = None


STAY = Next()
LOOK = Next(looks=True)


class MessageHandling:
    """The message that an actor is handling; `current` is None between two messages."""

    __slots__ = (
        "_calls",
        "_ends",
        "_mail",
        "_membership",
        "_reentrancy",
        "_row",
        "_state",
        "current",
        "wary_before",
        "wary_of",
    )

    def __init__(
        self,
        state: ActorState,
        ends: MessageEnds,
        row: ActorRow,
        mail: Mailbox,
        reentrancy: Reentrancy,
        calls: RunCalls,
    ) -> None:
        self._state = state
        self._ends = ends
        self._row = row
        self._mail = mail
        self._calls = calls
        self._membership: Membership = ends.memory.membership
        self.wary_of: int = 0  # so many messages are recorded as begun before their handlers run
        self.wary_before: int = 0  # what was sent later has killed no process yet
        self._reentrancy = reentrancy
        self.current: HandledMessage | None = None

    # ------------------------------------------------------------------ what handlers see
    @property
    def chain(self) -> tuple[str, ...]:
        """Who waits for the message that is handled, this actor last."""
        handled = self.current
        if handled is None:
            return ()
        above = self._reentrancy.chain() or handled.letter.chain
        return (*above, caller(handled.message.run, handled.message.number))

    @property
    def outbox(self) -> Outbox:
        """What the handler that is executing has asked for, done with the commit of its message.

        Raises:
            NotInRun: there is no such message any more.
        """
        if self.current is None:
            raise NotInRun("the handler's message has already completed")
        return self.current.outbox

    # ------------------------------------------------------------------------- it begins
    def be_wary(self) -> None:
        """One of the next messages may have killed the process: leave a trace of each."""
        self.wary_of = limits.ACTOR_WARY_MESSAGES
        self.wary_before = self._ends.now()

    def next_message(
        self, message: Message, letter: Letter, *, not_before: int
    ) -> HandledMessage | None:
        """Return a message that has come to its turn; None when it ends without a handler."""
        now = self._ends.now()
        handler = self._state.definition.handlers.get(message.name)
        if self._membership.is_stale(letter):
            self._ends.taken(message)
        elif letter.deadline and letter.deadline <= now:
            why = "its deadline had passed before its turn came"
            self._ends.give_up_unhandled(message, "expired", why)
        elif handler is None:
            why = f"the actor has no handler {message.name!r}"
            self._ends.give_up_unhandled(message, "no_handler", why)
        else:
            return HandledMessage(message, letter, handler, max(now, not_before))
        return None

    def begun_before(self, record: Record) -> HandledMessage:
        """Return the message that was begun in an earlier life."""
        message = message_in(record)
        handler = self._state.definition.handlers.get(message.name)
        if handler is None:
            raise UsageError(f"actor {message.run!r} has no handler {message.name!r} any more")
        letter = decode_letter(message.body)
        return HandledMessage(message, letter, handler, record.at, Stage.SAFE)

    def call(self, handled: HandledMessage) -> object:
        """Call the handler of a message, which is the current one from here on.

        Raises:
            Unreadable: the message does not fit its handler here.
        """
        self.current = handled
        handled.is_started = True
        args, kwargs = arguments_of(handled.message, handled.letter, handled.handler)
        actor = self._state.actor
        self._state.definition.enter(actor, handled.letter.sender)
        return handled.handler.fn(actor, *args, **kwargs)

    def take_up(self, handled: HandledMessage, *, is_started: bool = False) -> None:
        """Let a message be the current one, whose handler is called later, or elsewhere."""
        self.current = handled
        handled.is_started = is_started

    def write_down(self) -> None:
        """Record that the current message has begun, if there is one and that is not yet done."""
        if self.current is not None:
            self._row.begin_message(self.current, self._state.encoded)

    def deliver(self, record: Record) -> HandledMessage | None:
        """Take a record of messages; return the message whose handler may be called with that."""
        handled = self.current
        if handled is None or record.seq <= self._row.folded_seq:
            return None  # of a message that is over: whoever came in waits for his turn again
        if record.kind == "message_nested":
            self._reentrancy.deliver(record, handled)
        elif record.kind == "message_begun":
            handled.advance(Stage.SAFE)
            return None if handled.is_started else handled
        return None

    # --------------------------------------------------------------------------- it ends
    def end_replay(self) -> Next:
        """Write down what has ended while the current message was replayed."""
        self._reentrancy.answer_ended()
        handled = self.current
        if handled is not None and handled.error is not None:
            return self.fail(handled, handled.error)
        return STAY

    def end(self, handled: HandledMessage, main: RunTask[object]) -> Next:
        """Commit how the handler of a message ended."""
        was_cancelled = asyncio.CancelledError("raised by the handler")
        error = was_cancelled if main.cancelled() else main.exception()
        raise_refusal(error)
        if isinstance(error, KeptError):
            self._state.keep()
            return self._commit(handled, failure_body(error.error))
        if error is None:
            try:
                data = handled.handler.signature.returns.stored(main.result())
                self._state.keep()
            except EncodingError as unfit:
                error = unfit
            else:
                return self._commit(handled, VALUE + data)
        return self.fail(handled, error)

    def fail(self, handled: HandledMessage, error: BaseException) -> Next:
        """Undo what the handler did; tell who asked, or try again, or give the message up."""
        message, ends = handled.message, self._ends
        if message.name == STARTED and handled.letter.token and not handled.letter.reminder:
            # Nothing is handled in a life that has not begun; its supervisor has the error.
            place = self._membership.place
            if place is not None:
                held = msgspec.structs.replace(place, down="held", why=f"{STARTED} has failed")
                self._membership.take_place(ends.transaction(), held)
        handled.made_outbox = None
        self._state.undo()
        ends.streams.take_back(ends.now())
        if message.kind == "ask":
            return self._commit(handled, failure_body(error))
        why = f"{type(error).__name__}: {error}"[: limits.ERROR_CHARS_MAX]
        failed = ends.try_again(message)
        self._membership.fall(ends.transaction(), why, ends.now(), is_again=failed > 1)
        if failed < self._state.definition.attempts and not self._membership.is_dismissed:
            self.fold(ends.transaction())
            self._mail.add_first(message, handled.letter)
            return LOOK
        ends.forget_attempts(message)
        transaction = ends.give_up(message, "failed", why, attempts=failed)
        return self._close(transaction, handled, failure_body(error))

    def end_read(self, message: Message, outcome: bytes) -> Next:
        """Commit the outcome of a message whose handler only reads."""
        handled = self.current
        if handled is None or handled.message.number != message.number:
            self._ends.done(message, outcome)
            return STAY
        return self._close(self._ends.taken(message), handled, outcome)

    def undo(self) -> HandledMessage | None:
        """Let the current message not have begun; its code is gone. Return it."""
        handled = self.current
        if handled is not None:
            handled.made_outbox = None
            self._state.undo()
            self._ends.streams.take_back(self._ends.now())
            self.fold(self._ends.transaction())
        return handled

    def _commit(self, handled: HandledMessage, outcome: bytes) -> Next:
        """Commit the end of a message: state, mailbox, what was sent, and then the answer."""
        self._ends.forget_attempts(handled.message)
        return self._close(self._ends.taken(handled.message), handled, outcome)

    def _close(self, transaction: Transaction, handled: HandledMessage, outcome: bytes) -> Next:
        self._ends.close(transaction, handled, outcome)
        self.fold(transaction)
        self.wary_of = max(0, self.wary_of - 1)
        if not self.wary_of:
            self.wary_before = 0
        stops = None if handled.made_outbox is None else handled.made_outbox.stop_reason
        membership = self._membership
        if stops is None and membership.place is None:
            return LOOK
        reason = membership.reason_to_stop(stops)
        if reason is not None:
            return Next(stop_reason=reason)
        if stops is not None:
            membership.fall(transaction, stops, self._ends.now())
        return LOOK

    def fold(self, transaction: Transaction) -> None:
        """Bring the row up to where no message is handled: nothing before is needed any more."""
        if self.current is not None:
            self.current.advance(Stage.ENDED)
            self.current = None
        self._ends.streams.message_ended(transaction)
        if self._state.definition.lets_in:
            self._reentrancy.put_back(self._mail, self._ends.now())
        heartbeats = self._calls.begin_anew(transaction)
        self._ends.forget_heartbeats(transaction, heartbeats)
        self._row.end_message(transaction, self._state.kept)
        if self._membership.taken:
            self._membership.write_down(transaction)
