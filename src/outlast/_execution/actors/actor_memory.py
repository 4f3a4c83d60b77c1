"""What is known of an actor beside its row: outcomes by dedup key, failed attempts, its bonds."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from outlast._execution.actors.membership import Membership
from outlast._execution.calls.steps import HEARTBEAT
from outlast._records import Record
from outlast._registry import ActorDefinition
from outlast._store.contract import DONE, RunRow
from outlast.types import Lease

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


@dataclass(frozen=True, slots=True)
class Activation:
    """What an actor is brought into memory with: `records` are those of a message it had begun."""

    definition: ActorDefinition
    row: RunRow
    lease: Lease
    records: list[Record]
    memory: ActorMemory
