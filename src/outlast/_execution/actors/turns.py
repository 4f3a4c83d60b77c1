"""Which of its messages an actor handles next, and when it is called for that.

What waits is in the store's mailbox. So much of it as the actor takes at once is here (`mailbox`);
the rest is read when that has been handled.

Invariant: an actor that is down, or tries a message again later, keeps its messages.
"""

from __future__ import annotations

from outlast import limits
from outlast._execution.actors.actor_ends import MessageEnds
from outlast._execution.actors.mailbox import Mailbox, Waiting
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.host import RunHost
from outlast._execution.journal.message_dedup import MessageDedup
from outlast._messages.letters import decode_letter
from outlast._messages.system_messages import ORDERS
from outlast._registry import ActorDefinition
from outlast._store.rows import Message
from outlast._world import Timer
from outlast.types import RunId


class Turns:
    """The queue before one actor's handlers."""

    __slots__ = (
        "_alarm",
        "_arrivals",
        "_definition",
        "_ends",
        "_host",
        "_mail",
        "_membership",
        "_run",
        "has_left_mail",
    )

    def __init__(
        self,
        host: RunHost,
        run: RunId,
        definition: ActorDefinition,
        *,
        mail: Mailbox,
        arrivals: MessageDedup,
        ends: MessageEnds,
    ) -> None:
        self._host = host
        self._run = run
        self._definition = definition
        self._mail = mail
        self._arrivals = arrivals
        self._ends = ends
        self._membership: Membership = ends.memory.membership
        self._alarm: tuple[int, Timer] | None = None
        self.has_left_mail: bool = False  # whether messages waited when the actor left memory

    # --------------------------------------------------------------- messages arrive
    @property
    def read_max(self) -> int | None:
        """How much of the store's mailbox is read at once, None for all."""
        # Those that give messages up when there are too many look at all of them, and so do those
        # that wait for the order to go on.
        is_bounded = self._definition.overflow in ("reject", "block")
        return limits.ACTOR_MAIL_MAX if is_bounded and not self._membership.is_down else None

    @property
    def wants_mail(self) -> bool:
        """Whether the actor can take more of what is in the store's mailbox."""
        is_read = self._arrivals.read_to is None
        return is_read or not self._mail.ready or self._membership.is_down

    def stays_unread(self, message: Message) -> bool:
        """Whether a message stays in the store's mailbox for now, as those behind it do."""
        if message.kind not in ("tell", "ask") or not message.number or message.name in ORDERS:
            return False
        arrivals, mail = self._arrivals, self._mail
        if arrivals.read_to is None:
            count = len(mail.ready) + len(mail.delayed)
            if count < limits.ACTOR_MAIL_MAX or self.read_max is None:
                return False
            arrivals.read_to = message.number - 1
        return arrivals.must_wait(message.number)

    def admit(self, message: Message, *, is_read: bool) -> bool:
        """Let a message wait for its turn; return False if it is given up instead."""
        overflow = None if is_read else self._mail.overflow(message, self._definition)
        if overflow is not None:
            self._ends.give_up_unhandled(overflow.message, overflow.reason, overflow.why)
            if overflow.message is message:
                return False
        self._mail.add(message, decode_letter(message.body), self._host.world.now())
        return True

    # ------------------------------------------------------------------ the next turn
    def take(self) -> Waiting | None:
        """Return the message that is handled next, None if none may be now."""
        if not (self._mail.ready or self._mail.delayed):
            return None
        now = self._host.world.now()
        return self._mail.take(now) if self._may_take(now) else None

    def has_turn(self, now: int) -> bool:
        """Whether there is a message that may be handled by `now`."""
        mail = self._mail
        if not (mail.ready or mail.delayed):
            return False
        return (mail.ready != [] or mail.delayed[0][0] <= now) and self._may_take(now)

    def _may_take(self, now: int) -> bool:
        return not self._membership.is_down and self._ends.held_until(now) is None

    @property
    def are_over(self) -> bool:
        """Whether there is no message to be handled, nor one to be read."""
        has_mail = self._mail.ready and not self._membership.is_down
        return not has_mail and self._arrivals.read_to is None

    def ring(self, now: int) -> None:
        """Have the actor woken when the next delayed message, or another attempt, is due.

        What is due by `now` is not rung for: it has its turn (`has_turn`) as soon as the actor is
        free. Both must be told the same time, or what becomes due in between is forgotten.
        """
        mail, is_set = self._mail, self._alarm is not None
        if mail.delayed or is_set or self._ends.memory.attempts is not None:
            times = [mail.next_due(), self._ends.held_until(now)]
            self._ring_at(min((at for at in times if at and at > now), default=None))

    def rang(self) -> None:
        """The actor was woken: whatever for, the time is set anew when it comes to rest."""
        self._ring_at(None)

    def _ring_at(self, at: int | None) -> None:
        if self._alarm is not None:
            if self._alarm[0] == at:
                return
            self._alarm[1].cancel()
            self._alarm = None
        if at is not None:
            self._alarm = (at, self._host.call_at(self._run, at))

    def leave(self) -> None:
        """Forget what waits: the store's mailbox has it."""
        if self._alarm is not None:
            self._ring_at(None)
        self.has_left_mail = self._mail.clear()
