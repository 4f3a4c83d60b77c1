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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from outlast._records import Record
from outlast._store.auditing import AuditReads, AuditUpkeep
from outlast._store.glimpses import WHOLE, GlimpseVerbs, Part, RunGlance
from outlast._store.health import HealthVerbs
from outlast._store.rows import DeadLetter, Message, RunKind, RunRow, StreamRow, TokenRow
from outlast._store.transactions import CommitId, CommitResult, Transaction
from outlast._store.upkeep import UpkeepVerbs
from outlast.types import Lease, RunId, Status


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

    async def next_wake(self, shards: Collection[int], after: int = -1) -> int | None:
        """Return the earliest `wake_at` behind `after` of a passivated run."""
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

    async def read_stream_ends(self, run: RunId) -> dict[str, int]:
        """Return the next offset of each stream that the run has written, in order of names."""
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

    async def glance_at_runs(self, which: RunFilter, limit: int) -> list[RunGlance]:
        """Return the newest runs that a filter wants, `limit` at most, newest first.

        For statistics: rows are not compared with their checksums, and no values are read.
        """
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
