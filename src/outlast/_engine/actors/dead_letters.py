"""Dead letters: messages that could not be delivered, sent again or deleted."""

from __future__ import annotations

from collections.abc import Sequence

from outlast._engine.scheduling.scheduler import Scheduler
from outlast._messages.letters import as_new, decode_letter, encode_letter
from outlast._messages.updates import update_message
from outlast._store.decisions import MAIL_KINDS
from outlast._store.rows import DeadLetter, Message, MessageKind
from outlast._store.transactions import Effects, Receipt, Transaction
from outlast.errors import (
    ActorStopped,
    DeadLetterNotFound,
    RunClosed,
    StoreDamaged,
    UsageError,
)


class DeadLetters:
    """The dead letters of one engine's store."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._world = scheduler.world
        self._store = scheduler.store

    async def redrive(self, number: int) -> None:
        """Send a dead letter again, as a new message to the same actor or run.

        Asked at the same moment by several, it is sent once.

        Raises:
            DeadLetterNotFound: there is no dead letter of this number.
            MailboxFull, ActorStopped, RunClosed: it stays a dead letter.
            UsageError: it is a request that an earlier version has kept; it stays one too.
        """
        letter = _checked(await self._store.read_dead(None, number - 1, 1), number)
        message = _sent_again(letter, self._world.now())
        transaction = Transaction(
            None, letter.run, [], Effects(posts=(message,), redriven=(number,))
        )

        def made(receipt: Receipt) -> None:
            if receipt.posts[0] == "accepted":
                self._scheduler.deliver(message, receipt.numbers[0])

        receipt = await self._scheduler.writer.commit(transaction, made)
        if receipt.posts[0] == "duplicate":
            raise DeadLetterNotFound(f"{number}")  # somebody else was first
        if receipt.posts[0] != "accepted":
            if letter.kind in ("signal", "update"):
                row = await self._store.read_run(letter.run)
                raise RunClosed(letter.run, "closed" if row is None else row.status)
            raise ActorStopped(f"{letter.run} has stopped: dead letter {number} stays where it is")

    async def discard(self, number: int) -> None:
        """Delete a dead letter.

        Raises:
            DeadLetterNotFound: there is no dead letter of this number.
        """
        found = await self._store.read_dead(None, number - 1, 1)
        if not found or found[0].number != number:
            raise DeadLetterNotFound(f"{number}")
        effects = Effects(redriven=(number,))  # nothing is posted in its place
        await self._scheduler.writer.commit(Transaction(None, found[0].run, [], effects))


def _checked(found: Sequence[DeadLetter], number: int) -> DeadLetter:
    """Return the dead letter of this number, which can be sent again.

    Raises:
        DeadLetterNotFound, StoreDamaged, UsageError
    """
    if not found or found[0].number != number:
        raise DeadLetterNotFound(f"{number}")
    letter = found[0]
    if letter.reason == "damaged":
        raise StoreDamaged(letter.error)
    if letter.kind not in MAIL_KINDS:
        what = f"a {letter.kind} that {letter.run} did not see before it ended"
        raise UsageError(f"dead letter {number} is {what}: it is over, and not sent again")
    return letter


def _sent_again(letter: DeadLetter, now: int) -> Message:
    """Return a dead letter as a new message, under a dedup key of its own: the old one is known."""
    again = f"redrive-{letter.number}"
    if letter.kind == "update":
        return update_message(letter.run, letter.name, letter.body, again, at=now)
    is_signal = letter.kind == "signal"
    body = letter.body if is_signal else encode_letter(as_new(decode_letter(letter.body)))
    kind: MessageKind = "signal" if is_signal else "tell"
    return Message(run=letter.run, kind=kind, name=letter.name, body=body, dedup=again, at=now)
