"""What a person decides about a run: to stand still, to go on, to be tried again."""

from __future__ import annotations

from abc import ABC, abstractmethod

from outlast._engine.open_engine import EngineCore
from outlast._execution.unreadable import DISCARD
from outlast._store.contract import Message
from outlast.errors import NotSupported
from outlast.types import RunId


class SteeringVerbs(ABC):
    """The verbs of a `Run` that are for people rather than for code."""

    __slots__ = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """The run's id."""

    @abstractmethod
    def _engine(self) -> EngineCore:
        """Return the engine to ask; NotInRun in workflow code."""

    async def pause(self) -> None:
        """Have the run stand still: nothing new begins, steps in flight end and are recorded.

        Returns when the request is safe. The run is `paused` when no step is in flight any more;
        signals, answers and timers wait until it is resumed, `result()` waits too, and so does
        everything over a restart. A cancelled run that cleans up does not pause.

        Raises:
            RunNotFound, RunClosed
        """
        core = self._engine()
        await core.send(Message(run=RunId(self.id), kind="pause", at=core.world.now()))

    async def resume(self, version: str | None = None) -> None:
        """Let a paused or parked run go on: a step that spent its attempts is tried again."""
        if version is not None:
            raise NotSupported("resume(version=)")
        core = self._engine()
        await core.send(Message(run=RunId(self.id), kind="resume", at=core.world.now()))

    async def discard(self) -> None:
        """Make the message that the run's code cannot read a dead letter, and resume the run.

        For a run or an actor that is parked as unreadable because of a message: a signal, an
        update, or what an actor was asked or told. The dead letter can be sent again.

        Raises:
            UsageError: the run is not parked for a message that its code cannot read.
            RunNotFound
        """
        core = self._engine()
        message = Message(run=RunId(self.id), kind="resume", name=DISCARD, at=core.world.now())
        await core.send(message)

    async def retry(self) -> None:
        """Have what failed done again.

        A parked run is resumed. One that has ended without completing lives again under its id:
        what it had recorded before the operation that failed is kept, and that one is done again.
        What it was sent meanwhile is kept too; of a cancelled run, what came before the request.

        Raises:
            RunClosed: it has completed.
            UsageError: it is neither parked nor closed: there is nothing to do again.
            RunNotFound
        """
        await self._engine().retry(RunId(self.id))
