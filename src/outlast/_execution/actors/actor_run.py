"""An actor in memory: its messages one after another, each a short run on the run's own loop.

A message whose handler returns without waiting is one commit: the new state, the message gone
from the mailbox, what was sent, and, when that is durable, the answer. A handler that waits first
records that its message has begun; from then on it is replayed after a crash like a workflow.

The actor is put together of its parts, which do not know it: what waits (`mailbox`), the message
that is handled (`message_handling`), those that come back to it (`reentrancy`), its state
(`actor_memory`), its row (`actor_row`), how messages end (`actor_ends`), which is next (`turns`),
and what others may have it do (`orders`). Calls go down to them; what must come back is returned.

Invariants:
  * a step starts only when its message is recorded as begun, and with it all messages before;
  * an actor that is down keeps its messages.
"""

from __future__ import annotations

import hashlib
from contextvars import Context

from typing_extensions import override

from outlast._execution.actors.actor_ends import MessageEnds
from outlast._execution.actors.actor_memory import Activation, ActorState
from outlast._execution.actors.actor_reads import Readings
from outlast._execution.actors.actor_row import ActorRow
from outlast._execution.actors.handled_message import HandledMessage, Stage
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.actors.membership import MEMBER, Membership, member_ended
from outlast._execution.actors.message_handling import MessageHandling, Next
from outlast._execution.actors.orders import Orders, decide, interrupts
from outlast._execution.actors.reentrancy import Reentrancy
from outlast._execution.actors.turns import Turns
from outlast._execution.calls.host import ActorHost
from outlast._execution.calls.operations import ChildBody, decode_body
from outlast._execution.journal.message_dedup import MessageDedup
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.tasks import RunTask
from outlast._execution.runs.closing import unwind
from outlast._execution.runs.run import LiveRun, replay_from
from outlast._messages.actor_ids import key_in
from outlast._messages.letters import Letter, message_in
from outlast._messages.requests import DISCARD
from outlast._messages.system_messages import ORDERS
from outlast._records import Record, detach
from outlast._registry import ActorDefinition
from outlast._store.rows import Message
from outlast._store.transactions import Receipt, Transaction
from outlast.errors import UsageError

_BURST = 100  # messages handled in one turn of the host loop


