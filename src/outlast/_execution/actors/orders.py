"""Orders to an actor: of its supervisor, of actors that watch it, and of people.

What follows from an order is decided first (`decide`), from the place in a team alone; then it is
carried out (`Orders`).

Invariants:
  * an order is obeyed when it arrives, whatever is being handled; what it changes and its leaving
    the mailbox are one commit, and so is what a supervisor or a watcher is told;
  * only the supervisor that an actor has its place from holds it or has it leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

import msgspec

from outlast._execution.actors.actor_ends import MessageEnds
from outlast._execution.actors.actor_memory import ActorState
from outlast._execution.actors.actor_row import ActorRow
from outlast._execution.actors.handled_message import HandledMessage
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.actors.membership import Membership, goodbye, notice
from outlast._execution.actors.message_handling import LOOK, STAY, MessageHandling, Next
from outlast._execution.calls.operations import failure_body
from outlast._messages.letters import Letter, decode_letter, encode_letter
from outlast._messages.system_messages import (
    DONE_WELL,
    NO_ARGUMENTS,
    ORDERS,
    STARTED,
    Assignment,
    Hold,
    Join,
    Leave,
    Order,
    WatchOver,
    decode_order,
)
from outlast._records import VALUE
from outlast._store.rows import Message
from outlast.errors import ActorStopped, UsageError
from outlast.types import Status


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Say that the order was obeyed; `place` is taken with that."""

    place: Assignment | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say why the order is not obeyed."""

    why: str


@dataclass(frozen=True, slots=True)
class BeginLife:
    """Let the class hear that the actor was started; `place` is taken with that.

    `is_new`: this life was not begun before. `is_reset`: it begins with a first state.
    """

    place: Assignment | None = None
    is_new: bool = False
    is_reset: bool = False


@dataclass(frozen=True, slots=True)
class StandStill:
    """Handle no message until told to go on; without a place, the order is not for this actor."""

    place: Assignment | None = None


@dataclass(frozen=True, slots=True)
class LeaveTeam:
    """Give the place up, and stop for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fall:
    """Stop, to be started again by the supervisor."""

    why: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class HaveHandled:
    """Pass it to a handler of the supervisor; `is_first`: before all other messages."""

    handler: str
    is_first: bool


@dataclass(frozen=True, slots=True)
class AskToResume:
    """Tell the supervisor that a person wants the actor to go on."""


Decision: TypeAlias = (
    Acknowledge
    | Refuse
    | BeginLife
    | StandStill
    | LeaveTeam
    | WatchOver
    | Fall
    | Stop
    | HaveHandled
    | AskToResume
)


def decide(message: Message, membership: Membership, *, supervises: bool) -> Decision:
    """Return what an actor does on an order, or on a request to stop or to go on."""
    if message.name in ORDERS:
        letter = decode_letter(message.body)
        return _decide_order(decode_order(letter.args), membership, message, letter.sender)
    if message.kind == "resume":
        return HaveHandled("resume", is_first=False) if supervises else AskToResume()
    if supervises:
        # What it is at is ended first: half a restart would leave members in lives that it
        # knows nothing of.
        return HaveHandled("stop_all", is_first=True)
    if membership.is_kept:
        return Fall(f"it was stopped: {message.name}" if message.name else "it was stopped")
    return Stop(message.name)


def _decide_order(order: Order, membership: Membership, message: Message, sender: str) -> Decision:
    place = membership.place
    is_ours = place is not None and place.is_led_by(sender)
    match order:
        case Join():
            return _decide_join(order, place, message)
        case Hold():
            if place is None or order.life < place.life or not is_ours:
                return StandStill()
            return StandStill(msgspec.structs.replace(place, down=order.down, why=order.why))
        case Leave(reason):
            # Another team never had it.
            return LeaveTeam(reason) if is_ours else Acknowledge()
        case WatchOver():
            return order
        case _:
            assert_never(order)


def _decide_join(order: Join, known: Assignment | None, message: Message) -> Decision:
    place = order.place
    if not place.supervisor:
        return BeginLife()  # it is only to be there again
    if known is not None and known.supervisor != place.supervisor:
        return Refuse(f"{message.run} has a place in another team: {known.supervisor}")
    if known is None or known.life < place.life:
        place = msgspec.structs.replace(place, by=message.number)
        return BeginLife(place, is_new=True, is_reset=order.reset)
    is_same_life = known.life == place.life
    taken = msgspec.structs.replace(known, restart=place.restart) if is_same_life else None
    # A crash may have come before the life had begun.
    return BeginLife(taken) if known.by == message.number else Acknowledge(taken)


def interrupts(decision: Decision, membership: Membership) -> bool:
    """Whether the message that is handled is undone first, and waits for its turn again."""
    match decision:
        case StandStill(place):
            return place is not None
        case BeginLife():
            return decision.is_new and membership.place is not None
        case _:
            return isinstance(decision, Fall)


