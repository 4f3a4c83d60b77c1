"""What the engine asks of a store, in the engine's own words.

A store keeps runs, their journals, mailboxes, streams, values and blobs. It promises:

  * `commit` makes a batch of transactions durable before it returns: each transaction is whole or
    absent, and one under a lease that is no longer held is refused without a trace (fenced);
  * every reading verb sees all that was committed before it was called;
  * after an error that leaves the outcome open (`CommitUnknown`), `outcome_of` tells it.

Whatever the store (memory, SQLite, later Postgres), the rest of outlast sees only this page, and
`tests/conformance` holds every store to it.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import msgspec

from outlast._records import Blob, Record
from outlast._store.auditing import AuditReads, AuditRow, AuditUpkeep
from outlast._store.glimpses import WHOLE, GlimpseVerbs, Part
from outlast._store.health import HealthVerbs
from outlast._store.upkeep import UpkeepVerbs
from outlast.types import Lease, OnParentClose, Reuse, RunId, Status, TokenKind, TokenStatus

ParkedAs = Literal["", "code", "unreadable", "damaged", "attempts", "suspect", "limit"]
AnswerResult = Literal["accepted", "not_found", "answered", "expired", "closed", "changed"]
RunKind = Literal["workflow", "actor"]
MessageKind = Literal[
    "signal",
    "cancel",
    "terminate",
    "pause",
    "resume",
    "child_done",
    "token",
    "update",
    "tell",
    "ask",
    "notice",
]
_Ended = Literal["closed", "failed", "expired", "dropped", "overflow", "stopped", "no_handler"]
DeathReason = _Ended | Literal["unreadable", "damaged"]


JOIN = "\x00join"
"""Name of the messages that reach stopped actors too, and wait for those that stop meanwhile: a
supervisor takes the actor in, or somebody wants to know when it stops."""


class RunRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One run as its row has it: a summary that its owner keeps up to date within a second.

    `resident` says that an engine has (or should have) it in memory; a passivated run has
    `resident=False` and `wake_at`. Records up to `packed_seq` are in history segments, later ones
    in the log at `started_position` or beyond.

    An actor is a row too: `workflow` names its type, `output` is its state, and only records above
    `folded_seq` count, those of the message that it is handling.
    """

    id: RunId
    shard: int
    workflow: str
    version: str
    status: Status
    created_at: int
    started_at: int | None = None
    closed_at: int | None = None
    wake_at: int | None = None
    timeout_at: int | None = None
    parent: RunId | None = None
    parent_key: str = ""
    on_parent_close: OnParentClose = "cancel"
    attributes: str = "{}"
    steps: int = 0
    crash_count: int = 0
    is_alone: bool = False  # a suspect that runs while nothing else does (semantics: crashes)
    parked_as: ParkedAs = ""
    resident: bool = True
    last_seq: int = 0
    packed_seq: int = 0
    started_position: int = 0
    request: str = ""
    digest: bytes = b""
    output: bytes | None = None
    error: str | None = None
    waiting_for: str = ""
    kind: RunKind = "workflow"
    folded_seq: int = 0


