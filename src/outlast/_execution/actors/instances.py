"""The object on which an actor's handlers are called, made of its stored state."""

from __future__ import annotations

from outlast._execution.calls.unreadable import state_of
from outlast._execution.loop.event_loop import RunLoop
from outlast._registry import ActorDefinition
from outlast.types import RunId


class Instances:
    """Makes the object of one actor."""

    __slots__ = ("_definition", "_key", "_loop", "_run")

    def __init__(self, run: RunId, key: str, definition: ActorDefinition, loop: RunLoop) -> None:
        self._run = run
        self._key = key
        self._definition = definition
        self._loop = loop

    def initial(self) -> bytes:
        """Return the encoded state of an actor of which no message has ended.

        Raises:
            NotDeterministic: the class reaches for what replay cannot repeat.
        """
        # It is the actor's code: guarded like a handler, its chance drawn from the run.
        return self._definition.state.encode(self._loop.run_inside(self._definition.initial))

    def of(self, state: bytes) -> object:
        """Return the object that has a stored state.

        Raises:
            Unreadable: the state does not fit its type here.
        """
        return self._definition.make(state_of(self._run, self._definition, state), self._key)
