"""What is known of an actor: its state, outcomes by dedup key, failed attempts, its bonds.

Invariant: the encoded state changes only when a handler has ended well, or a supervisor resets it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from outlast._execution.actors.membership import Membership
from outlast._execution.calls.steps import HEARTBEAT
from outlast._execution.calls.unreadable import state_of
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.executing import run_inside
from outlast._messages.letters import initial_in
from outlast._records import Record
from outlast._registry import ActorDefinition
from outlast._store.rows import DONE, RunRow
from outlast.types import Lease, RunId

TOPICS_HEARD = "\x00topics"  # value: the handlers that are subscribed to their topics
ATTEMPTS = "\x00attempts"  # value: a message that failed and is tried again


class Attempts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message that failed: how often, and when it is tried again."""

    number: int
    failed: int
    next_at: int


_encode = msgspec.msgpack.Encoder().encode
_names = msgspec.msgpack.Decoder(frozenset[str])
_attempts = msgspec.msgpack.Decoder(Attempts)


def remembered(number: int, outcome: bytes) -> bytes:
    """Return what came of a message as a value, with its number, which says how old it is."""
    return number.to_bytes(8, "big") + outcome


def outcome_in(value: bytes) -> bytes:
    """Return the outcome in such a value."""
    return value[8:]


@dataclass(slots=True)
class ActorMemory:
    """What one actor has beside its state.

    The outcomes are in the order in which the messages came: the oldest is forgotten first.
    """

    outcomes: dict[str, bytes] = field(default_factory=dict[str, bytes])
    attempts: Attempts | None = None
    heartbeats: set[str] = field(default_factory=set[str])  # names of values to forget
    membership: Membership = field(default_factory=Membership)
    heard: frozenset[str] | None = None  # handlers that were subscribed; None: none ever was

    @classmethod
    def read(cls, values: dict[str, bytes]) -> ActorMemory:
        """Return it from the values that the store has."""
        memory = cls(membership=Membership.read(values))
        done = [(data, name) for name, data in values.items() if name.startswith(DONE)]
        for data, name in sorted(done):  # a value begins with its message's number
            memory.outcomes[name[len(DONE) :]] = outcome_in(data)
        memory.heartbeats.update(name for name in values if name.startswith(HEARTBEAT))
        tried = values.get(ATTEMPTS)
        if tried is not None:
            memory.attempts = _attempts.decode(tried)
        heard = values.get(TOPICS_HEARD)
        if heard is not None:
            memory.heard = _names.decode(heard)
        return memory


def unheard(definition: ActorDefinition, memory: ActorMemory, row: RunRow) -> frozenset[str]:
    """Return the handlers that take topics to which the actor is not subscribed yet."""
    names = frozenset(name for name, taken in definition.handlers.items() if taken.topic)
    if memory.heard is not None:
        return names - memory.heard
    # Before this was kept, an actor was subscribed with the first message that changed it.
    return names if row.output is None else frozenset()


def encode_heard(names: frozenset[str]) -> bytes:
    """Return the names of subscribed handlers as a value."""
    return _encode(sorted(names))


def encode_attempts(attempts: Attempts) -> bytes:
    """Return failed attempts as a value."""
    return _encode(attempts)


class ActorState:
    """One actor's state; `actor` is the object that handlers are called on."""

    __slots__ = ("_key", "_loop", "_run", "actor", "definition", "encoded", "kept")

    def __init__(
        self, run: RunId, key: str, definition: ActorDefinition, loop: RunLoop, kept: bytes | None
    ) -> None:
        self._run = run
        self._key = key
        self._loop = loop
        self.definition: ActorDefinition = definition
        self.encoded: bytes = kept or b""
        self.kept: bytes | None = kept  # as the row has it; None: no message has ended well
        self.actor: object = None

    def load(self, records: list[Record]) -> None:
        """Make the object, of a first state if there is none; `records` are of a message.

        Raises:
            Unreadable: the state does not fit its type here.
            NotDeterministic: the class reaches for what replay cannot repeat.
        """
        if not self.encoded:
            self.encoded = (initial_in(records[0]) if records else b"") or self._initial()
        self.undo()

    def undo(self) -> None:
        """Make the object anew: what handlers did to it since it was encoded is gone."""
        definition = self.definition
        state = state_of(self._run, definition, self.encoded)
        self.actor = definition.make(state, self._key)

    def reset(self) -> None:
        """Begin again with a first state."""
        self.encoded = self._initial()
        self.kept = None if self.kept is None else self.encoded
        self.undo()

    def keep(self) -> None:
        """Encode what a handler that ended well has left.

        Raises:
            EncodingError: it does not fit its type; the state is as before.
        """
        definition = self.definition
        self.kept = self.encoded = definition.state.encode(definition.state_of(self.actor))

    def _initial(self) -> bytes:
        # It is the actor's code: guarded like a handler, its chance drawn from the run.
        definition = self.definition
        return definition.state.encode(run_inside(self._loop, definition.initial))


@dataclass(frozen=True, slots=True)
class Activation:
    """What an actor is brought into memory with: `records` are those of a message it had begun."""

    definition: ActorDefinition
    row: RunRow
    lease: Lease
    records: list[Record]
    memory: ActorMemory
