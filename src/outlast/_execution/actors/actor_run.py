"""An actor in memory: its messages one after another, each a short run on the run's own loop.

A message whose handler returns without waiting is one commit: the new state, the message gone
from the mailbox, what was sent, and, when that is durable, the answer. A handler that waits first
records that its message has begun; from then on it is replayed after a crash like a workflow.
"""

from __future__ import annotations

import msgspec
from typing_extensions import override

from outlast import limits
from outlast._execution.actors.actor_memory import Activation
from outlast._execution.actors.actor_reads import Readings
from outlast._execution.actors.member_run import MemberRun
from outlast._execution.actors.membership import MEMBER, member_ended
from outlast._execution.actors.message_run import Handling
from outlast._execution.actors.system_messages import ORDERS
from outlast._execution.calls.host import ActorHost
from outlast._execution.calls.operations import ChildBody, decode_body, failure_body
from outlast._execution.calls.unreadable import DISCARD
from outlast._execution.journal.letters import Expired, Letter, Overflowed, decode_letter
from outlast._execution.runs.run import replay_from
from outlast._store.contract import DeathReason, Message
from outlast._world import Timer
from outlast.errors import UsageError

_BURST = 100  # messages handled in one turn of the host loop


class LiveActor(MemberRun):
    """An actor with something to do."""

    def __init__(self, host: ActorHost, activation: Activation) -> None:
        super().__init__(host, activation)
        self._readings = Readings(host.world, self.definition, self.key, self._has_read)
        self._alarm: tuple[int, Timer] | None = None
        self._is_called = False
        self.left_mail: bool = False  # whether messages waited for it when it left memory
        self._discards: list[Message] = []  # requests to discard what it cannot read
        self._wary_of = 0  # so many messages are recorded as begun before their handlers run

    # ------------------------------------------------------------------- life begins
    @override
    def begin(self) -> None:
        if self._actor is not None or self.state != "replaying":
            return
        self._guarded(self._load)
        records = self.journal.records_to_replay()
        if records and self.state == "replaying":
            self._guarded(self._begin_again, records[0])
        replay_from(self, records, 1)

    def be_wary(self) -> None:
        """One of the next messages may have killed the process: leave a trace of each."""
        self._wary_of = limits.ACTOR_WARY_MESSAGES

    @override
    def _message_ended(self) -> None:
        self._wary_of = max(0, self._wary_of - 1)
        place = self.membership.place
        if place is not None and self.membership.is_dismissed:
            self.terminate(place.why)
        elif self._stop_reason is not None and self.membership.is_kept:
            reason, self._stop_reason = self._stop_reason, None
            self.membership.fall(self.journal.transaction(), reason, self.host.world.now())
            self._call()
        elif self._stop_reason is not None:
            self.terminate(self._stop_reason)
        else:
            self._call()

    @override
    def _next_due(self) -> int | None:
        return self.mail.next_due()

    # --------------------------------------------------------------- messages arrive
    @override
    def accept(self, message: Message) -> None:
        if message.kind in ("tell", "ask") and message.number and message.name not in ORDERS:
            arrivals, mail_max = self.arrivals, self.mail_max
            if arrivals.read_to is None and mail_max is not None and len(self.mail) >= mail_max:
                arrivals.read_to = message.number - 1
            if arrivals.must_wait(message.number):
                return
        super().accept(message)

    @property
    def mail_max(self) -> int | None:
        """How much of its mailbox is read at once, None for all."""
        # Those that give messages up when there are too many look at all of them, and so do those
        # that wait for the order to go on.
        is_bounded = self.definition.overflow in ("reject", "block")
        return limits.ACTOR_MAIL_MAX if is_bounded and not self.membership.is_down else None

    @property
    def wants_mail(self) -> bool:
        """Whether it can take more of what is in its mailbox."""
        return self.arrivals.read_to is None or not self.mail.ready or self.membership.is_down

    def mail_was_read(self) -> None:
        """What is in the mailbox, or so much of it as it takes, has been accepted."""
        if self.state == "live":
            self._call()

    @override
    def _take(self, message: Message) -> None:
        if self.state != "live":
            return  # it stays in the mailbox
        match message.kind:
            case "tell" | "ask" | "notice":
                self._add(message)
            case "child_done" if message.name.startswith(MEMBER):
                self._add(member_ended(message))
            case "child_done":
                self.ends.taken(message)
                self.calls.children.ended(message.name, decode_body(message.body, ChildBody))
            case "cancel" | "terminate":
                self._asked_to_stop(message)
            case "resume" if message.name == DISCARD:
                self._discards.append(message)  # it stays in the mailbox until that is known
                self._call()
            case "resume":
                self._asked_to_resume(message)
            case "token":
                self.ends.taken(message)
                self.calls.tokens.answered(message)
            case "signal" | "update" | "pause":
                self.ends.taken(message)

    def _add(self, message: Message) -> None:
        if message.name in ORDERS:
            self._obey(message, decode_letter(message.body))
            return
        handler = self.definition.handlers.get(message.name)
        is_read = handler is not None and handler.is_read
        if handler is not None and is_read and (not self._wary_of or self.membership.is_down):
            self._readings.start(message, handler, self._state)
            return
        if self.definition.is_reentrant and self._comes_back(decode_letter(message.body)):
            self.reentrancy.append(message, self.host.world.now())
            return
        is_full = not is_read and len(self.mail) >= self.definition.mailbox
        if is_full and self.definition.overflow == "dead_letter":
            self._give_up(message, "overflow", "the mailbox was full")
            return
        if is_full and self.definition.overflow == "drop_oldest":
            oldest = self.mail.take_oldest()
            if oldest is not None:
                self._give_up(oldest[0], "dropped", "the mailbox was full, and it was the oldest")
        self.mail.add(message, decode_letter(message.body), self.host.world.now())
        self._call()

    def _comes_back(self, letter: Letter) -> bool:
        """Whether a letter is from someone that the message which is handled waits for."""
        handling = self.handling
        return handling is not None and self.reentrancy.is_for(letter, handling.message.number)

    def _has_read(self, message: Message, outcome: bytes) -> None:
        if self.state == "live":
            if self.handling is not None and self.handling.message.number == message.number:
                self._close(self.ends.taken(message), self.handling, outcome)
            else:
                self._done(message, outcome)

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
            if self.handling is not None or self.state != "live":
                break
            if not (self.mail.ready or self.mail.delayed):
                break
            now = self.host.world.now()
            waiting = None if self._is_held(now) else self.mail.take(now)
            if waiting is None:
                break
            self._handle(*waiting, now)
        if self.state == "live":
            if self._discards and self.is_idle:
                self._forget_discards()
            self._rest()

    def _forget_discards(self) -> None:
        """It has read all that there is: there is nothing to discard."""
        for message in self._discards:
            self.ends.taken(message)
        self._discards.clear()

    def _is_held(self, now: int) -> bool:
        return self.membership.is_down or self.ends.held_until(now) is not None

    @override
    def _rest(self) -> None:
        """Be called again when there is something to do; leave memory when there is not."""
        now = self.host.world.now()
        held_until = self.ends.held_until(now)
        is_held = held_until is not None or self.membership.is_down
        if self.handling is None and self.mail.ready and not is_held:
            self._call()
        elif self.arrivals.read_to is not None and self.wants_mail:
            if not self.arrivals.is_reading:
                self._engine.actor_reads_on(self.id)
        elif self.is_idle and self.can_leave:
            self._leave_until_due()
        if self.mail.delayed or held_until is not None or self._alarm is not None:
            times = [self.mail.next_due(), held_until]
            self._set_alarm(min((at for at in times if at and at > now), default=None))
        if not self.clock.is_still:
            self._arm()

    def _leave_until_due(self) -> None:
        """Leave memory, once the row says when the first delayed message is due."""
        due = self.mail.next_due()
        seq = self.journal.last_seq
        row = self.summary.row
        if row.wake_at == due and row.last_seq == seq:
            self._engine.actor_rests(self.id)
            return
        # What a message left behind may have appended after its end: it counts for nothing.
        self.summary.row = row = msgspec.structs.replace(
            row, wake_at=due, resident=False, last_seq=seq, packed_seq=seq, folded_seq=seq
        )
        self.journal.transaction().summary = row

    def _set_alarm(self, at: int | None) -> None:
        if self._alarm is not None:
            if self._alarm[0] == at:
                return
            self._alarm[1].cancel()
            self._alarm = None
        if at is not None and self.state == "live":
            self._alarm = (at, self.host.call_at(self.id, at))

    @override
    def wake(self) -> None:
        # Either of its two timers has gone off: both are set anew, so that none is left behind.
        self._set_alarm(None)
        super().wake()
        self._call()

    # ------------------------------------------------------------------- one message
    def _handle(self, message: Message, letter: Letter, now: int) -> None:
        handler = self.definition.handlers.get(message.name)
        if self.membership.is_stale(letter):
            self.ends.taken(message)
        elif letter.deadline and letter.deadline <= now:
            self._give_up(message, "expired", "its deadline had passed before its turn came")
        elif handler is None:
            self._give_up(message, "no_handler", f"the actor has no handler {message.name!r}")
        else:
            handling = Handling(message, letter, handler, max(now, self.journal.last_at))
            if self._wary_of:
                # It may have killed a process: write it down before its handler is called.
                self._take_up(handling, is_started=False)
                self._rouse()
                return
            self._start(handling)
            if self.handling is not None and self.state == "live":
                self._rouse()
                self._let_back_in()

    def _let_back_in(self) -> None:
        """A message that begins anew may find those waiting that it let in before."""
        if self.definition.is_reentrant:
            for message in self.mail.take_if(self._comes_back):
                self.reentrancy.append(message, self.host.world.now())

    @override
    def _handle_safely(self, handling: Handling) -> None:
        if not handling.handler.is_read:
            self._start(handling)
            return
        self._take_up(handling)
        self._readings.start(handling.message, handling.handler, self._state)

    def _give_up(self, message: Message, reason: DeathReason, why: str) -> None:
        """Give a message up before its handler began."""
        gone = f"the message was given up: {why}"
        outcome = _error_of(reason, gone)
        transaction = self.ends.give_up(message, reason, why)
        if self.membership.reminders:
            letter = decode_letter(message.body)
            self.membership.remind_again(transaction, letter, self.host.world.now())
        self.ends.remember(transaction, message, outcome)
        self._answer(transaction, message, outcome)

    # ------------------------------------------------------------------------ leaving
    @override
    def leave(self) -> None:
        self._set_alarm(None)
        self.left_mail = len(self.mail) > 0
        self.mail.clear()
        super().leave()

    @override
    def _went_on_ending(self) -> None:
        return

    @property
    def is_idle(self) -> bool:
        """Whether nothing is handled, and nothing waits to be that may."""
        has_work = self.mail.ready and not self.membership.is_down
        has_mail = has_work or self.arrivals.read_to is not None
        return self.handling is None and not has_mail

    @property
    @override
    def can_leave(self) -> bool:
        # In the midst of a message it may leave too: what waits behind is in the mailbox.
        if self._is_called or self._readings.at_work or not super().can_leave:
            return False
        handling = self.handling
        is_waiting = handling is not None and handling.is_safe and handling.is_started
        return is_waiting or self.is_idle

    def put_to_rest(self) -> None:
        """Leave memory, if there is nothing to do; the row says when to come back."""
        self._rest()


def _error_of(reason: DeathReason, text: str) -> bytes:
    """Return what the caller of an ask that was given up gets, as it is kept."""
    if reason == "expired":
        return failure_body(Expired(text))
    return failure_body(Overflowed(text) if reason in ("overflow", "dropped") else UsageError(text))
