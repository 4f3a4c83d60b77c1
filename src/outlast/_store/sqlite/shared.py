"""A database file that several processes use: one owns it, the others write through it.

The process that finds the file free owns it, and is then a `SqliteStore` like any other. The
others read the file, and have the owner make their commits. When the owner dies, the kernel closes
the connection to it; each of the others then tries to take the lock, and who does not get it turns
to the one that has. A commit on its way goes to the new owner under the same id, and is made once.

Invariants:
  * only commits without a lease go through the owner: the runs are the owner's alone;
  * a commit is sent again only under its id, which the database keeps with what became of it;
  * once this process owns the file it does so until it closes it.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from typing_extensions import override

from outlast import limits
from outlast._codec.stored.layers import BodyCodec
from outlast._store.contract import Committed, Hint
from outlast._store.decisions import as_old
from outlast._store.sqlite.files.lock import living_holder
from outlast._store.sqlite.store import SqliteStore
from outlast._store.transactions import CommitId, CommitResult, Transaction
from outlast._world import World
from outlast.errors import CommitUnknown, StoreError, StoreLocked, StoreMissing, StoreUnavailable
from outlast.types import Lease, RunId

log = logging.getLogger("outlast.store")

T = TypeVar("T")
_PAUSE_SECONDS = 0.02  # between two tries to take the lock, or to find who has it
_PAUSE_SECONDS_MAX = 0.2


class OwnerGone(Exception):
    """The owner went away before it answered, and may have done what it was asked."""


class OwnerLink(Protocol):
    """The engine that owns a database, for a process beside it.

    Its verbs raise `OwnerGone` when the owner is not there any more.
    """

    async def commit(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        """Have a batch made durable, once for its id.

        Raises:
            StoreFull, StoreUnavailable: nothing was written; CommitUnknown: it does not answer.
        """
        ...

    async def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        """Return what became of this process's last commit, or None when it was not made."""
        ...

    async def follow(self, hear: Hint) -> None:
        """Tell of the runs that the owner changes; returns when it is gone."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


Connect: TypeAlias = Callable[[Path], Awaitable[OwnerLink | None]]
"""Finds the owner of a database; None when none can be reached."""


class SharedSqliteStore(SqliteStore):
    """A store that owns its file, or writes through the process that does."""

    _connect: Connect
    _link: OwnerLink | None = None
    _follower: Task[None] | None = None
    _hint: Hint | None = None
    _hear_fault: Callable[[StoreError], None] | None = None
    _on_owned: Callable[[], None] | None = None
    _forwarded: CommitId | None = None
    _given_up: StoreError | None = None
    _moved: Future[None] | None = None  # done when there is another owner
    _codec: BodyCodec | None = None

    @classmethod
    async def share(
        cls, path: Path, *, world: World, connect: Connect, codec: BodyCodec | None = None
    ) -> SharedSqliteStore:
        """Open a database as its owner if it is free, else beside its owner.

        Raises:
            StoreUnavailable: another process has it, and cannot be reached. Else as `open`.
        """
        ends = world.monotonic() + limits.SHARE_SECONDS
        while True:
            try:
                return await cls.open(path, world=world, codec=codec)
            except StoreLocked as locked:
                # Who has just taken the lock does not listen before the database is open.
                link = await connect(path)
                if link is None and world.monotonic() > ends:
                    raise StoreUnavailable(
                        f"process {locked.pid} owns {path} and does not answer on its socket: it "
                        "is suspended or busy, or runs another version of outlast"
                    ) from None
            if link is not None:
                return await cls._beside(path, world, connect, link, codec)
            await world.sleep(_PAUSE_SECONDS)

    @classmethod
    async def _beside(
        cls,
        path: Path,
        world: World,
        connect: Connect,
        link: OwnerLink,
        codec: BodyCodec | None,
    ) -> SharedSqliteStore:
        try:
            store = await cls.open(path, world=world, read_only=True, codec=codec)
        except BaseException:
            await link.close()
            raise
        store._connect = connect
        store._codec = codec
        store._link = link
        store._follower = world.spawn(store._follow(), name="outlast-share")
        return store

    @property
    def owns(self) -> bool:
        """Whether this process owns the file."""
        return self._writing is not None

    def when_owned(self, call: Callable[[], None]) -> None:
        """Have `call` called as soon as this process owns the file."""
        self._on_owned = call
        if self.owns:
            call()

    @property
    @override
    def is_shared(self) -> bool:
        return not self.owns

    @property
    @override
    def fault(self) -> StoreError | None:
        return self._given_up or super().fault

    @override
    def watch_fault(self, hear: Callable[[StoreError], None]) -> None:
        self._hear_fault = hear
        super().watch_fault(hear)

    @override
    def watch(self, hint: Hint) -> None:
        self._hint = hint

    # ---------------------------------------------------------------------- ownership
    @override
    async def acquire_leases(self, owner: str, shards: Collection[int]) -> list[Lease]:
        return await super().acquire_leases(owner, shards) if self.owns else []

    @override
    async def release_leases(self, leases: Sequence[Lease]) -> None:
        if self.owns:
            await super().release_leases(leases)

    async def _follow(self) -> None:
        """Follow the owner, and the one after it, until it is this process."""
        pause = _PAUSE_SECONDS
        while not self.owns and self._given_up is None:
            link = self._link
            if link is not None:
                await link.follow(self._hear)
                self._link = None
                await link.close()
                log.info("the process that owned %s has ended", self.path)
                pause = _PAUSE_SECONDS
            elif not await self._take_over():
                self._link = await self._connect(self.path)
                if self._link is None:
                    await self._world.sleep(pause)
                    pause = min(2 * pause, _PAUSE_SECONDS_MAX)
            if self._link is not None or self.owns:
                self._has_moved()

    async def _take_over(self) -> bool:
        """Own the file, unless another process does."""
        try:
            owned = await SqliteStore.open(
                self.path, world=self._world, create=False, codec=self._codec
            )
        except StoreLocked:
            return False
        except StoreMissing as error:
            self._give_up(error)
        except StoreUnavailable as error:
            log.warning("cannot take over %s at the moment: %s", self.path, error)
            return False
        except StoreError as error:
            self._give_up(error)
        else:
            log.warning("this process now owns %s", self.path)
            await self._become(owned)
            if self._hear_fault is not None:
                super().watch_fault(self._hear_fault)
            if self._on_owned is not None:
                self._on_owned()
        return True

    async def _become(self, other: SqliteStore) -> None:
        """Go on with the connections of another opening of this file, and close those of before."""
        readers, lookups, checks = self._readers, self._lookup_threads, self._checks
        connections = self._connections
        self._lock, self._writing, self._writer = other._lock, other._writing, other._writer
        self._readers, self._lookup_threads = other._readers, other._lookup_threads
        self._connections = other._connections
        self._checks, self._condition = other._checks, other._condition

        def close() -> None:
            lookups.close()
            readers.close()
            for db in connections:
                db.close(True)

        await checks.stop()
        await self._world.run_blocking(close)

    def _give_up(self, error: StoreError) -> None:
        log.critical("cannot take over %s: %s", self.path, error)
        self._given_up = error
        if self._hear_fault is not None:
            self._hear_fault(error)
        self._has_moved()

    def _hear(self, runs: Collection[RunId]) -> None:
        if self._hint is not None:
            self._hint(runs)

    def _has_moved(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set_result(None)
        self._hear(())

    # ------------------------------------------------------------------------ writing
    @override
    def commit(
        self, commit_id: CommitId, batch: Sequence[Transaction], then: Committed | None = None
    ) -> Future[list[CommitResult]]:
        if self.owns:
            return super().commit(commit_id, batch, then)
        self._check_usable()
        self._forwarded = commit_id
        answer: Future[list[CommitResult]] = self._world.loop.create_future()
        work = self._forward(commit_id, batch, answer, then)
        self._world.spawn(work, name="outlast-forward")
        return answer

    async def _forward(
        self,
        commit_id: CommitId,
        batch: Sequence[Transaction],
        answer: Future[list[CommitResult]],
        then: Committed | None,
    ) -> None:
        try:
            results = await self._at_the_owner(
                lambda link: self._sent(link, commit_id, batch),
                lambda: self._carried(commit_id, batch),
            )
        except StoreError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(results)
        if then is not None:
            then(answer)

    async def _sent(
        self, link: OwnerLink, commit_id: CommitId, batch: Sequence[Transaction]
    ) -> list[CommitResult]:
        results = await link.commit(commit_id, batch)
        # If that owner is dead by now, and its runs are here, they know of it from the file.
        return as_old(results) if self.owns else results

    async def _carried(
        self, commit_id: CommitId, batch: Sequence[Transaction]
    ) -> list[CommitResult]:
        carried = await self.commit_for(commit_id, batch)
        return carried.results if carried.is_new else as_old(carried.results)

    @override
    async def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        if commit_id != self._forwarded:
            return await super().outcome_of(commit_id)
        found = await self._at_the_owner(
            lambda link: link.outcome_of(commit_id), lambda: self.outcome_for(commit_id)
        )
        return None if found is None else as_old(found)

    async def _at_the_owner(
        self, ask: Callable[[OwnerLink], Awaitable[T]], do: Callable[[], Awaitable[T]]
    ) -> T:
        """Have something done once by whoever owns the file, also if that changes meanwhile."""
        ends = self._world.monotonic() + limits.SHARE_SECONDS
        was_sent = False
        while True:
            self._check_usable()
            if self.owns:
                return await do()
            link = self._link
            if link is not None:
                try:
                    return await ask(link)
                except OwnerGone:
                    was_sent = True
            left = ends - self._world.monotonic()
            if left <= 0:
                break
            if self._link is None:
                await self._another_owner(left)
            else:  # the link that failed is given up as soon as its end is noticed
                await self._world.sleep(_PAUSE_SECONDS)
        pid = living_holder(self.path)
        text = f"no process owns {self.path}, and this process could not take it over"
        if pid is not None:
            text = f"process {pid} owns {self.path} and does not answer: it is suspended or busy"
        raise CommitUnknown(text) if was_sent else StoreUnavailable(text)

    async def _another_owner(self, seconds: float) -> None:
        if self._moved is None:
            self._moved = self._world.loop.create_future()
        await asyncio.wait([self._moved], timeout=seconds)

    # ----------------------------------------------------------------------- upkeep
    @override
    async def truncate_log(self, limit: int) -> int:
        return await super().truncate_log(limit) if self.owns else 0

    @override
    async def prune(self, closed_before: int, limit: int) -> int:
        return await super().prune(closed_before, limit) if self.owns else 0

    @override
    async def prune_audit(
        self, before: int, traffic_before: int, traffic_max: int, caller_max: int
    ) -> int:
        if not self.owns:
            return 0
        return await super().prune_audit(before, traffic_before, traffic_max, caller_max)

    @override
    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        if self._link is not None:
            await self._link.close()
        await super().close()
