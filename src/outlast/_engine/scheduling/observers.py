"""Who observes an engine without taking part in its work: tracing, live feeds, sharers of its file.

There is one stream of facts, told once a turn of the loop to any number of observers, in the order
in which the facts came about. Each fact is durable when it is told. Without observers, nothing
is collected.

Invariants:
  * what an observer raises is logged, and disturbs neither the engine nor another observer;
  * an observer that has left is told nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from outlast._records import Record
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import NO_EFFECTS, Transaction
from outlast._world import World

log = logging.getLogger("outlast.engine")


class RowChanged(msgspec.Struct, frozen=True):
    """A run's row is another one; it may say what is in memory only until the next summary."""

    row: RunRow


class Recorded(msgspec.Struct, frozen=True):
    """A run in memory has recorded something."""

    row: RunRow
    records: Sequence[Record]


class MessageEnded(msgspec.Struct, frozen=True):
    """An actor has handled a message."""

    message: Message
    outcome: bytes


class TokensChanged(msgspec.Struct, frozen=True):
    """Tokens were asked for, answered, or withdrawn."""


class Committed(msgspec.Struct, frozen=True):
    """A transaction of a run is durable."""

    transaction: Transaction


Fact = RowChanged | Recorded | MessageEnded | TokensChanged | Committed
Observer = Callable[[Sequence[Fact]], None]


class Observers:
    """The observers of one engine. `are_any` is looked at before a fact is made."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._observers: list[Observer] = []
        self._facts: list[Fact] = []
        self.are_any: bool = False

    def add(self, observer: Observer) -> None:
        """Tell an observer from now on."""
        self._observers.append(observer)
        self.are_any = True

    def remove(self, observer: Observer) -> None:
        """Tell an observer no more."""
        self._observers.remove(observer)
        self.are_any = bool(self._observers)

    def tell(self, fact: Fact) -> None:
        """Note a fact, for the end of this turn of the loop."""
        if not self._facts:
            self._world.call_soon(self.publish)
        self._facts.append(fact)

    def committed(self, transaction: Transaction, row: RunRow | None) -> None:
        """Note what a transaction has changed; the row is that of a run in memory."""
        self.tell(Committed(transaction))
        if row is not None and transaction.records:
            self.tell(Recorded(row, transaction.records))
        effects = transaction.effects or NO_EFFECTS
        if (changed := effects.summary or row) is not None:
            self.tell(RowChanged(changed))
        if effects.tokens or effects.answers or effects.withdrawn:
            self.tell(TokensChanged())

    def publish(self) -> None:
        """Tell what was noted; before an engine closes it is called by itself."""
        facts, self._facts = self._facts, []
        if not facts:
            return
        for observer in list(self._observers):
            if observer not in self._observers:
                continue  # another one has made it leave
            try:
                observer(facts)
            except Exception:  # an observer's trouble is its own
                log.exception("an observer failed; the engine goes on")