class LiveActor(LiveRun):
    """An actor with something to do."""

    def __init__(self, host: ActorHost, activation: Activation) -> None:
        row, records, memory = activation.row, activation.records, activation.memory
        salt = int.from_bytes(row.digest[:7], "big")
        super().__init__(host, row, activation.lease, records, salt=salt, now=row.created_at)
        self.needs_attention = True
        self.loop.chance_seed = hashlib.sha256(row.digest).digest()
        self._engine = host
        self.definition: ActorDefinition = activation.definition
        key = key_in(row.id, self.definition.name)
        self.membership: Membership = memory.membership
        self.mail: Mailbox = Mailbox()
        self._memory = ActorState(row.id, key, self.definition, self.loop, row.output)
        self._row = ActorRow(self.journal, self.summary, self.mail)
        self.ends: MessageEnds = MessageEnds(
            host, self.journal, self.definition, memory, self.summary
        )
        self.steps.streams = self.ends.streams
        self.turns: Turns = Turns(
            host, row.id, self.definition, mail=self.mail, arrivals=self.arrivals, ends=self.ends
        )
        self.reentrancy: Reentrancy = Reentrancy(self.journal, self.loop, self._memory, self.ends)
        self.handling: MessageHandling = MessageHandling(
            self._memory, self.ends, self._row, self.mail, self.reentrancy, self.calls
        )
        self._readings = Readings(host.world, self.definition, key)
        self._is_called = False
        if records:
            _note_begun(records, self.journal, self.arrivals)
        else:
            self.journal.fold()

    # ------------------------------------------------------------------- life begins
    @override
    def begin(self) -> None:
        if self._memory.actor is not None or self.state != "replaying":
            return
        records = self.journal.records_to_replay()
        self._guarded(self._memory.load, records)
        if records and self.state == "replaying":
            self._guarded(self._begin_again, records[0])
        replay_from(self, records, 1)

    def _begin_again(self, record: Record) -> None:
        self._start_safe(self.handling.begun_before(record))

    @override
    def _went_live(self) -> None:
        if self.summary.started_at is None:
            self.summary.started_at = self.host.world.now()
        if self.handling.current is not None:
            self._go_on(self.handling.end_replay())
        if self.handling.current is not None and not self.row.resident:
            self.summary.write("running")  # it had left memory in the midst of the message
        if self.membership.watching:
            self.ends.watch_again()
        self._call()

    # --------------------------------------------------------------- messages arrive
    @override
    def accept(self, message: Message) -> None:
        if not self.turns.stays_unread(message):
            super().accept(message)

    def mail_was_read(self) -> None:
        """What is in the mailbox, or so much of it as it takes, has been accepted."""
        if self.state == "live":
            self._call()

    @override
    def _take(self, message: Message) -> None:
        if self.state != "live":
            return  # it stays in the mailbox
        match message.kind:
            case "tell" | "ask" | "notice" if message.name not in ORDERS:
                self._add(message)
            case "child_done" if message.name.startswith(MEMBER):
                self._add(member_ended(message))
            case "child_done":
                self.ends.taken(message)
                self.calls.children.ended(message.name, decode_body(message.body, ChildBody))
            case "resume" if message.name == DISCARD:
                self.ends.discards.append(message)
                self._call()
            case "tell" | "ask" | "notice" | "cancel" | "terminate" | "resume":
                self._obey(message)
            case "token":
                self.ends.taken(message)
                self.calls.tokens.answered(message)
            case "signal":
                # Sent by an engine that does not know its class: it was acknowledged.
                self.ends.give_up(message, "no_handler", "an actor takes no signals")
            case "update" | "pause":
                self.ends.taken(message)

    def _add(self, message: Message) -> None:
        handler = self.definition.handlers.get(message.name)
        is_read = handler is not None and handler.is_read
        may_read = message.at >= self.handling.wary_before or self.membership.is_down
        if handler is not None and is_read and may_read:
            self._readings.start(message, handler, self._memory.encoded, self)
        elif self.definition.lets_in and self.reentrancy.let_in(
            message, self.handling.current, self.host.world.now()
        ):
            return
        elif self.turns.admit(message, is_read=is_read):
            self._call()

    def read_ended(self, message: Message, outcome: bytes) -> None:
        """Take the outcome of a message whose handler only reads."""
        if self.state == "live":
            self._go_on(self.handling.end_read(message, outcome))

    # ------------------------------------------------------------- orders, and the end
    def _obey(self, message: Message) -> None:
        decision = decide(message, self.membership, supervises=self.definition.supervises)
        if interrupts(decision, self.membership) and (handled := self._undo()) is not None:
            self.mail.add_first(handled.message, handled.letter)
        self._go_on(self._orders().obey(message, decision))

    def _orders(self) -> Orders:
        return Orders(self.ends, self._memory, self._row, self.mail, self.handling)

    def _go_on(self, next_: Next) -> None:
        if next_.looks:
            self._call()
        elif next_.stop_reason is not None:
            self.terminate(next_.stop_reason)

    def _undo(self) -> HandledMessage | None:
        if self.handling.current is not None:
            self._unwound(unwind)
        return self.handling.undo()

    @override
    def terminate(self, reason: str) -> None:
        if self.state in ("ended", "left"):
            return
        self._orders().end_life(self._undo(), reason)
        self.leave()

    # -------------------------------------------------------------------- the next turn
    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            self.host.world.call_soon(self._work)

    def _work(self) -> None:
        self._is_called = False
        if self.state == "live":
            self._guarded(self._work_some)

    def _work_some(self) -> None:
        """Handle messages until one of them waits, or others should have a turn."""
        for _ in range(_BURST):
            is_free = self.handling.current is None and self.state == "live"
            waiting = self.turns.take() if is_free else None
            if waiting is None:
                break
            self._handle(*waiting)
        if self.state == "live":
            if self.ends.discards and self.is_idle:
                self.ends.drop_discards()
            self.rest()

    def rest(self) -> None:
        """Be called again when there is something to do; leave memory when there is not."""
        is_free, now = self.handling.current is None, self.host.world.now()
        if is_free and self.turns.has_turn(now):
            self._call()
        elif self.arrivals.read_to is not None and self.turns.wants_mail:
            if not self.arrivals.is_reading:
                self._engine.actor_reads_on(self.id)
        elif is_free and self.can_leave and self._row.rest():
            self._engine.actor_rests(self.id)
        if self.state == "live":
            self.turns.ring(now)
            if not self.clock.is_still:
                self._arm()

    @override
    def wake(self) -> None:
        # Either of its two timers has gone off: both are set anew, so that none is left behind.
        self.turns.rang()
        super().wake()
        self._call()

    # ------------------------------------------------------------------- one message
    def _handle(self, message: Message, letter: Letter) -> None:
        handled = self.handling.next_message(message, letter, not_before=self.journal.last_at)
        if handled is None:
            return
        if self.handling.wary_of:
            # It may have killed a process: write it down before its handler is called.
            self.handling.take_up(handled)
            self.handling.write_down()
            return
        self._start(handled)
        if self.handling.current is not None and self.state == "live":
            self.handling.write_down()
            if self.definition.lets_in:
                now = self.host.world.now()
                self.reentrancy.let_waiting_in(self.mail, self.handling.current, now)

    def _start_safe(self, handled: HandledMessage) -> None:
        """Call the handler of a message that is recorded as begun."""
        if handled.handler.is_read:
            self.handling.take_up(handled, is_started=True)
            self._readings.start(handled.message, handled.handler, self._memory.encoded, self)
        else:
            self._start(handled)

    def _start(self, handled: HandledMessage) -> None:
        self.loop.now = handled.at / 1e6
        self.calls.count_tokens_from(self.row.folded_seq)
        work, path = self.handling.call(handled), f"{handled.message.number}"
        self.main = self.loop.start_main(work, Context(), path=path)
        self.settle()

    @override
    def _rouse(self) -> None:
        self.handling.write_down()

    @override
    def _deliver_of_actor(self, record: Record) -> None:
        handled = self.handling.deliver(record)
        if handled is not None:
            self._start_safe(handled)

    @override
    def _swallows(self, reason: str) -> None:
        """The message fails, its code is dropped, and the actor goes on."""
        self._unwound(unwind)
        handled = self.handling.current
        if handled is not None:
            handled.error = error = UsageError(reason)
            if self.state == "live":
                self._go_on(self.handling.fail(handled, error))

    @override
    def _main_ended(self, main: RunTask[object]) -> None:
        handled, self.main = self.handling.current, None
        if handled is not None:
            self._go_on(self.handling.end(handled, main))

    @override
    def committed(self, transaction: Transaction, receipt: Receipt) -> None:
        if self.membership.watching:
            self.membership.note_taken(transaction, receipt)
        answers = self.ends.take_answers(transaction)
        super().committed(transaction, receipt)
        for message, outcome in answers:
            self._engine.answered(message, outcome)
        if self.state == "live":
            self.rest()

    # ------------------------------------------------------------------------ leaving
    @override
    def leave(self) -> None:
        self.turns.leave()
        super().leave()

    @override
    def _went_on_ending(self) -> None:
        return

    @property
    @override
    def keeps_after_end(self) -> bool:
        return False

    @property
    @override
    def is_summarised(self) -> bool:
        handled = self.handling.current
        return handled is not None and handled.stage is not Stage.QUEUED

    @property
    @override
    def holds_steps(self) -> bool:
        handled = self.handling.current
        return handled is None or handled.stage is not Stage.SAFE

    @property
    def is_idle(self) -> bool:
        """Whether nothing is handled, and nothing waits to be that may."""
        return self.handling.current is None and self.turns.are_over

    @property
    @override
    def can_leave(self) -> bool:
        # In the midst of a message it may leave too: what waits behind is in the mailbox.
        if self._is_called or self._readings.at_work or not super().can_leave:
            return False
        handled = self.handling.current
        if handled is not None:
            return handled.stage is Stage.SAFE and handled.is_started
        return self.turns.are_over


def _note_begun(records: list[Record], journal: RunJournal, arrivals: MessageDedup) -> None:
    """Take note of what an earlier life left of a message that it had begun."""
    found = (detach(record.body)[1] for record in records)
    journal.blobs.update((blob.digest, None) for blob in found if blob is not None)
    for record in records:
        if record.kind in ("message_begun", "message_nested"):
            # It is in the mailbox still, and will be read from there too.
            arrivals.is_new(message_in(record).number)
