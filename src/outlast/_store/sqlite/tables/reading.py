"""The reading verbs of a database, on whichever connections they are given."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from typing_extensions import override

from outlast._records import Record
from outlast._store.auditing import AuditRow
from outlast._store.contract import Cursor, Lookups, RunFilter, TailRun
from outlast._store.glimpses import WHOLE, Part, RunGlance
from outlast._store.rows import DeadLetter, Message, RunRow, StreamRow, TokenRow
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.tables import audit as sqlite_audit
from outlast._store.sqlite.tables import listing as sqlite_listing
from outlast._store.sqlite.tables import reads as sqlite_reads
from outlast._store.sqlite.tables import tokens as sqlite_tokens
from outlast._store.sqlite.tables.checks import Reading
from outlast.types import RunId, Status

T = TypeVar("T")


class Look(Protocol):
    """Has a thread do a job on a connection."""

    def __call__(self, job: Callable[[Reading], T], /, *, is_wide: bool = False) -> Future[T]:
        """Return what it will give; `is_wide` if the job may go through all that there is."""
        ...


class SqliteReads(Lookups):
    """Reads by `look`; see `outlast._store.contract` for the verbs."""

    def __init__(self, look: Look) -> None:
        self._look_by = look

    def _read(self, job: Callable[[Connection], T]) -> Future[T]:
        return self._look_by(lambda reading: job(reading.db))

    @override
    async def read_run(self, run: RunId) -> RunRow | None:
        return await self._read(lambda db: sqlite_reads.read_run(db, run))

    @override
    async def read_journal(
        self, run: RunId, after: int = 0, upto: int | None = None, part: Part = WHOLE
    ) -> list[Record]:
        return await self._look_by(lambda r: sqlite_reads.read_journal(r, run, after, upto, part))

    @override
    async def read_value_names(self, run: RunId) -> list[str]:
        return await self._look_by(lambda r: sqlite_reads.read_value_names(r, run))

    @override
    async def count_open_tokens(self, limit: int) -> int:
        return await self._read(lambda db: sqlite_tokens.count_open(db, limit))

    @override
    async def count_mail(self, run: RunId, limit: int) -> tuple[int, int | None]:
        return await self._look_by(lambda r: sqlite_reads.count_mail(r, run, limit))

    @override
    async def read_tail(self, shards: Collection[int]) -> dict[RunId, TailRun]:
        if 0 not in shards:
            return {}
        return await self._read(sqlite_reads.read_tail)

    @override
    async def resident_runs(self, shards: Collection[int]) -> list[RunRow]:
        return await self._read(sqlite_reads.resident_runs) if 0 in shards else []

    @override
    async def due_runs(self, shards: Collection[int], now: int, limit: int) -> list[RunRow]:
        if 0 not in shards:
            return []
        return await self._read(lambda db: sqlite_reads.due_runs(db, now, limit))

    @override
    async def next_wake(self, shards: Collection[int], after: int = -1) -> int | None:
        if 0 not in shards:
            return None
        return await self._read(lambda db: sqlite_reads.next_wake(db, after))

    @override
    async def read_mailbox(self, run: RunId, limit: int, after: int = 0) -> list[Message]:
        return await self._look_by(lambda r: sqlite_reads.read_mailbox(r, run, limit, after))

    @override
    async def runs_with_mail(
        self, shards: Collection[int], limit: int, after: RunId | None = None
    ) -> list[RunId]:
        if 0 not in shards:
            return []
        return await self._read(lambda db: sqlite_reads.runs_with_mail(db, limit, after))

    @override
    async def list_runs(self, which: RunFilter, after: Cursor | None, limit: int) -> list[RunRow]:
        return await self._look_by(
            lambda r: sqlite_listing.list_runs(r, which, after, limit), is_wide=_is_wide(which)
        )

    @override
    async def glance_at_runs(self, which: RunFilter, limit: int) -> list[RunGlance]:
        return await self._look_by(
            lambda r: sqlite_listing.glance_at_runs(r.db, which, limit), is_wide=True
        )

    @override
    async def count_by_status(self) -> dict[Status, int]:
        return await self._read(sqlite_reads.count_by_status)

    @override
    async def count_dead(self) -> int:
        return await self._read(sqlite_reads.count_dead)

    @override
    async def count_runs(self, which: RunFilter, limit: int) -> int:
        return await self._look_by(
            lambda r: sqlite_listing.count_runs(r.db, which, limit), is_wide=True
        )

    @override
    async def read_stream(self, run: RunId, name: str, offset: int, limit: int) -> list[StreamRow]:
        return await self._look_by(lambda r: sqlite_reads.read_stream(r, run, name, offset, limit))

    @override
    async def read_retractions(self, run: RunId, name: str, offset: int) -> dict[str, int]:
        return await self._look_by(lambda r: sqlite_reads.read_retractions(r, run, name, offset))

    @override
    async def read_stream_ends(self, run: RunId) -> dict[str, int]:
        return await self._look_by(lambda r: sqlite_reads.read_stream_ends(r, run))

    @override
    async def read_value(self, run: RunId, name: str) -> bytes | None:
        return await self._look_by(lambda r: sqlite_reads.read_value(r, run, name))

    @override
    async def read_values(self, run: RunId, prefix: str) -> dict[str, bytes]:
        return await self._look_by(lambda r: sqlite_reads.read_values(r, run, prefix))

    @override
    async def read_dead(self, run: RunId | None, after: int, limit: int) -> list[DeadLetter]:
        return await self._read(lambda db: sqlite_reads.read_dead(db, run, after, limit))

    @override
    async def read_token(self, token: str) -> TokenRow | None:
        return await self._read(lambda db: sqlite_tokens.read_token(db, token))

    @override
    async def list_tokens(
        self,
        after: tuple[int, str] | None,
        limit: int,
        *,
        open_only: bool = False,
        run: RunId | None = None,
    ) -> list[TokenRow]:
        return await self._read(
            lambda db: sqlite_tokens.list_tokens(db, after, limit, open_only=open_only, run=run)
        )

    @override
    async def read_audit(
        self, before: int | None, limit: int, *, run: RunId | None, caller: str | None
    ) -> list[AuditRow]:
        return await self._read(
            lambda db: sqlite_audit.read_audit(db, before, limit, run=run, caller=caller)
        )


def _is_wide(which: RunFilter) -> bool:
    """Whether runs may have to be gone through that are not wanted: no index leads to others."""
    is_filtered = which.workflow is not None or which.statuses is not None
    return is_filtered or bool(which.words)
