"""The parts of an engine that go on with what the scheduler has done: each is called by its name.

The scheduler is below them and knows what each must be able to do, nothing else. They are made with
the scheduler, so they are given to it once, when all are there (`Scheduler.parts`). What merely
observes an engine is not here (`observers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.runs.run import LiveRun
from outlast._records import Record
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import StartRun
from outlast.errors import StoreDamaged
from outlast.types import RunId


class ResidencyPart(Protocol):
    """Who stays in memory."""

    def changed(self, live: LiveRun) -> None:
        """A run has moved."""
        ...

    def gone(self, run: RunId) -> None:
        """A run has left memory."""
        ...


class RecoveryPart(Protocol):
    """Who brings runs in when their time has come."""

    def passivated(self, row: RunRow) -> None:
        """A run has left memory, or never came, until the time in its row."""
        ...


class InactiveRunsPart(Protocol):
    """Looks after runs that are not executed."""

    def no_code(self, row: RunRow, records: list[Record]) -> None:
        """A run's workflow is not registered here."""
        ...

    async def may_go_on(self, row: RunRow) -> bool:
        """Try to let a parked run go on, and say whether it may."""
        ...


class MessagesPart(Protocol):
    """Who brings in runs that have mail."""

    def has_mail(self, run: RunId) -> None:
        """A run has mail; an empty id: look for whoever is waiting."""
        ...


class ResultsPart(Protocol):
    """Who waits for runs to end."""

    def changed(self, run: RunId, ended: RunRow | None = None) -> None:
        """A run has ended, then its row may be known, or stands still."""
        ...


class UpdatesPart(Protocol):
    """Who waits for what comes of updates."""

    def updated(self, message: Message, outcome: bytes) -> None:
        """An update has its outcome."""
        ...

    def closed(self, run: RunId) -> None:
        """A run has ended."""
        ...


class StreamsPart(Protocol):
    """Who reads streams of runs."""

    def changed(self, run: RunId) -> None:
        """A run's streams have more, or it has ended."""
        ...


class ActorsPart(Protocol):
    """Who waits for answers of actors."""

    def answered(self, message: Message, outcome: bytes) -> None:
        """A message was handled."""
        ...

    def stopped(self, row: RunRow) -> None:
        """An actor, or a run, takes nothing more for now."""
        ...

    def damaged(self, actor: RunId, error: StoreDamaged) -> None:
        """What is stored of an actor is damaged."""
        ...


class ParkedAsksPart(Protocol):
    """Who waits for answers of actors that are parked."""

    def look(self, actor: RunId) -> None:
        """An actor has mail, and does not go on for that."""
        ...


class IdleActorsPart(Protocol):
    """Who keeps the rows of actors that have nothing to do."""

    def created(self, row: RunRow) -> None:
        """An actor has come to be."""
        ...

    def forget(self, actor: RunId) -> None:
        """An actor is in memory, or takes nothing more."""
        ...

    def rested(self, live: LiveActor) -> None:
        """An actor has left memory."""
        ...

    def wake(self, message: Message) -> bool:
        """Bring an actor in with its next message; False when it must be read."""
        ...

    def start_of(self, actor: RunId) -> StartRun | None:
        """Return what creates an actor; None when it is known to be there."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one engine."""

    residency: ResidencyPart
    recovery: RecoveryPart
    inactive_runs: InactiveRunsPart
    messages: MessagesPart
    results: ResultsPart
    updates: UpdatesPart
    streams: StreamsPart
    actors: ActorsPart
    parked_asks: ParkedAsksPart
    idle_actors: IdleActorsPart

    def ended(self, run: RunId, row: RunRow | None) -> None:
        """A run has ended; the row is its last one, if it is known."""
        self.results.changed(run, row)
        self.updates.closed(run)
