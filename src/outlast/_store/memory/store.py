"""The store in memory: the model that other stores are held to, and the disk of simulations.

A `MemoryDatabase` is the disk: it outlives engines, several engines may share one, each through
a `MemoryStore` of its own. Nothing here survives the process.

Invariants:
  * a transaction is applied in one go, between two turns of the loop;
  * `faults`, when given, is asked before and after every commit: simulation makes the store
    slow, failing, or silent there.
"""

from __future__ import annotations

from asyncio import Future
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Protocol

from typing_extensions import override

from outlast import limits
from outlast._records import Record
from outlast._store.auditing import AuditRow
from outlast._store.contract import (
    Committed,
    Cursor,
    Hint,
    RunFilter,
    Store,
    TailRun,
)
from outlast._store.decisions import glance_of, matches
from outlast._store.glimpses import WHOLE, Part, RunGlance
from outlast._store.memory.database import MemoryDatabase
from outlast._store.pages import page_of
from outlast._store.rows import DeadLetter, Message, RunRow, StreamRow, TokenRow
from outlast._store.transactions import CommitId, CommitResult, Transaction
from outlast._world import World
from outlast.errors import StoreError
from outlast.types import Lease, RunId, Status


class Faults(Protocol):
    """What simulation may do to a store; raising or never returning in commits are allowed."""

    async def after_read(self) -> None:
        """Called when something was read, and who asked has not heard of it."""
        ...

    async def before_commit(self, batch: Sequence[Transaction]) -> None:
        """Called when nothing of the batch is written."""
        ...

    async def after_commit(self, batch: Sequence[Transaction]) -> None:
        """Called when the batch is durable, and its writer does not know."""
        ...


