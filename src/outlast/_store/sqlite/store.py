"""The store in a SQLite file: one engine owns it, any process may read it.

One thread writes, on a connection of its own; a few threads read. The host loop never touches
the file. Neither does anything here decide: what the tables look like is `migrations/`, what a
batch does to them `sqlite_batch`, and whether the file may be opened `sqlite_schema`.

Invariants:
  * whoever may write holds the owner lock (`sqlite_lock`);
  * a commit is durable (WAL, synchronous=FULL) before its results reach the loop;
  * no read transaction outlives the call that began it.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import Future
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

from typing_extensions import override

from outlast import limits
from outlast._codec.stored.layers import BodyCodec
from outlast._store.contract import Committed, Hint, Lookups, Store
from outlast._store.sqlite.codec_keys import begin, codec_for
from outlast._store.sqlite.condition import Condition
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.examination import prepare, prepare_reading
from outlast._store.sqlite.faults import explain, forked
from outlast._store.sqlite.files.lock import OwnerLock, is_held_here, refuse_network_file_system
from outlast._store.sqlite.files.traces import Traces
from outlast._store.sqlite.files.watch import ReadWatch
from outlast._store.sqlite.files.write_ahead_log import make_directory
from outlast._store.sqlite.lookups import QUICK, SLOW, LookupThreads
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.sharers import Carried, commit_for, outcome_for
from outlast._store.sqlite.tables import audit as sqlite_audit
from outlast._store.sqlite.tables import forget as sqlite_forget
from outlast._store.sqlite.tables import reads as sqlite_reads
from outlast._store.sqlite.tables.checks import Checks, Reading
from outlast._store.sqlite.tables.reading import SqliteReads
from outlast._store.sqlite.tables.schema import missing
from outlast._store.sqlite.workers import Workers
from outlast._store.sqlite.writing import Writing
from outlast._store.transactions import CommitId, CommitResult, Transaction
from outlast._world import World, process_id
from outlast.errors import StoreDamaged, StoreError, StoreReadOnly, StoreUnavailable
from outlast.types import Lease, RunId

T = TypeVar("T")

S = TypeVar("S", bound="SqliteStore")

Carrying: TypeAlias = Callable[[Future[Carried]], None]

READERS = 2  # for the engine; those for others are `sqlite_lookups`'


class SqliteStore(SqliteReads, Store):
    """A database file; see `outlast._store.contract` for the verbs."""

    def __init__(
        self,
        path: Path,
        world: World,
        *,
        readers: Sequence[Connection],
        writing: Writing | None,
        lock: OwnerLock | None,
        condition: Condition,
    ) -> None:
        super().__init__(self._look)
        self.path = path
        self._world = world
        self._pid = process_id()
        self._is_closed = False
        self._lock = lock
        self._connections = readers
        readings = [Reading(db, condition.checks) for db in readers]

        def explained(error: Exception, reading: Reading) -> Exception:
            return explain(error, str(path), reading.db)

        self._readers = Workers(
            world,
            readings[:READERS],
            name="outlast-read",
            after_job=_nothing,
            explain=explained,
        )
        self._lookup_threads = LookupThreads(world, readings[READERS:], explain=explained)
        self._lookups = SqliteReads(self._look_for_others)
        self._writing = writing
        self._checks = condition.checks
        self._condition = condition
        self._writer = None if writing is None else _thread_of(writing, world, str(path))

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        world: World,
        read_only: bool = False,
        create: bool = True,
        codec: BodyCodec | None = None,
    ) -> Self:
        """Open a database, as its owner or to read it.

        Its owner makes it if it is not there (`create`) and brings it up to date. A reader may
        open it beside an owner in another process, or without one. With a `codec`, bodies are
        encoded and decoded on the threads that write and read.

        Raises:
            StoreLocked: another engine owns it.
            StoreCodecError: it cannot be read with this codec.
            StoreMissing, StoreDamaged, StoreTooNew: what is there cannot be used; it is not
                touched.
            StoreError: the file cannot be opened or made, or is on a network file system.
        """
        opening = world.run_blocking(
            lambda: (
                _open_for_reading(cls, path, world, codec)
                if read_only
                else _open_owned(cls, path, world, codec, create=create)
            )
        )
        store = await _opened(opening)
        store._checks.go_on(world)
        return store

    @property
    @override
    def shards_count(self) -> int:
        return 1

    @property
    @override
    def is_shared(self) -> bool:
        return False

    @property
    @override
    def lookups(self) -> Lookups:
        return self._lookups

    @property
    @override
    def log_bytes(self) -> int:
        return 0 if self._writing is None else self._writing.log_bytes

    @property
    @override
    def fault(self) -> StoreError | None:
        return self._condition.fault

    @override
    def watch_fault(self, hear: Callable[[StoreError], None]) -> None:
        self._condition.tell(self._world, hear)

    @property
    @override
    def is_verifying(self) -> bool:
        return self._checks.is_running

    @property
    @override
    def damaged_runs(self) -> dict[RunId, StoreDamaged]:
        return self._checks.damaged_runs

    # ------------------------------------------------------------------------- ownership
    @override
    async def acquire_leases(self, owner: str, shards: Collection[int]) -> list[Lease]:
        if 0 not in shards:
            return []
        return await self._write(lambda writing: writing.acquire(owner))

    @override
    def renew_leases(self, leases: Sequence[Lease]) -> list[Lease]:
        # The owner lock does not expire, so there is nothing to renew.
        self._check_usable()
        return [] if self._writing is None else self._writing.matches(leases)

    @override
    async def release_leases(self, leases: Sequence[Lease]) -> None:
        await self._write(lambda writing: writing.release(leases))

    @override
    def watch(self, hint: Hint) -> None:
        """Do nothing: no other engine writes."""

    # --------------------------------------------------------------------------- writing
    @override
    def commit(
        self, commit_id: CommitId, batch: Sequence[Transaction], then: Committed | None = None
    ) -> Future[list[CommitResult]]:
        return self._write(lambda writing: writing.commit(commit_id, batch), then)

    @override
    async def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        return await self._write(lambda writing: writing.outcome_of(commit_id))

    def commit_for(
        self, sharer: CommitId, batch: Sequence[Transaction], then: Carrying | None = None
    ) -> Future[Carried]:
        """Make durable what another process commits, once for its id; `then` as in `commit`."""
        return self._write(partial(commit_for, sharer, batch, self._world.now()), then)

    def outcome_for(self, sharer: CommitId) -> Future[list[CommitResult] | None]:
        """Return what became of another process's last commit, or None when it was not made."""
        return self._write(partial(outcome_for, sharer))

    # ----------------------------------------------------------------------- maintenance
    @override
    async def log_size(self) -> int:
        return await self._read(sqlite_reads.log_size)

    @override
    async def truncate_log(self, limit: int) -> int:
        return await self._change(lambda db: sqlite_forget.truncate(db, limit))

    @override
    async def prune(self, closed_before: int, limit: int) -> int:
        return await self._change(lambda db: sqlite_forget.prune(db, closed_before, limit))

    @override
    async def prune_audit(
        self, before: int, traffic_before: int, traffic_max: int, caller_max: int
    ) -> int:
        most = (before, traffic_before, traffic_max, caller_max)
        if not await self._look(lambda reading: sqlite_audit.is_due(reading.db, *most)):
            return 0  # looking is no commit
        return await self._change(lambda db: sqlite_audit.prune_audit(db, *most))

    @override
    async def close(self) -> None:
        if self._is_closed or self._pid != process_id():
            return
        self._is_closed = True
        await self._checks.stop()
        await self._world.run_blocking(self._close)

    def _close(self) -> None:
        try:
            self._lookup_threads.close()
            self._readers.close()
            for db in self._connections:
                db.close(True)
            if self._writer is not None:
                self._writer.close()
            if self._writing is not None:
                self._writing.close()
            self._condition.closed()
        finally:
            if self._lock is not None:
                self._lock.release()

    # --------------------------------------------------------------------------- threads
    def _look(self, job: Callable[[Reading], T], *, is_wide: bool = False) -> Future[T]:
        """Read for the engine."""
        self._check_usable()
        return self._readers.call(self._condition.watched(job))

    def _look_for_others(self, job: Callable[[Reading], T], *, is_wide: bool = False) -> Future[T]:
        """Read for whoever looks."""
        self._check_usable()
        return self._lookup_threads.call(self._condition.watched(job), is_wide=is_wide)

    def _write(
        self, job: Callable[[Writing], T], then: Callable[[Future[T]], None] | None = None
    ) -> Future[T]:
        self._check_usable()
        if self._writer is None:
            raise StoreReadOnly(f"{self.path} was opened read-only")
        return self._writer.call(job, then)

    def _change(self, work: Callable[[Connection], T]) -> Future[T]:
        return self._write(lambda writing: writing.change(work))

    def _check_usable(self) -> None:
        if self._pid != process_id():
            raise forked(self.path, self._pid)
        if self._is_closed:
            raise StoreUnavailable(f"{self.path} is closed")
        if (fault := self._condition.fault) is not None:
            raise fault


