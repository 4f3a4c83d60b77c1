"""One message of an actor: begun, carried on after a crash, ended in one commit.

Invariants:
  * the row's state is that of the last message that ended well; a handler that raises changes
    nothing;
  * a step starts only when its message is recorded as begun, and with it all messages before;
  * an answer is given only when the commit of its message is durable.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from contextvars import Context
from dataclasses import dataclass

import msgspec
from typing_extensions import override

from outlast import limits
from outlast._execution.actors.actor_ends import MessageEnds
from outlast._execution.actors.actor_memory import Activation, unheard
from outlast._execution.actors.instances import Instances
from outlast._execution.actors.membership import Membership
from outlast._execution.actors.outbox import Outbox
from outlast._execution.actors.reentrancy import Reentrancy
from outlast._execution.calls.host import ActorHost
from outlast._execution.calls.operations import failure_body
from outlast._execution.calls.unreadable import arguments_of, raise_refusal
from outlast._execution.journal.letters import (
    Letter,
    caller,
    decode_letter,
    initial_in,
    key_in,
    message_body,
    message_in,
)
from outlast._execution.loop.tasks import RunTask
from outlast._execution.runs.closing import unwind
from outlast._execution.runs.run import LiveRun
from outlast._records import VALUE, Record, detach
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._store.contract import Message, Receipt, Transaction
from outlast.errors import EncodingError, NotInRun, OutlastError, UsageError


@dataclass(slots=True, eq=False)
class Handling:
    """The message that an actor is handling."""

    message: Message
    letter: Letter
    handler: HandlerDefinition
    at: int
    is_begun: bool = False  # there is a record of it
    is_safe: bool = False  # and that record is durable
    is_started: bool = False  # its handler has been called
    error: OutlastError | None = None  # why it fails, found while it was replayed
    outbox: Outbox | None = None


class MessageRun(LiveRun):
    """An actor's state, and the message that it is handling."""

    def __init__(self, host: ActorHost, activation: Activation) -> None:
        row, records, memory = activation.row, activation.records, activation.memory
        salt = int.from_bytes(row.digest[:7], "big")
        super().__init__(host, row, activation.lease, records, salt=salt, now=row.created_at)
        self.needs_attention = True
        self.loop.chance_seed = hashlib.sha256(row.digest).digest()
        self._engine = host
        self.definition: ActorDefinition = activation.definition
        definition = self.definition
        self.key: str = key_in(row.id, definition.name)
        self.instances: Instances = Instances(row.id, self.key, definition, self.loop)
        self.ends: MessageEnds = MessageEnds(host.world, self.journal, definition, memory)
        self.ends.unheard = unheard(definition, memory, row)
        self.membership: Membership = memory.membership
        self.handling: Handling | None = None
        self.reentrancy: Reentrancy = Reentrancy(
            definition,
            self.journal,
            begin=self.loop.own,
            instance=lambda: self._actor,
            ended=self._done,
            wishes=lambda: self.outbox,
        )
        self._stop_reason: str | None = None
        self._state: bytes = row.output or b""
        self._actor: object = None
        self._has_ended_well = row.output is not None
        self._answers: dict[int, list[tuple[Message, bytes]]] = {}
        if records:
            # It is in the mailbox still, and will be read from there too.
            found = (detach(record.body)[1] for record in records)
            self.journal.blobs.update((blob.digest, None) for blob in found if blob is not None)
            for record in records:
                if record.kind in ("message_begun", "message_nested"):
                    self.arrivals.is_new(message_in(record).number)
        else:
            self.journal.fold()

    @abstractmethod
    def _message_ended(self) -> None:
        """The message is over: go on with the next."""

    @abstractmethod
    def _wait_again(self, message: Message, letter: Letter, *, is_first: bool) -> None:
        """A message that had begun waits for its turn again, perhaps before all others."""

    @abstractmethod
    def _next_due(self) -> int | None:
        """Return when the first delayed message is due."""

    @abstractmethod
    def _rest(self) -> None:
        """Be called again when there is something to do."""

    # ----------------------------------------------------------------------- its start
    def _load(self) -> None:
        if not self._state:
            records = self.journal.records_to_replay()
            self._state = (initial_in(records[0]) if records else b"") or self.instances.initial()
        self._actor = self.instances.of(self._state)

    def _begin_again(self, record: Record) -> None:
        """Start the handler whose message was begun in an earlier life."""
        message = message_in(record)
        handler = self.definition.handlers.get(message.name)
        if handler is None:
            raise UsageError(f"actor {self.id!r} has no handler {message.name!r} any more")
        handling = Handling(message, decode_letter(message.body), handler, record.at)
        handling.is_begun = handling.is_safe = True
        self._handle_safely(handling)

    @property
    def chain(self) -> tuple[str, ...]:
        """Who waits for the message that is handled, this actor last."""
        if self.handling is None:
            return ()
        above = self.reentrancy.chain() or self.handling.letter.chain
        return (*above, caller(self.id, self.handling.message.number))

    @property
    def outbox(self) -> Outbox:
        """What the handler that is executing wants with the commit of its message."""
        handling = self.handling
        if handling is None:
            raise NotInRun("the message whose handler this was is over")
        if handling.outbox is None:
            handling.outbox = Outbox(handling.message.number)
        return handling.outbox

    @abstractmethod
    def _handle_safely(self, handling: Handling) -> None:
        """Call the handler of a message that is recorded as begun."""

    def _take_up(self, handling: Handling, *, is_started: bool = True) -> None:
        self.handling = handling
        self.calls.count_tokens_from(self.row.folded_seq)
        handling.is_started = is_started

    def _start(self, handling: Handling) -> None:
        self._take_up(handling)
        self.loop.now = handling.at / 1e6
        args, kwargs = arguments_of(handling.message, handling.letter, handling.handler)
        self.definition.enter(self._actor, handling.letter.sender)
        work = handling.handler.fn(self._actor, *args, **kwargs)
        self._main = self.loop.start_main(work, Context(), path=f"{handling.message.number}")
        self.settle()

    @override
    def _rouse(self) -> None:
        """Write down that the message has begun, before anything that it causes."""
        handling = self.handling
        if handling is None or (handling.is_begun and self.row.resident):
            return
        self.journal.is_asleep = False
        if not handling.is_begun:
            handling.is_begun = True
            initial = self._state if self.row.output is None else None
            name, body = handling.message.name, message_body(handling.message, initial)
            self.journal.append("message_begun", at=handling.at, name=name, body=body)
        self.summary.row = msgspec.structs.replace(self.row, resident=True, status="running")
        self.journal.transaction().summary = self.row

    @override
    def _deliver_of_actor(self, record: Record) -> None:
        if record.seq <= self.row.folded_seq or self.handling is None:
            return  # of a message that is over: whoever came in waits for his turn again
        if record.kind == "message_nested":
            self.reentrancy.deliver(record, self.handling.letter.sender)
        elif record.kind == "message_begun":
            self._message_is_safe(self.handling)

    def _message_is_safe(self, handling: Handling) -> None:
        handling.is_safe = True
        if not handling.is_started:
            self._handle_safely(handling)

    @property
    @override
    def keeps_after_end(self) -> bool:
        return False

    @property
    @override
    def is_summarised(self) -> bool:
        return self.handling is not None and self.handling.is_begun

    @property
    @override
    def holds_steps(self) -> bool:
        return self.handling is None or not self.handling.is_safe

    # ------------------------------------------------------------------ how it ended
    @override
    def _swallows(self, reason: str) -> None:
        """The message fails, its code is dropped, and the actor goes on."""
        self._unwound(unwind)
        if self.handling is not None:
            self.handling.error = error = UsageError(reason)
            if self.state == "live":
                self._failed(self.handling, error)

    @override
    def _went_live(self) -> None:
        self.reentrancy.answer_ended()
        if self.handling is not None and self.handling.error is not None:
            self._failed(self.handling, self.handling.error)
        elif self.handling is not None and not self.row.resident:
            self.summary.write("running")  # it had left memory in the midst of the message

    @override
    def _main_ended(self, main: RunTask[object]) -> None:
        handling, self._main = self.handling, None
        if handling is None:
            return
        was_cancelled = asyncio.CancelledError("raised by the handler")
        error = was_cancelled if main.cancelled() else main.exception()
        raise_refusal(error)
        if error is None:
            try:
                data = handling.handler.signature.returns.stored(main.result())
                state = self.definition.state.encode(self.definition.state_of(self._actor))
            except EncodingError as unfit:
                error = unfit
            else:
                self._state, self._has_ended_well = state, True
                self._end(handling, VALUE + data)
                return
        self._failed(handling, error)

    def _end(self, handling: Handling, outcome: bytes) -> None:
        """Commit the end of a message: state, mailbox, what was sent, and then the answer."""
        self.ends.forget_attempts(handling.message)
        transaction = self.ends.taken(handling.message)
        if handling.outbox is not None:
            sent = handling.outbox.grant(transaction, self.membership, self.host.world.now())
            self._stop_reason = handling.outbox.stop_reason
            self._send_all(transaction, sent)
        self._close(transaction, handling, outcome)

    def _send_all(self, transaction: Transaction, sent: list[Message]) -> None:
        targets = {message.run: self._engine.actor_start(message.run) for message in sent}
        starts = [start for start in targets.values() if start is not None]
        transaction.starts = (*transaction.starts, *starts)
        transaction.posts = (*transaction.posts, *sent)

    def _failed(self, handling: Handling, error: BaseException) -> None:
        """Undo what the handler did; tell who asked, or try again, or give the message up."""
        message = handling.message
        handling.outbox, self._actor = None, self.instances.of(self._state)
        if message.kind == "ask":
            self._end(handling, failure_body(error))
            return
        why = f"{type(error).__name__}: {error}"[: limits.ERROR_CHARS_MAX]
        failed = self.ends.try_again(message)
        now, is_again = self.host.world.now(), failed > 1
        self.membership.fall(self.journal.transaction(), why, now, is_again=is_again)
        if failed < self.definition.attempts and not self.membership.is_dismissed:
            self._fold(self.journal.transaction())
            self._wait_again(message, handling.letter, is_first=True)
            return
        self.ends.forget_attempts(message)
        transaction = self.ends.give_up(message, "failed", why, attempts=failed)
        self._close(transaction, handling, failure_body(error))

    def _undo(self) -> Handling | None:
        """Let the message that is handled not have begun; return it."""
        handling = self.handling
        if handling is None:
            return None
        self._unwound(unwind)
        handling.outbox, self._actor = None, self.instances.of(self._state)
        self._fold(self.journal.transaction())
        return handling

    def _close(self, transaction: Transaction, handling: Handling, outcome: bytes) -> None:
        message = handling.message
        if handling.letter.reminder:
            self.membership.remind_again(transaction, handling.letter, self.host.world.now())
        self.ends.remember(transaction, message, outcome)
        if self.ends.unheard:
            self._send_all(transaction, self.ends.subscribe(transaction, self.id))
        self._fold(transaction)
        self._answer(transaction, message, outcome)
        self._message_ended()

    def _fold(self, transaction: Transaction) -> None:
        """Bring the row up to the end of a message: nothing before it is needed any more."""
        self.handling = None
        for nested in self.reentrancy.take_open() if self.definition.is_reentrant else ():
            self._wait_again(*nested, is_first=False)
        self.loop.timers.clear()
        if self.steps.pending:
            self.steps.forget_cancelled(all_of_them=True)
        self.calls.begin_anew()
        self.ends.forget_heartbeats(transaction, self.steps.heartbeats)
        row = self.summary.row
        if self.journal.packed_seq > row.folded_seq:
            transaction.folded = self.journal.last_seq
        self.journal.fold()
        seq = self.journal.last_seq
        tokens = self.calls.made_tokens
        if tokens is not None and tokens.by_key:
            transaction.withdrawn = (*transaction.withdrawn, *tokens.take_open())
        self.summary.row = row = msgspec.structs.replace(
            row,
            output=self._state if self._has_ended_well else None,
            last_seq=seq,
            packed_seq=seq,
            folded_seq=seq,
            started_at=self.summary.started_at,
            crash_count=0,
            is_alone=False,
            resident=False,
            status="waiting",
            wake_at=self._next_due(),
        )
        transaction.summary = row
        self.membership.write_down(transaction)

    def _done(self, message: Message, outcome: bytes) -> None:
        """A message that took no turn has had its end."""
        transaction = self.ends.taken(message)
        self.ends.remember(transaction, message, outcome)
        if self.ends.unheard and self.row.closed_at is None:
            self._send_all(transaction, self.ends.subscribe(transaction, self.id))
        self._answer(transaction, message, outcome)

    def _answer(self, transaction: Transaction, message: Message, outcome: bytes) -> None:
        self._answers.setdefault(id(transaction), []).append((message, outcome))

    @override
    def committed(self, transaction: Transaction, receipt: Receipt) -> None:
        answers = self._answers.pop(id(transaction), ())
        super().committed(transaction, receipt)
        for message, outcome in answers:
            self._engine.answered(message, outcome)
        if self.state == "live":
            self._rest()
