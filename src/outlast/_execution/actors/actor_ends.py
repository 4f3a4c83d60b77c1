"""How messages to an actor end: taken, remembered, answered, tried again, given up.

Invariants:
  * a message leaves the mailbox in the transaction that says what became of it;
  * an answer is given only when that transaction is durable.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from outlast import limits
from outlast._execution.actors.actor_memory import (
    ATTEMPTS,
    TOPICS_HEARD,
    ActorMemory,
    ActorStreams,
    Attempts,
    encode_attempts,
    encode_heard,
    remembered,
    unheard,
)
from outlast._execution.actors.handled_message import HandledMessage
from outlast._execution.calls.host import ActorHost
from outlast._execution.calls.operations import failure_body
from outlast._execution.journal.view import RunJournal
from outlast._execution.runs.run_summary import RunSummary
from outlast._messages.letters import (
    Expired,
    Overflowed,
    decode_letter,
    subscriptions,
)
from outlast._messages.system_messages import watch_orders
from outlast._registry import ActorDefinition
from outlast._store.decisions import dead_letter
from outlast._store.rows import DONE, DeathReason, Message
from outlast._store.transactions import Transaction
from outlast._world import World
from outlast.errors import UsageError

log = logging.getLogger("outlast.actor")


class MessageEnds:
    """What one actor writes when messages end."""

    __slots__ = (
        "_answers",
        "_definition",
        "_host",
        "_journal",
        "_summary",
        "_unheard",
        "_world",
        "discards",
        "memory",
        "streams",
    )

    def __init__(
        self,
        host: ActorHost,
        journal: RunJournal,
        definition: ActorDefinition,
        memory: ActorMemory,
        summary: RunSummary,
    ) -> None:
        self._host = host
        self._world: World = host.world
        self._journal = journal
        self._definition = definition
        self._summary = summary
        self.memory: ActorMemory = memory
        self.streams: ActorStreams = ActorStreams(journal, memory)
        # Handlers that are to be subscribed to their topics.
        self._unheard: frozenset[str] = unheard(definition, memory, summary.row)
        # Requests to discard what cannot be read: in the mailbox until it is known what that is.
        self.discards: list[Message] = []
        # By the id of the transaction that must be durable first.
        self._answers: dict[int, list[tuple[Message, bytes]]] = {}

    def now(self) -> int:
        """Return the time at which something ends now."""
        return self._world.now()

    def transaction(self) -> Transaction:
        """Return the transaction that takes what is written next."""
        return self._journal.transaction()

    def taken(self, message: Message) -> Transaction:
        """Let a message leave the mailbox, with the transaction that is returned."""
        transaction = self._journal.transaction()
        if message.number:
            transaction.also.consumed += (message.number,)
        return transaction

    def done(self, message: Message, outcome: bytes) -> None:
        """A message that took no turn has had its end."""
        transaction = self.taken(message)
        if message.dedup:
            self._remember(transaction, message, outcome)
        if self._unheard and self._summary.row.closed_at is None:
            self._subscribe(transaction)
        self._answer(transaction, message, outcome)

    def close(self, transaction: Transaction, handled: HandledMessage, outcome: bytes) -> None:
        """Apply the outbox of a message that had its turn, and keep its outcome.

        The answer follows the commit.
        """
        message, outbox = handled.message, handled.made_outbox
        if outbox is not None:
            membership, now = self.memory.membership, self._world.now()
            self._send(transaction, outbox.grant(transaction, membership, now))
        if handled.letter.reminder:
            self.memory.membership.remind_again(transaction, handled.letter, self._world.now())
        if message.dedup:
            self._remember(transaction, message, outcome)
        if self._unheard:
            self._subscribe(transaction)
        self._answer(transaction, message, outcome)

    def _send(self, transaction: Transaction, sent: list[Message]) -> None:
        """Send messages with a transaction, which creates the actors that are not there yet."""
        targets = {message.run: self._host.actor_start(message.run) for message in sent}
        starts = [start for start in targets.values() if start is not None]
        transaction.also.starts += tuple(starts)
        transaction.also.posts += tuple(sent)

    def _subscribe(self, transaction: Transaction) -> None:
        """Subscribe the actor to the topics of its class, and keep that this was sent."""
        names, self._unheard = self._unheard, frozenset()
        self.memory.heard = heard = names | (self.memory.heard or frozenset())
        transaction.also.values += ((TOPICS_HEARD, encode_heard(heard)),)
        actor, now = transaction.run, self._world.now()
        self._send(transaction, subscriptions(actor, self._definition, now, only=names))

    def subscribe_again(self, transaction: Transaction) -> None:
        """Subscribe an actor that may have been stopped: its topics have forgotten it."""
        if self._summary.row.output is not None or self.memory.heard is not None:
            subscribing = subscriptions(transaction.run, self._definition, self._world.now())
            self._send(transaction, subscribing)

    def watch_again(self) -> None:
        """Send the orders to watch once more.

        Whether that was taken is not known, after a crash; asking again changes nothing.
        """
        transaction, watching = self.transaction(), self.memory.membership.watching
        asked = watch_orders(transaction.run, watching, self._world.now())
        transaction.also.posts += tuple(asked)

    def _remember(self, transaction: Transaction, message: Message, outcome: bytes) -> None:
        """Keep what came of a message with a dedup key; the oldest is forgotten for it."""
        outcomes = self.memory.outcomes
        outcomes[message.dedup] = outcome
        value = remembered(message.number, outcome)
        changes: list[tuple[str, bytes | None]] = [(DONE + message.dedup, value)]
        if len(outcomes) > limits.ACTOR_DEDUPS_MAX:
            oldest = next(iter(outcomes))
            del outcomes[oldest]
            changes.append((DONE + oldest, None))
        transaction.also.values += tuple(changes)

    # --------------------------------------------------------------------- answering
    def _answer(self, transaction: Transaction, message: Message, outcome: bytes) -> None:
        self._answers.setdefault(id(transaction), []).append((message, outcome))

    def take_answers(self, transaction: Transaction) -> Sequence[tuple[Message, bytes]]:
        """Return the messages, and their outcomes, of a transaction that has become durable."""
        return self._answers.pop(id(transaction), ())

    # --------------------------------------------------------------------- giving up
    def give_up(
        self, message: Message, reason: DeathReason, why: str, *, attempts: int = 0
    ) -> Transaction:
        """Make a message a dead letter."""
        log.info("a message to %s is a dead letter (%s): %s", message.run, reason, why)
        transaction = self.taken(message)
        now = self._world.now()
        letter = dead_letter(message, reason, at=now, error=why, attempts=attempts)
        transaction.also.dead += (letter,)
        return transaction

    def give_up_unhandled(self, message: Message, reason: DeathReason, why: str) -> None:
        """Make a message a dead letter before its handler began, and answer it."""
        transaction = self.give_up(message, reason, why)
        membership = self.memory.membership
        if membership.reminders:
            letter = decode_letter(message.body)
            membership.remind_again(transaction, letter, self._world.now())
        outcome = _error_of(reason, f"the message was given up: {why}")
        if message.dedup:
            self._remember(transaction, message, outcome)
        self._answer(transaction, message, outcome)

    def drop_discards(self) -> None:
        """Everything has been read: there is nothing to discard."""
        for message in self.discards:
            self.taken(message)
        self.discards.clear()

    def forget_heartbeats(self, transaction: Transaction, names: dict[str, None]) -> None:
        """A message has ended: its steps are abandoned."""
        gone = sorted({*names, *self.memory.heartbeats})
        if gone:
            transaction.also.values += (*((name, None) for name in gone),)
            names.clear()
            self.memory.heartbeats.clear()

    # ------------------------------------------------------------------ trying again
    def try_again(self, message: Message) -> int:
        """Plan another attempt at a message that failed; return how often it has failed now."""
        tried = self.memory.attempts
        is_same = tried is not None and tried.number == message.number
        failed = 1 + (tried.failed if tried is not None and is_same else 0)
        if failed < self._definition.attempts:
            pause = limits.ACTOR_RETRY_SECONDS * 2.0 ** min(failed - 1, 60)
            pause = min(pause, limits.ACTOR_RETRY_SECONDS_MAX)
            next_at = self._world.now() + int(pause * 1e6)
            self.memory.attempts = attempts = Attempts(message.number, failed, next_at)
            self._set(encode_attempts(attempts))
        return failed

    def forget_attempts(self, message: Message) -> None:
        """A message is over, which may have failed before."""
        tried = self.memory.attempts
        if tried is not None and tried.number == message.number:
            self.memory.attempts = None
            self._set(None)

    def held_until(self, now: int) -> int | None:
        """Return until when a message that failed keeps the others waiting, None: no longer."""
        tried = self.memory.attempts
        if tried is None or tried.next_at <= now:
            return None
        return tried.next_at

    def _set(self, attempts: bytes | None) -> None:
        transaction = self._journal.transaction()
        transaction.also.values += ((ATTEMPTS, attempts),)


def _error_of(reason: DeathReason, text: str) -> bytes:
    """Return what the caller of an ask that was given up gets, as it is kept."""
    if reason == "expired":
        return failure_body(Expired(text))
    return failure_body(Overflowed(text) if reason in ("overflow", "dropped") else UsageError(text))
