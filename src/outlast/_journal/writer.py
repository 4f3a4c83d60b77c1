"""The group commit: everything that becomes durable passes through one writer.

Transactions queue here while the commit before them is on its way; then all of them go to the
store as one batch. Batches form by themselves: an idle writer commits at once, a busy one commits
much at a time, and no timer is involved.

Invariants:
  * transactions reach the store in the order they were submitted;
  * `done` is called, from a host-loop callback, only after the batch is durable;
  * a full or absent store makes the writer wait and try again. What runs have produced is kept,
    what comes from outside (a start, a signal) is refused, and nothing is ever guessed:
    after a lost reply the store is asked what became of the commit.
"""

from __future__ import annotations

import logging
from asyncio import Future
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from outlast import limits
from outlast._events import Events
from outlast._store.contract import CommitId, CommitResult, Store, Transaction
from outlast._world import World
from outlast.errors import (
    CommitUnknown,
    EngineClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

log = logging.getLogger("outlast.journal")

Done = Callable[[Transaction, CommitResult], None]
Refused = Callable[[StoreError], None]


@dataclass(slots=True)
class _Entry:
    transaction: Transaction
    done: Done
    refused: Refused | None


class Writer:
    """Turns submitted transactions into commits of one store."""

    def __init__(self, store: Store, world: World, *, owner: str, events: Events) -> None:
        self._store = store
        self._world = world
        self._owner = owner
        self._events = events
        self._queue: deque[_Entry] = deque()
        self._number = 0
        self._waiting: Future[None] | None = None
        self._room: deque[Future[None]] = deque()
        self._flushes: list[Future[None]] = []
        self._is_committing = False
        self._is_closing = False
        self.trouble: StoreError | None = None
        self._task = world.spawn(self._run(), name="outlast-writer")

    @property
    def is_full(self) -> bool:
        """Whether producers should wait (`room`) before they submit more."""
        return len(self._queue) >= limits.WRITER_QUEUE_MAX

    @property
    def is_busy(self) -> bool:
        """Whether something is queued or on its way."""
        return bool(self._queue) or self._is_committing

    def submit(
        self, transaction: Transaction, done: Done, *, refused: Refused | None = None
    ) -> None:
        """Queue a transaction; `done` gets its result when it is durable.

        With `refused` it comes from outside and may be turned away while the store has trouble;
        without, it is kept until the store takes it.
        """
        if refused is not None and self.trouble is not None:
            self._world.call_soon(refused, self.trouble)
            return
        self._queue.append(_Entry(transaction, done, refused))
        self._wake()

    async def commit(self, transaction: Transaction) -> CommitResult:
        """Commit something from outside and return what became of it.

        Raises:
            StoreFull, StoreUnavailable: the store cannot take it now; nothing was written.
        """
        if self._task.done():
            raise EngineClosed("the engine's journal is closed")
        answer: Future[CommitResult] = self._world.loop.create_future()

        def done(_: Transaction, result: CommitResult) -> None:
            if not answer.done():
                answer.set_result(result)

        def refused(error: StoreError) -> None:
            if not answer.done():
                answer.set_exception(error)

        self.submit(transaction, done, refused=refused)
        return await answer

    async def room(self) -> None:
        """Wait until the queue is below its bound."""
        while self.is_full and not self._task.done():
            future: Future[None] = self._world.loop.create_future()
            self._room.append(future)
            await future

    async def flushed(self) -> None:
        """Return when everything submitted so far is durable."""
        while (self._queue or self._is_committing) and not self._task.done():
            future: Future[None] = self._world.loop.create_future()
            self._flushes.append(future)
            await future

    async def close(self) -> None:
        """Commit what is queued, then stop."""
        self._is_closing = True
        self._wake()
        await self._task

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _run(self) -> None:
        try:
            while True:
                if not self._queue:
                    if self._is_closing:
                        return
                    self._waiting = self._world.loop.create_future()
                    await self._waiting
                    continue
                batch = self._take()
                self._is_committing = True
                results = await self._commit(batch)
                self._is_committing = False
                self._world.call_soon(self._hand_out, batch, results)
        except StoreError as error:
            self._fail(error)

    def _take(self) -> list[_Entry]:
        count = min(len(self._queue), limits.COMMIT_TRANSACTIONS_MAX)
        batch = [self._queue.popleft() for _ in range(count)]
        for entry in batch:
            entry.transaction.is_sealed = True
        while self._room and not self.is_full:
            future = self._room.popleft()
            if not future.done():
                future.set_result(None)
        return batch

    def _hand_out(self, batch: list[_Entry], results: list[CommitResult]) -> None:
        for entry, result in zip(batch, results, strict=True):
            entry.done(entry.transaction, result)
        if self._flushes and not self._queue:
            self._release(self._flushes)

    async def _commit(self, batch: list[_Entry]) -> list[CommitResult]:
        """Commit until it is done; `batch` loses the entries that are turned away meanwhile."""
        self._number += 1
        commit_id = CommitId(self._owner, self._number)
        tries = 0
        while True:
            try:
                results = await self._store.commit(commit_id, [e.transaction for e in batch])
            except (StoreFull, StoreUnavailable) as error:
                self._begin_trouble(error, batch)
                if not batch:
                    # Only outside requests: the next one probes the store again.
                    self.trouble = None
                    return []
            except CommitUnknown:
                known = await self._resolve(commit_id)
                if known is not None:
                    self._end_trouble()
                    return known
            else:
                self._end_trouble()
                self._events.commits += 1
                return results
            pauses = limits.STORE_RETRY_SECONDS
            await self._world.sleep(pauses[min(tries, len(pauses) - 1)])
            tries += 1

    async def _resolve(self, commit_id: CommitId) -> list[CommitResult] | None:
        tries = 0
        while True:
            try:
                return await self._store.outcome_of(commit_id)
            except (StoreUnavailable, CommitUnknown):
                pauses = limits.STORE_RETRY_SECONDS
                await self._world.sleep(pauses[min(tries, len(pauses) - 1)])
                tries += 1

    def _begin_trouble(self, error: StoreError, batch: list[_Entry]) -> None:
        if self.trouble is None:
            log.error("the store takes no writes now, runs wait: %s", error)
        self.trouble = error
        self._events.store_errors += 1
        for entry in [e for e in batch if e.refused is not None]:
            self._refuse(entry, error)
            batch.remove(entry)
        for entry in [e for e in self._queue if e.refused is not None]:
            self._refuse(entry, error)
            self._queue.remove(entry)

    def _refuse(self, entry: _Entry, error: StoreError) -> None:
        if entry.refused is not None:
            self._world.call_soon(entry.refused, error)

    def _end_trouble(self) -> None:
        if self.trouble is not None:
            log.warning("the store takes writes again")
            self.trouble = None

    @staticmethod
    def _release(futures: list[Future[None]] | deque[Future[None]]) -> None:
        for future in futures:
            if not future.done():
                future.set_result(None)
        futures.clear()

    def _fail(self, error: StoreError) -> None:
        """The store is broken for good: acknowledge nothing more, tell everyone who waits."""
        log.critical("the store failed; nothing more is written: %s", error)
        self.trouble = error
        self._events.fatal = error
        for entry in self._queue:
            self._refuse(entry, error)
        self._release(self._flushes)
        self._release(self._room)
        for listener in self._events.on_fatal:
            listener(error)