def _full_path(path: str | os.PathLike[str]) -> Path:
    full = Path(os.path.realpath(path))
    refuse_network_file_system(full)
    return full


def _open_owned(
    cls: type[S],
    name: str | os.PathLike[str],
    world: World,
    codec: BodyCodec | None,
    *,
    create: bool,
) -> S:
    path = _full_path(name)
    if not path.parent.is_dir():
        if not create:
            raise missing(path)
        make_directory(path.parent)
    lock = OwnerLock(path)
    try:
        checks = Checks(path, open_reader)
        begun = None if codec is None else partial(begin, codec=codec, new_seed=world.new_seed)
        db = prepare(path, create=create, checks=checks, begin=begun)
        try:
            db.codec = codec_for(db, path, codec, world.new_seed, is_writing=True)
            lock.note_database(is_there=True)
            writing = Writing(db, path)
        except BaseException:
            db.close(True)
            raise
        try:
            readers = _open_readers(path)
            for reader in readers:
                reader.codec = db.codec
        except BaseException:
            writing.close()
            raise
        condition = Condition(checks, writing.watch)
        return cls(path, world, readers=readers, writing=writing, lock=lock, condition=condition)
    except BaseException:
        lock.release()
        raise


def _open_for_reading(
    cls: type[S], name: str | os.PathLike[str], world: World, codec: BodyCodec | None
) -> S:
    path = _full_path(name)
    traces = Traces(path)
    try:
        return _open_unlocked(cls, path, world, traces, codec)
    except BaseException:
        traces.remove()
        raise