class Message(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Something for a run from outside, safe in its mailbox until its owner appends it.

    `bound` is how many may wait in the mailbox, below 0 for none; 0 for as many as its kind may.
    What the commit of a handler tells an actor that has stopped becomes a dead letter, for nobody
    is there to be refused; a "notice" is dropped then.
    """

    run: RunId
    kind: MessageKind
    name: str = ""
    body: bytes = b""
    dedup: str = ""
    at: int = 0
    number: int = 0  # given by the store, ascending within a run
    bound: int = 0


class DeadLetter(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message that cannot be delivered any more; `number` is the one it had in its mailbox.

    In a transaction, 0 stands for a number of its own: the message has left the mailbox before.
    """

    number: int
    run: RunId
    kind: MessageKind
    name: str
    body: bytes
    dedup: str
    sent_at: int
    reason: DeathReason
    error: str = ""
    attempts: int = 0
    at: int = 0


class StreamRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Some consecutive values of one writer in a stream, or the retraction of a writer."""

    run: RunId
    name: str
    offset: int
    count: int
    kind: Literal["data", "retract"]
    writer: str
    body: bytes = b""


class TokenRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A question that a run has asked, and what became of it.

    Deleted with its run; an open one is closed by the commit that closes its run. `detail` is
    JSON, `digest` that of title and detail, `value` the answer's payload.
    """

    id: str
    run: RunId
    workflow: str
    key: str
    kind: TokenKind
    title: str = ""
    detail: str = "null"
    digest: str = ""
    created_at: int
    expires_at: int | None = None
    status: TokenStatus = "open"
    value: bytes | None = None
    by: str = ""
    reason: str = ""
    answered_at: int | None = None


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What somebody, or the clock, wants to become of an open token.

    Taken once for each token: with the one that is, `message` is posted to the token's run. One
    that carries a `digest` is for the question of that digest only.
    """

    token: str
    status: Literal["answered", "expired"]
    message: Message
    value: bytes | None = None
    by: str = ""
    reason: str = ""
    digest: str = ""
    at: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """What became of an answer, and how the token stands now; `number` is that of the message."""

    result: AnswerResult
    row: TokenRow | None = None
    number: int = 0


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


# Values: what came of an actor's messages, and of a run's updates, by their dedup keys.
DONE = "\x00done/"

PostResult = Literal["accepted", "duplicate", "conflict", "not_found", "closed", "full"]


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


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a listing wants; None means any."""

    statuses: frozenset[Status] | None = None
    workflow: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    id_prefix: str | None = None
    parent: RunId | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    """Texts that are each in its id, its workflow's name, its error or what it is parked for;
    the case of ASCII letters does not count."""
    kind: RunKind = "workflow"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of a listing ended: runs are listed newest first."""

    created_at: int
    id: RunId


@dataclass(frozen=True, slots=True)
class TailRun:
    """The records of one open run that are in the log's tail."""

    records: list[Record]
    first_position: int


Hint: TypeAlias = Callable[[Collection[RunId]], None]  # the runs, as far as they are known


class LeaseVerbs(Protocol):
    """Who may write which runs."""

    @property
    def shards_count(self) -> int:
        """How many shards the runs are spread over; 1 where one engine owns the whole store."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other engines may write: then the engine looks for what they left it."""
        ...

    async def acquire_leases(self, owner: str, shards: Collection[int]) -> list[Lease]:
        """Take those of `shards` that are free or expired, each under the next epoch."""
        ...

    def renew_leases(self, leases: Sequence[Lease]) -> list[Lease]:
        """Return the leases that are still held, renewed. Blocks: the lease thread calls it."""
        ...

    async def release_leases(self, leases: Sequence[Lease]) -> None:
        """Give leases back, so that others need not wait for them to expire."""
        ...

    def watch(self, hint: Hint) -> None:
        """Call `hint`, at times and at best, after another engine wrote. Hints may be lost."""
        ...


Committed: TypeAlias = Callable[[Future[list[CommitResult]]], None]


class CommitVerbs(Protocol):
    """How anything gets in."""

    def commit(
        self, commit_id: CommitId, batch: Sequence[Transaction], then: Committed | None = None
    ) -> Future[list[CommitResult]]:
        """Make `batch` durable, then give one result for each transaction, in order.

        A commit id is used once. The future is done in a callback of the host loop, and `then` is
        called with it there: a done callback would come a turn of the loop later.

        Raises:
            StoreFull, StoreUnavailable: nothing was written; it may be tried again.
            CommitUnknown: ask `outcome_of`.
        """
        ...

    async def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        """Return the results of the writer's last commit, or None when it was not made."""
        ...


class ReadVerbs(Protocol):
    """What is there."""

    async def read_run(self, run: RunId) -> RunRow | None:
        """Return the run's row."""
        ...

    async def read_journal(
        self, run: RunId, after: int = 0, upto: int | None = None, part: Part = WHOLE
    ) -> list[Record]:
        """Return the run's records with a `seq` above `after`, bodies of blobs filled in.

        With `upto`, none above it, and no more is read than lies between.
        """
        ...

    async def read_tail(self, shards: Collection[int]) -> dict[RunId, TailRun]:
        """Return the unpacked records of every open run of these shards."""
        ...

    async def resident_runs(self, shards: Collection[int]) -> list[RunRow]:
        """Return the open runs that are not passivated, oldest first."""
        ...

    async def due_runs(self, shards: Collection[int], now: int, limit: int) -> list[RunRow]:
        """Return passivated runs whose `wake_at` has come, earliest first."""
        ...

    async def next_wake(self, shards: Collection[int]) -> int | None:
        """Return the earliest `wake_at` of a passivated run."""
        ...

    async def read_mailbox(self, run: RunId, limit: int, after: int = 0) -> list[Message]:
        """Return the run's undelivered messages numbered above `after`, oldest first."""
        ...

    async def runs_with_mail(
        self, shards: Collection[int], limit: int, after: RunId | None = None
    ) -> list[RunId]:
        """Return open runs that have undelivered messages, by id, from behind `after` on."""
        ...

    async def list_runs(self, which: RunFilter, after: Cursor | None, limit: int) -> list[RunRow]:
        """Return one page of runs, newest first; see `pages` for where it ends."""
        ...

    async def count_runs(self, which: RunFilter, limit: int) -> int:
        """Return how many runs a filter wants; `limit` when there are as many, or more."""
        ...

    async def read_stream(self, run: RunId, name: str, offset: int, limit: int) -> list[StreamRow]:
        """Return stream rows that hold offsets from `offset` on.

        The page ends with the row with which its bodies reach `STREAM_READ_BYTES`.
        """
        ...

    async def read_retractions(self, run: RunId, name: str, offset: int) -> dict[str, int]:
        """Return the writers that are taken back from an offset of a stream on, and where."""
        ...

    async def read_stream_names(self, run: RunId) -> list[str]:
        """Return the names of the streams that the run has written, in order."""
        ...

    async def read_value(self, run: RunId, name: str) -> bytes | None:
        """Return the last value set under this name."""
        ...

    async def read_values(self, run: RunId, prefix: str) -> dict[str, bytes]:
        """Return the values whose names begin so, by name."""
        ...


class OverviewVerbs(Protocol):
    """What waits for people, and how much there is."""

    async def count_by_status(self) -> dict[Status, int]:
        """Return how many workflow runs there are of each status."""
        ...

    async def count_dead(self) -> int:
        """Return how many dead letters there are."""
        ...

    async def read_dead(self, run: RunId | None, after: int, limit: int) -> list[DeadLetter]:
        """Return dead letters (of one run, or of all) numbered above `after`, oldest first."""
        ...

    async def read_token(self, token: str) -> TokenRow | None:
        """Return a token's row."""
        ...

    async def list_tokens(
        self,
        after: tuple[int, str] | None,
        limit: int,
        *,
        open_only: bool = False,
        run: RunId | None = None,
    ) -> list[TokenRow]:
        """Return a page of tokens, oldest first, from behind `after` (created at, id) on."""
        ...


class Lookups(ReadVerbs, OverviewVerbs, AuditReads, GlimpseVerbs, Protocol):
    """Reads for whoever looks: they take turns, and cannot keep the engine from reading.

    On behalf of a client (`asking`) they raise `StoreBusy` where it asks for too much at once.
    """


class Store(LeaseVerbs, CommitVerbs, Lookups, UpkeepVerbs, AuditUpkeep, HealthVerbs, Protocol):
    """The seam between the engine and what keeps its data."""

    @property
    def lookups(self) -> Lookups:
        """The same for whoever only looks: clients, people, the program."""
        return self