class Orders:
    """Carries out what was decided, for one actor."""

    def __init__(
        self,
        ends: MessageEnds,
        state: ActorState,
        row: ActorRow,
        mail: Mailbox,
        handling: MessageHandling,
    ) -> None:
        self._ends = ends
        self._state = state
        self._row = row
        self._mail = mail
        self._handling = handling
        self._membership: Membership = ends.memory.membership

    def obey(self, message: Message, decision: Decision) -> Next:
        """Carry out a decision; the message that it interrupts has been undone."""
        ends, membership = self._ends, self._membership
        match decision:
            case BeginLife():
                self._begin_life(message, decision)
            case StandStill(place):
                self._acknowledge(message, place)
            case HaveHandled():
                self._have_handled(message, decision)
            case Fall(why):
                membership.fall(ends.taken(message), why, ends.now())
            case Stop(reason):
                ends.taken(message)
                return Next(stop_reason=reason)
            case LeaveTeam(reason):
                membership.take_place(ends.transaction(), None)
                self._acknowledge(message)
                return Next(stop_reason=reason)
            case _:
                self._reply(message, decision)
                return STAY
        return LOOK

    def _reply(
        self, message: Message, decision: Acknowledge | Refuse | WatchOver | AskToResume
    ) -> None:
        match decision:
            case Acknowledge(place):
                self._acknowledge(message, place)
            case Refuse(why):
                self._ends.done(message, failure_body(UsageError(why)))
            case WatchOver():
                self._note_watch(message, decision)
                self._acknowledge(message)
            case AskToResume():
                now = self._ends.now()
                self._membership.ask_to_resume(self._ends.taken(message), now)
            case _:
                assert_never(decision)

    def _acknowledge(self, message: Message, place: Assignment | None = None) -> None:
        if place is not None:
            self._membership.take_place(self._ends.transaction(), place)
        self._ends.done(message, VALUE + DONE_WELL)

    def _begin_life(self, message: Message, decision: BeginLife) -> None:
        """Let the class hear that it was started, before it gets any message."""
        ends, membership = self._ends, self._membership
        if decision.place is not None:
            membership.take_place(ends.transaction(), decision.place)
        if decision.is_new:
            ends.subscribe_again(ends.transaction())
        if decision.is_reset:
            self._state.reset()
        self._row.open()
        if self._handling.current is None:
            self._handling.fold(ends.transaction())  # its row says that it is open
        if STARTED not in self._state.definition.handlers or membership.is_down:
            ends.done(message, VALUE + DONE_WELL)
            return
        place = membership.place
        life = "" if place is None else f"{place.life}"
        letter = decode_letter(message.body)
        letter = msgspec.structs.replace(letter, args=NO_ARGUMENTS, token=life)
        body = encode_letter(letter)
        started = msgspec.structs.replace(message, name=STARTED, body=body)
        self._mail.add_before_all(started, letter)

    def _have_handled(self, message: Message, decision: HaveHandled) -> None:
        if decision.is_first:
            letter = Letter(args=NO_ARGUMENTS)
            body = encode_letter(letter)
            asked = msgspec.structs.replace(
                message, kind="notice", name=decision.handler, body=body
            )
            self._mail.add_before_all(asked, letter)
            return
        now = self._ends.now()
        told = notice(message.run, decision.handler, {"member": ""}, sender="", at=now)
        told = msgspec.structs.replace(told, number=message.number)
        self._mail.add(told, decode_letter(told.body), now)

    def _note_watch(self, message: Message, order: WatchOver) -> None:
        transaction = self._ends.transaction()
        watcher, watch = order.watcher, order.watch
        if not self._row.is_closed:
            self._membership.note_watched(transaction, watcher, watch)
        elif watch is not None:
            now, why = self._ends.now(), "it had stopped before"
            told = goodbye(watcher, watch, message.run, why, now)
            transaction.also.posts += (told,)

    def end_life(self, undone: HandledMessage | None, reason: str) -> None:
        """Stop for good, and notify the supervisor and the watchers; `undone` was being handled."""
        ends, membership = self._ends, self._membership
        transaction = ends.transaction()
        has_failed = membership.is_dismissed
        self._handling.fold(transaction)
        closed_at = ends.now()
        of_life = self._mail.of_life()
        if undone is not None and undone.letter.token:
            of_life.append(undone.message)
        for message in of_life:
            error = ActorStopped(f"{message.run} has stopped before that")
            ends.done(message, failure_body(error))
        membership.close(transaction, reason, closed_at, has_failed=has_failed)
        status: Status = "failed" if has_failed else "completed"
        self._row.close(transaction, status, closed_at, reason)
