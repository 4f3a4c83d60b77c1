"""How messages to an actor end: taken, remembered, tried again, given up.

Invariant: a message leaves the mailbox in the transaction that says what became of it.
"""

from __future__ import annotations

import logging

from outlast import limits
from outlast._execution.actors.actor_memory import (
    ATTEMPTS,
    TOPICS_HEARD,
    ActorMemory,
    Attempts,
    encode_attempts,
    encode_heard,
    remembered,
)
from outlast._execution.journal.letters import subscriptions
from outlast._execution.journal.view import RunJournal
from outlast._registry import ActorDefinition
from outlast._store.contract import DONE, DeathReason, Message, Transaction
from outlast._store.decisions import dead_letter
from outlast._world import World
from outlast.types import RunId

log = logging.getLogger("outlast.actor")


class MessageEnds:
    """What one actor writes when messages end."""

    __slots__ = ("_definition", "_journal", "_world", "memory", "unheard")

    def __init__(
        self, world: World, journal: RunJournal, definition: ActorDefinition, memory: ActorMemory
    ) -> None:
        self._world = world
        self._journal = journal
        self._definition = definition
        self.memory: ActorMemory = memory
        self.unheard: frozenset[str] = frozenset()  # handlers that are to be subscribed

    def taken(self, message: Message) -> Transaction:
        """Let a message leave the mailbox, with the transaction that is returned."""
        transaction = self._journal.transaction()
        if message.number:
            transaction.consumed = (*transaction.consumed, message.number)
        return transaction

    def remember(self, transaction: Transaction, message: Message, outcome: bytes) -> None:
        """Keep what came of a message with a dedup key; the oldest is forgotten for it."""
        if not message.dedup:
            return
        outcomes = self.memory.outcomes
        outcomes[message.dedup] = outcome
        value = remembered(message.number, outcome)
        changes: list[tuple[str, bytes | None]] = [(DONE + message.dedup, value)]
        if len(outcomes) > limits.ACTOR_DEDUPS_MAX:
            oldest = next(iter(outcomes))
            del outcomes[oldest]
            changes.append((DONE + oldest, None))
        transaction.values = (*transaction.values, *changes)

    def subscribe(self, transaction: Transaction, actor: RunId) -> list[Message]:
        """Return what subscribes an actor to the topics of its class, and keep that it was sent."""
        names, self.unheard = self.unheard, frozenset()
        self.memory.heard = heard = names | (self.memory.heard or frozenset())
        transaction.values = (*transaction.values, (TOPICS_HEARD, encode_heard(heard)))
        return subscriptions(actor, self._definition, self._world.now(), only=names)

    def give_up(
        self, message: Message, reason: DeathReason, why: str, *, attempts: int = 0
    ) -> Transaction:
        """Make a message a dead letter."""
        log.info("a message to %s is a dead letter (%s): %s", message.run, reason, why)
        transaction = self.taken(message)
        now = self._world.now()
        letter = dead_letter(message, reason, at=now, error=why, attempts=attempts)
        transaction.dead = (*transaction.dead, letter)
        return transaction

    def forget_heartbeats(self, transaction: Transaction, names: dict[str, None]) -> None:
        """A message has ended: nobody goes on with its steps."""
        gone = sorted({*names, *self.memory.heartbeats})
        if gone:
            transaction.values = (*transaction.values, *((name, None) for name in gone))
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
        """Return until when a message that failed keeps the others waiting."""
        tried = self.memory.attempts
        return tried.next_at if tried is not None and tried.next_at > now else None

    def _set(self, attempts: bytes | None) -> None:
        transaction = self._journal.transaction()
        transaction.values = (*transaction.values, (ATTEMPTS, attempts))
