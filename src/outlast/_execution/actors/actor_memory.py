"""What is known of an actor: state, outcomes by dedup key, failed attempts, bonds, streams.

Invariant: the encoded state changes only when a handler has ended well, or a supervisor resets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from typing_extensions import override

from outlast._execution.actors.history import (
    HISTORIES,
    History,
    encode_histories,
    read_histories,
)
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.operations import WrittenBody
from outlast._execution.calls.steps import HEARTBEAT
from outlast._execution.calls.streams import RunStreams
from outlast._execution.calls.unreadable import state_of
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.executing import run_inside
from outlast._messages.letters import initial_in
from outlast._records import Record
from outlast._registry import ActorDefinition
from outlast._store.rows import DONE, RunRow
from outlast._store.transactions import Transaction
from outlast.types import Lease, RunId

TOPICS_HEARD = "\x00topics"  # value: the handlers that are subscribed to their topics
ATTEMPTS = "\x00attempts"  # value: a message that failed and is tried again
STREAMS = "\x00streams"  # value: it has written to streams, whose rows say where they end


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
    stream_ends: dict[str, int] | None = None  # None: it has never written to a stream
    histories: dict[str, History] = field(default_factory=dict[str, History])

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
        memory.histories = read_histories(values.get(HISTORIES))
        if STREAMS in values:
            memory.stream_ends = {}  # who reads the values reads these too
        return memory


class ActorStreams(RunStreams):
    """The streams of an actor: they outlast its messages.

    What a message has written stays if its handler ends well, and is taken back otherwise.
    """

    __slots__ = ("_memory", "_written")

    def __init__(self, journal: RunJournal, memory: ActorMemory) -> None:
        super().__init__(journal)
        self._memory = memory
        self._written: dict[tuple[str, str], str] | None = None  # key, by stream and writer
        if memory.stream_ends is not None:
            self.offsets: dict[str, int] = memory.stream_ends

    @override
    def life_of(self, row: RunRow) -> str:
        # The same message, tried again, has the same keys: its writers are others all the same.
        return f"{row.folded_seq}"

    @override
    def writer_of(self, key: str, row: RunRow) -> str:
        return f"{key}@{self.life_of(row)}"

    @override
    def write(
        self, stream: str, values: Sequence[bytes], *, key: str, writer: str, now: int
    ) -> None:
        if self._memory.stream_ends is None:
            self._memory.stream_ends = self.offsets
            self._journal.transaction().also.values += ((STREAMS, b"1"),)
        self._note(stream, key, writer)
        super().write(stream, values, key=key, writer=writer, now=now)

    @override
    def delivered(self, record: Record, body: WrittenBody) -> None:
        super().delivered(record, body)
        if self._journal.is_replaying and record.kind == "stream_written":
            self._note(record.name, record.key, body.writer)

    def _note(self, stream: str, key: str, writer: str) -> None:
        if self._written is None:
            self._written = {}
        self._written[stream, writer] = key

    def take_back(self, now: int) -> None:
        """Retract what the message that is handled has written."""
        for (stream, writer), key in (self._written or {}).items():
            self.retract(stream, key=key, writer=writer, now=now)
        self._written = None
        for history in self._memory.histories.values():
            history.undo()

    def history(self, stream: str) -> History:
        """Return the part of a stream that the actor's code reads, which has it from now on."""
        return self._memory.histories.setdefault(stream, History())

    def message_ended(self, transaction: Transaction) -> None:
        """Keep what it has written."""
        self._written = None
        histories = self._memory.histories
        if not any(history.has_changed for history in histories.values()):
            return
        transaction.also.values += ((HISTORIES, encode_histories(histories)),)
        for history in histories.values():
            history.keep()


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
