"""The message that an actor handles, from its turn to its end.

    queued   its turn has come, and nothing is recorded of it: after a crash it waits again
    begun    the record that it has begun is appended, and not known to be durable
    safe     that record is durable: its steps may start, and after a crash it is replayed
    ended    its end is appended, or it was undone and waits for its turn again

A handler that returns without waiting goes from queued to ended at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from outlast._execution.actors.outbox import Outbox
from outlast._messages.letters import Letter
from outlast._registry import HandlerDefinition
from outlast._store.rows import Message
from outlast.errors import NotInRun, OutlastError


class KeptError(Exception):
    """Raised by a handler to answer its message with `error`, and to keep what it has done."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{error}")
        self.error: BaseException = error


class NotNow(Exception):
    """Raised by a handler that was let into another message: its own has its turn after that."""


class Stage(IntEnum):
    """How far a message is; a later stage is greater."""

    QUEUED = 0
    BEGUN = 1
    SAFE = 2
    ENDED = 3


_FOLLOWING: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.QUEUED: (Stage.BEGUN, Stage.ENDED),
    Stage.BEGUN: (Stage.SAFE, Stage.ENDED),
    Stage.SAFE: (Stage.ENDED,),
    Stage.ENDED: (),
}


class HandledMessage:
    """A message whose turn has come; `at` is its handler's time."""

    __slots__ = (
        "at",
        "error",
        "handler",
        "is_started",
        "letter",
        "made_outbox",
        "message",
        "stage",
    )

    def __init__(
        self,
        message: Message,
        letter: Letter,
        handler: HandlerDefinition,
        at: int,
        stage: Stage = Stage.QUEUED,
    ) -> None:
        self.message: Message = message
        self.letter: Letter = letter
        self.handler: HandlerDefinition = handler
        self.at: int = at
        self.stage: Stage = stage
        self.is_started: bool = False  # its handler has been called
        self.error: OutlastError | None = None  # why it fails, found while it was replayed
        self.made_outbox: Outbox | None = None  # None: the handler has asked for nothing so far

    def advance(self, stage: Stage) -> None:
        """Go on to a stage; all of its transitions are here.

        Raises:
            RuntimeError: that stage does not follow.
        """
        if stage not in _FOLLOWING[self.stage]:
            which = f"message {self.message.number} of {self.message.run!r}"
            before, after = self.stage.name.lower(), stage.name.lower()
            raise RuntimeError(f"{which} cannot go from {before} to {after}")
        self.stage = stage

    @property
    def outbox(self) -> Outbox:
        """What its handler has asked for, done with the commit that ends it.

        Raises:
            NotInRun: it has ended.
        """
        if self.stage is Stage.ENDED:
            raise NotInRun("the handler's message has already completed")
        if self.made_outbox is None:
            self.made_outbox = Outbox(self.message.number)
        return self.made_outbox

    @property
    def stop_reason(self) -> str | None:
        """Why its actor stops with its end, None when it does not."""
        return None if self.made_outbox is None else self.made_outbox.stop_reason
