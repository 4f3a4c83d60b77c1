"""An actor among others: it obeys its supervisor, tells who watches it, and stops.

Invariants:
  * an order is obeyed when it arrives, whatever is being handled; what it changes and its leaving
    the mailbox are one commit, and so is what a supervisor or a watcher is told;
  * an actor that is down keeps its messages.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import assert_never

import msgspec
from typing_extensions import override

from outlast._execution.actors.actor_memory import Activation
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.actors.membership import Membership, Watch, notice
from outlast._execution.actors.message_run import Handling, MessageRun
from outlast._execution.actors.system_messages import (
    DONE_WELL,
    NO_ARGUMENTS,
    STARTED,
    Hold,
    Join,
    Leave,
    WatchOver,
    decode_order,
    order_message,
)
from outlast._execution.calls.host import ActorHost
from outlast._execution.calls.operations import failure_body
from outlast._execution.journal.letters import Letter, decode_letter, encode_letter, subscriptions
from outlast._records import VALUE
from outlast._store.contract import JOIN, Message, Receipt, Transaction
from outlast.errors import ActorStopped, UsageError
from outlast.types import Status


class MemberRun(MessageRun):
    """An actor's messages, and what others may have it do."""

    def __init__(self, host: ActorHost, activation: Activation) -> None:
        super().__init__(host, activation)
        self.mail: Mailbox = Mailbox()

    @override
    def _wait_again(self, message: Message, letter: Letter, *, is_first: bool) -> None:
        if is_first:
            self.mail.add_first(message, letter)
        else:
            self.mail.add(message, letter, self.host.world.now())
        self._call()

    @abstractmethod
    def _call(self) -> None:
        """Look at the mail soon."""

    # ------------------------------------------------------------------------- orders
    def _obey(self, message: Message, letter: Letter) -> None:
        order = decode_order(letter.args)
        match order:
            case Join():
                self._join(message, letter, order)
            case Hold():
                self._hold(message, letter, order)
            case Leave(reason):
                self._leave_team(message, letter, reason)
            case WatchOver(watcher, watch):
                self._note_watch(watcher, watch)
                self._done(message, VALUE + DONE_WELL)
            case _:
                assert_never(order)

    def _join(self, message: Message, letter: Letter, order: Join) -> None:
        place, known = order.place, self.membership.place
        if not place.supervisor:
            self._begin_life(message, letter)  # it is only to be there again
            return
        if known is not None and known.supervisor != place.supervisor:
            why = f"{self.id} has a place in another team: {known.supervisor}"
            self._done(message, failure_body(UsageError(why)))
            return
        transaction = self.journal.transaction()
        if known is not None and known.life >= place.life:
            if known.life == place.life:
                self.membership.take_place(
                    transaction, msgspec.structs.replace(known, restart=place.restart)
                )
            if known.by == message.number:
                self._begin_life(message, letter)  # a crash came before it had begun
            else:
                self._done(message, VALUE + DONE_WELL)
            return
        if known is not None:
            self._interrupt()
        self.membership.take_place(transaction, msgspec.structs.replace(place, by=message.number))
        if self.row.output is not None or self.ends.memory.heard is not None:
            # It may have been stopped, and its topics have forgotten it.
            self._send_all(
                transaction, subscriptions(self.id, self.definition, self.host.world.now())
            )
        if order.reset:
            self._state = self.instances.initial()
            self._actor = self.instances.of(self._state)
        self._begin_life(message, letter)

    def _begin_life(self, message: Message, letter: Letter) -> None:
        """Let the class hear that it was started, before it gets any message."""
        self.summary.row = msgspec.structs.replace(self.row, closed_at=None, error=None)
        if self.handling is None:
            self._fold(self.journal.transaction())  # its row says that it is open
        if STARTED not in self.definition.handlers or self.membership.is_down:
            self._done(message, VALUE + DONE_WELL)
        else:
            place = self.membership.place
            life = "" if place is None else f"{place.life}"
            letter = msgspec.structs.replace(letter, args=NO_ARGUMENTS, token=life)
            body = encode_letter(letter)
            started = msgspec.structs.replace(message, name=STARTED, body=body)
            self.mail.add_before_all(started, letter)
        self._call()

    @override
    def _failed(self, handling: Handling, error: BaseException) -> None:
        letter = handling.letter
        if handling.message.name == STARTED and letter.token and not letter.reminder:
            # Nothing is handled in a life that has not begun; its supervisor has the error.
            place = self.membership.place
            if place is not None:
                held = msgspec.structs.replace(place, down="held", why=f"{STARTED} has failed")
                self.membership.take_place(self.journal.transaction(), held)
        super()._failed(handling, error)

    def _note_watch(self, watcher: str, watch: Watch | None) -> None:
        transaction = self.journal.transaction()
        if self.row.closed_at is None:
            self.membership.note_watched(transaction, watcher, watch)
        elif watch is not None:
            now = self.host.world.now()
            told = Membership.goodbye(watcher, watch, self.id, "it had stopped before", now)
            transaction.posts = (*transaction.posts, told)

    def _hold(self, message: Message, letter: Letter, order: Hold) -> None:
        place = self.membership.place
        is_meant = place is not None and place.supervisor == letter.sender
        if place is not None and is_meant and order.life >= place.life:
            self._interrupt()
            held = msgspec.structs.replace(place, down=order.down, why=order.why)
            self.membership.take_place(self.journal.transaction(), held)
        self._done(message, VALUE + DONE_WELL)
        self._call()

    def _leave_team(self, message: Message, letter: Letter, reason: str) -> None:
        place = self.membership.place
        if place is None or place.supervisor != letter.sender:
            self._done(message, VALUE + DONE_WELL)  # another team never had it
            return
        self.membership.take_place(self.journal.transaction(), None)
        self._done(message, VALUE + DONE_WELL)
        self.terminate(reason)

    def _interrupt(self) -> None:
        """Let the message that is handled wait again, before all others."""
        handling = self._undo()
        if handling is not None:
            self._wait_again(handling.message, handling.letter, is_first=True)

    # ----------------------------------------------------------------------- stopping
    def stop(self, reason: str) -> None:
        """Stop for good when the message that is handled has ended."""
        self.outbox.stop_reason = reason

    def _asked_to_resume(self, message: Message) -> None:
        """A person wants it to go on: that is its supervisor's to do, and a supervisor's."""
        now = self.host.world.now()
        if self.definition.supervises:
            told = notice(self.id, "resume", {"member": ""}, sender="", at=now)
            told = msgspec.structs.replace(told, number=message.number)
            self.mail.add(told, decode_letter(told.body), now)
            self._call()
        else:
            self.membership.ask_to_resume(self.ends.taken(message), now)

    def _asked_to_stop(self, message: Message) -> None:
        """Somebody outside wants it to stop."""
        if self.definition.supervises:
            # What it is at is ended first: half a restart would leave members in lives that it
            # knows nothing of.
            letter = Letter(args=NO_ARGUMENTS)
            body = encode_letter(letter)
            asked = msgspec.structs.replace(message, kind="notice", name="stop_all", body=body)
            self.mail.add_before_all(asked, letter)
            self._call()
        elif self.membership.is_kept:
            transaction = self.ends.taken(message)
            self._interrupt()
            why = f"it was stopped: {message.name}" if message.name else "it was stopped"
            self.membership.fall(transaction, why, self.host.world.now())
            self._call()
        else:
            self.ends.taken(message)
            self.terminate(message.name)

    @override
    def terminate(self, reason: str) -> None:
        if self.state in ("ended", "left"):
            return
        handling = self._undo()
        transaction = self.journal.transaction()
        has_failed = self.membership.is_dismissed
        self._fold(transaction)
        closed_at = self.host.world.now()
        of_life = self.mail.of_life()
        if handling is not None and handling.letter.token:
            of_life.append(handling.message)
        for message in of_life:
            self._done(message, failure_body(ActorStopped(f"{self.id} has stopped before that")))
        self.membership.close(transaction, reason, closed_at, has_failed=has_failed)
        status: Status = "failed" if has_failed else "completed"
        transaction.summary = self.summary.row = msgspec.structs.replace(
            self.row, status=status, closed_at=closed_at, error=reason or None, wake_at=None
        )
        self.leave()

    # ----------------------------------------------------------------------- watching
    @override
    def _went_live(self) -> None:
        if self.summary.started_at is None:
            self.summary.started_at = self.host.world.now()
        super()._went_live()
        for target, watch in self.membership.watching.items():
            # Whether this was taken is not known, after a crash: asking again changes nothing.
            asked = order_message(
                target, WatchOver(self.id, watch), sender=self.id, at=self.host.world.now()
            )
            transaction = self.journal.transaction()
            transaction.posts = (*transaction.posts, asked)
        self._call()

    @override
    def committed(self, transaction: Transaction, receipt: Receipt) -> None:
        if self.membership.watching:
            self._note_taken(transaction, receipt)
        super().committed(transaction, receipt)

    def _note_taken(self, transaction: Transaction, receipt: Receipt) -> None:
        for message, result in zip(transaction.posts, receipt.posts, strict=True):
            is_taken = message.name == JOIN and result == "accepted"
            if is_taken and self.membership.watching.pop(message.run, None) is not None:
                self.membership.taken.append(message.run)
