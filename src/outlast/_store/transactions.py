"""What is committed at once, and what became of it: the words between the engine and a store.

A transaction is one run's records and their effects; a batch of transactions is one commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from outlast._records import Blob, Record
from outlast._store.auditing import AuditRow
from outlast._store.rows import (
    Answer,
    Answered,
    DeadLetter,
    Message,
    PostResult,
    RunRow,
    StreamRow,
    TokenRow,
)
from outlast.types import Lease, Reuse, RunId


class StartRun(msgspec.Struct, frozen=True):
    """Create a run with its first records, unless its id is taken.

    A closed run under the same id gives way when `reuse` allows it. What a copy of another run
    begins with beside records is created with it, or not at all.
    """

    row: RunRow
    records: tuple[Record, ...]
    reuse: Reuse
    streams: Sequence[StreamRow] = ()
    values: Sequence[tuple[str, bytes]] = ()
    tokens: Sequence[TokenRow] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Records of one run, packed, that leave the log's tail."""

    run: RunId
    first_seq: int
    last_seq: int
    body: bytes


class Effects(msgspec.Struct, eq=False):
    """What a transaction causes beside its records; the records of a step cause nothing."""

    summary: RunRow | None = None
    starts: tuple[StartRun, ...] = ()
    posts: tuple[Message, ...] = ()
    consumed: tuple[int, ...] = ()
    segments: tuple[Segment, ...] = ()
    folded: int = 0  # the run's segments up to this seq are of no use any more
    streams: tuple[StreamRow, ...] = ()
    values: tuple[tuple[str, bytes | None], ...] = ()  # None: forget it
    tokens: tuple[TokenRow, ...] = ()  # asked now; one that is there already stays as it is
    withdrawn: tuple[str, ...] = ()  # tokens of this run that need no answer any more
    answers: tuple[Answer, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    redriven: tuple[int, ...] = ()  # dead letters that go if all posts here are accepted
    blobs: tuple[Blob, ...] = ()
    audit: tuple[AuditRow, ...] = ()  # who had it done, if somebody from outside had
    released: tuple[bytes, ...] = ()  # digests of blobs that the run needs no more
    of_life: str = ""  # nothing is written to a run of another life: see `life_of`


NO_EFFECTS = Effects()
"""Those of a transaction that has none: to be read only."""


class Transaction(msgspec.Struct, eq=False):
    """What must become durable together: one run's records, and all they cause.

    `lease` is the right to write `run`; None for what needs no right (a start, a post). Whoever
    fills it may go on adding (`also`) until the writer takes it into a batch and seals it.
    """

    lease: Lease | None
    run: RunId
    records: list[Record]
    effects: Effects | None = None
    is_sealed: bool = False
    origin: object = None  # the journal of a run in memory that waits for it

    @property
    def also(self) -> Effects:
        """Its effects, to add to."""
        if self.effects is None:
            self.effects = Effects()
        return self.effects


class Receipt(msgspec.Struct, frozen=True):
    """What became of a transaction.

    `position` is the log position of its first record, or 0; `existing` the rows that stood in the
    way of its starts; `posts` and `answers` one result for each, `numbers` what accepted messages
    are called. `is_old`: learned later than the commit was made, and runs may have gone on since.
    """

    position: int = 0
    existing: Mapping[RunId, RunRow] = msgspec.field(default_factory=dict[RunId, RunRow])
    posts: tuple[PostResult, ...] = ()
    numbers: tuple[int, ...] = ()
    answers: tuple[Answered, ...] = ()
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class Fenced:
    """The transaction's lease is no longer held: nothing of it was written."""


CommitResult = Receipt | Fenced
FENCED = Fenced()


class CommitId(msgspec.Struct, frozen=True):
    """Names one commit of one writer, so that a lost reply can be asked for."""

    owner: str
    number: int