def _open_unlocked(
    cls: type[S], path: Path, world: World, traces: Traces, codec: BodyCodec | None
) -> S:
    checks = Checks(path, open_reader)
    if not is_held_here(path):
        prepare_reading(path)
    readers = _open_readers(path)
    try:
        condition = Condition(checks, ReadWatch(path, traces))
        if path.stat().st_size <= limits.READER_VERIFIES_BYTES and not is_held_here(path):
            checks.look_at_structure(readers[0], limits.READER_VERIFIES_BYTES)
            checks.look_at_rows(readers[0], limits.READER_VERIFIES_BYTES)
        row_codec = codec_for(readers[0], path, codec, world.new_seed, is_writing=False)
        for reader in readers:
            reader.codec = row_codec
    except BaseException:
        for db in readers:
            db.close(True)
        raise
    return cls(path, world, readers=readers, writing=None, lock=None, condition=condition)


async def _opened(opening: Future[S]) -> S:
    """Return an opened store; when this is cancelled, close it first: it must not keep the lock."""
    cancelled: asyncio.CancelledError | None = None
    while not opening.done():
        try:
            await asyncio.wait([opening])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return opening.result()
    if not opening.cancelled() and opening.exception() is None:
        opening.result()._close()  # the loop may be closing too: there is no later
    raise cancelled


def _open_readers(path: Path) -> list[Connection]:
    return [open_reader(path) for _ in range(READERS + QUICK + SLOW)]


def _thread_of(writing: Writing, world: World, path: str) -> Workers[Writing]:
    return Workers(
        world,
        [writing],
        name="outlast-write",
        after_job=Writing.after_job,
        explain=lambda error, _: explain(error, path),
        while_idle=(limits.STORE_LOOK_SECONDS, Writing.look_after_files),
    )


def _nothing(_: Reading) -> None:
    """Reading leaves nothing to tidy up."""