class MemoryStore(Store):
    """One engine's way to a `MemoryDatabase`; see `outlast._store.contract` for the verbs."""

    def __init__(
        self, database: MemoryDatabase, world: World, *, faults: Faults | None = None
    ) -> None:
        self._db = database
        self._world = world
        self._faults = faults
        self._hint: Hint | None = None

    @property
    @override
    def shards_count(self) -> int:
        return self._db.shards_count

    @property
    @override
    def is_shared(self) -> bool:
        return not self._db.is_exclusive

    @override
    async def acquire_leases(self, owner: str, shards: Collection[int]) -> list[Lease]:
        return self._db.leases.acquire(owner, shards)

    @override
    def renew_leases(self, leases: Sequence[Lease]) -> list[Lease]:
        return self._db.leases.renew(leases)

    @override
    async def release_leases(self, leases: Sequence[Lease]) -> None:
        self._db.leases.release(leases)

    @override
    def watch(self, hint: Hint) -> None:
        self._hint = hint
        self._db.hints.append(hint)

    @override
    def commit(
        self, commit_id: CommitId, batch: Sequence[Transaction], then: Committed | None = None
    ) -> Future[list[CommitResult]]:
        answer: Future[list[CommitResult]] = self._world.loop.create_future()
        if self._faults is None:
            self._world.call_soon(self._answer, answer, commit_id, batch, then)
        else:
            if then is not None:
                answer.add_done_callback(then)
            work = self._commit_among(self._faults, answer, commit_id, batch)
            self._world.spawn(work, name="commit")
        return answer

    def _answer(
        self,
        answer: Future[list[CommitResult]],
        commit_id: CommitId,
        batch: Sequence[Transaction],
        then: Committed | None,
    ) -> None:
        results = self._apply(commit_id, batch)
        if not answer.done():
            answer.set_result(results)
        if then is not None:
            then(answer)

    async def _commit_among(
        self,
        faults: Faults,
        answer: Future[list[CommitResult]],
        commit_id: CommitId,
        batch: Sequence[Transaction],
    ) -> None:
        try:
            await faults.before_commit(batch)
            results = self._apply(commit_id, batch)
            await faults.after_commit(batch)
        except StoreError as error:
            answer.set_exception(error)
        else:
            answer.set_result(results)

    def _apply(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        results = self._db.apply(commit_id, batch)
        effects = [t.effects for t in batch if t.effects is not None]
        if any(e.starts or e.posts or e.answers for e in effects):
            for hint in self._db.hints:
                if hint is not self._hint:
                    hint(())
        return results

    @override
    async def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        return self._db.last_outcome(commit_id)

    @override
    async def read_run(self, run: RunId) -> RunRow | None:
        row = self._db.rows.get(run)
        if self._faults is not None:
            await self._faults.after_read()
        return row

    @override
    async def read_journal(
        self, run: RunId, after: int = 0, upto: int | None = None, part: Part = WHOLE
    ) -> list[Record]:
        found = [r for r in self._db.journal(run, after) if upto is None or r.seq <= upto]
        if part.kinds is not None:
            found = [r for r in found if r.kind in part.kinds]
        if self._faults is not None:
            await self._faults.after_read()
        if part.bytes_max is None:
            return found
        ordered = found[::-1] if part.from_end else found
        sizes = list(accumulate(len(record.body) for record in ordered))
        page = ordered[: bisect_left(sizes, part.bytes_max) + 1]
        return page[::-1] if part.from_end else page

    @override
    async def read_value_names(self, run: RunId) -> list[str]:
        return sorted(self._db.values(run, ""))

    @override
    async def count_open_tokens(self, limit: int) -> int:
        return len(self._db.tokens.page(None, limit, open_only=True, run=None))

    @override
    async def count_mail(self, run: RunId, limit: int) -> tuple[int, int | None]:
        mail = self._db.mail_of(run, limit, 0)
        return len(mail), mail[0].at if mail else None

    @override
    async def read_tail(self, shards: Collection[int]) -> dict[RunId, TailRun]:
        return self._db.tail(shards)

    @override
    async def resident_runs(self, shards: Collection[int]) -> list[RunRow]:
        return [row for row in self._db.open_rows(shards) if row.resident]

    @override
    async def due_runs(self, shards: Collection[int], now: int, limit: int) -> list[RunRow]:
        return self._db.due(shards, now, limit)

    @override
    async def next_wake(self, shards: Collection[int], after: int = -1) -> int | None:
        return self._db.first_wake(shards, after)

    @override
    async def read_mailbox(self, run: RunId, limit: int, after: int = 0) -> list[Message]:
        mail = self._db.mail_of(run, limit, after)
        if self._faults is not None:
            await self._faults.after_read()
        return mail

    @override
    async def runs_with_mail(
        self, shards: Collection[int], limit: int, after: RunId | None = None
    ) -> list[RunId]:
        return self._db.mailed(shards, limit, after)

    @override
    async def list_runs(self, which: RunFilter, after: Cursor | None, limit: int) -> list[RunRow]:
        rows = sorted(self._db.rows.values(), key=lambda r: (r.created_at, r.id), reverse=True)
        if after is not None:
            rows = [r for r in rows if (r.created_at, r.id) < (after.created_at, after.id)]
        return page_of([row for row in rows if matches(row, which)], limit)

    @override
    async def glance_at_runs(self, which: RunFilter, limit: int) -> list[RunGlance]:
        rows = [row for row in self._db.rows.values() if matches(row, which)]
        rows.sort(key=lambda r: (r.created_at, r.id), reverse=True)
        return [glance_of(row) for row in rows[:limit]]

    @override
    async def count_by_status(self) -> dict[Status, int]:
        return Counter(r.status for r in self._db.rows.values() if r.kind == "workflow")

    @override
    async def count_dead(self) -> int:
        return len(self._db.dead(None, 0, 1 << 60))

    @override
    async def count_runs(self, which: RunFilter, limit: int) -> int:
        return min(limit, sum(matches(row, which) for row in self._db.rows.values()))

    @override
    async def read_stream(self, run: RunId, name: str, offset: int, limit: int) -> list[StreamRow]:
        rows = [row for row in self._db.streams(run) if row.name == name]
        first = bisect_left(rows, offset, key=lambda row: row.offset + row.count - 1)
        page = rows[first : first + limit]
        sizes = list(accumulate(len(row.body) for row in page))
        return page[: bisect_left(sizes, limits.STREAM_READ_BYTES) + 1]

    @override
    async def read_retractions(self, run: RunId, name: str, offset: int) -> dict[str, int]:
        return {
            row.writer: row.offset
            for row in self._db.streams(run)
            if row.name == name and row.kind == "retract" and row.offset >= offset
        }

    @override
    async def read_stream_ends(self, run: RunId) -> dict[str, int]:
        ends = {row.name: row.offset + row.count for row in self._db.streams(run)}
        return dict(sorted(ends.items()))

    @override
    async def read_value(self, run: RunId, name: str) -> bytes | None:
        return self._db.values(run, name).get(name)

    @override
    async def read_values(self, run: RunId, prefix: str) -> dict[str, bytes]:
        return self._db.values(run, prefix)

    @override
    async def read_dead(self, run: RunId | None, after: int, limit: int) -> list[DeadLetter]:
        return page_of(self._db.dead(run, after, limit), limit)

    @override
    async def read_token(self, token: str) -> TokenRow | None:
        return self._db.tokens.find(token)

    @override
    async def list_tokens(
        self,
        after: tuple[int, str] | None,
        limit: int,
        *,
        open_only: bool = False,
        run: RunId | None = None,
    ) -> list[TokenRow]:
        return page_of(self._db.tokens.page(after, limit, open_only=open_only, run=run), limit)

    @override
    async def read_audit(
        self, before: int | None, limit: int, *, run: RunId | None, caller: str | None
    ) -> list[AuditRow]:
        return self._db.audit.read(before, limit, run=run, caller=caller)

    @override
    async def prune_audit(
        self, before: int, traffic_before: int, traffic_max: int, caller_max: int
    ) -> int:
        return self._db.audit.prune(before, traffic_before, traffic_max, caller_max)

    @override
    async def log_size(self) -> int:
        return len(self._db.log)

    @override
    async def truncate_log(self, limit: int) -> int:
        return self._db.truncate(limit)

    @override
    async def prune(self, closed_before: int, limit: int) -> int:
        return self._db.prune(closed_before, limit)

    @override
    async def close(self) -> None:
        if self._hint is not None and self._hint in self._db.hints:
            self._db.hints.remove(self._hint)
