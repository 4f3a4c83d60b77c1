"""What the owner of a database does for the processes that share it.

Their commits are made durable here, once each, and what they start and send is handed to its runs
as if it had come from this process. In turn they are told which runs have changed in a way that
somebody may wait for: they look for themselves.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Sequence

from outlast import limits
from outlast._engine.scheduling.observers import Committed, Fact, RowChanged, TokensChanged
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.verbs.messages import Messages, bounded
from outlast._records import attach
from outlast._store.rows import Message
from outlast._store.sqlite.sharers import Carried
from outlast._store.sqlite.store import SqliteStore
from outlast._store.transactions import (
    CommitId,
    CommitResult,
    Fenced,
    Receipt,
    Transaction,
)
from outlast.errors import NotSupported, OutlastError, StoreUnavailable, UsageError
from outlast.types import CLOSED_STATUSES, RunId

log = logging.getLogger("outlast.engine")
_PROCESSES_MAX = 10_000
_HEARD_SECONDS = 1.0  # how long a commit's answer waits for runs to hear of it
_OBEYED = ("pause", "resume", "cancel", "terminate")
_TOLD_STATUSES = frozenset((*CLOSED_STATUSES, "parked"))


class Changes:
    """The runs that have changed since one process was told; `wake` is called for the first."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._runs: dict[RunId, None] = {}
        self._is_more = False

    def add(self, run: RunId) -> None:
        """Note that a run has changed."""
        if not self._runs:
            self._wake()
        if len(self._runs) < limits.SHARED_CHANGES_MAX:
            self._runs[run] = None
        else:
            self._is_more = True

    def take(self) -> tuple[list[RunId], bool]:
        """Return the runs since the last call, and whether others changed that are not named."""
        runs, is_more = list(self._runs), self._is_more
        self._runs.clear()
        self._is_more = False
        return runs, is_more


class Sharing:
    """The processes that write through this one."""

    def __init__(self, scheduler: Scheduler, messages: Messages) -> None:
        self._scheduler = scheduler
        self._messages = messages
        self._followers: dict[Changes, None] = {}
        self._asked_for: dict[str, int] = {}  # by process: the last commit that it gave up

    async def commit(self, sharer: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        """Make another process's batch durable, once for its id, and hand out what it holds.

        Raises:
            UsageError: it writes what only the owner of a run may.
            StoreFull, StoreUnavailable: nothing was written; CommitUnknown: ask `outcome_of`.
        """
        if any(t.lease is not None or t.records or t.also.summary for t in batch):
            raise UsageError("a process that shares a database writes no records of runs")
        if sharer.number <= self._asked_for.get(sharer.owner, 0):
            # It was told that this was not made: it may have lain in a connection for long.
            raise StoreUnavailable("this commit was given up by the process that sent it")
        for transaction in batch:
            effects = transaction.also
            effects.posts = tuple(bounded(self._scheduler, message) for message in effects.posts)
        hearing: list[asyncio.Task[None]] = []

        def made(future: Future[Carried]) -> None:
            """Follow a commit, whoever waits for it; of one that is sent again nothing follows."""
            if future.cancelled() or future.exception() is not None or not future.result().is_new:
                return
            if self._scheduler.is_closing:
                return  # the next owner finds it
            for transaction, result in zip(batch, future.result().results, strict=True):
                if not isinstance(result, Fenced):
                    hearing.extend(self._hand_out(transaction, result))

        carried = await self._store().commit_for(sharer, batch, made)
        if hearing:
            # Whoever asked may look at a run next, and must not find it as it was.
            await asyncio.wait(hearing, timeout=_HEARD_SECONDS)
        return carried.results

    async def outcome_of(self, sharer: CommitId) -> list[CommitResult] | None:
        """Return what became of another process's last commit, or None when it was not made.

        Then it never is: if it is still on its way, it is refused when it comes.
        """
        self._asked_for.pop(sharer.owner, None)
        self._asked_for[sharer.owner] = sharer.number
        if len(self._asked_for) > _PROCESSES_MAX:
            del self._asked_for[next(iter(self._asked_for))]
        return await self._store().outcome_for(sharer)

    def _store(self) -> SqliteStore:
        store = self._scheduler.store
        if not isinstance(store, SqliteStore):
            raise NotSupported("sharing a store that is not a file")
        return store

    def _hand_out(self, transaction: Transaction, receipt: Receipt) -> list[asyncio.Task[None]]:
        scheduler, effects = self._scheduler, transaction.also
        for start in effects.starts:
            if start.row.id not in receipt.existing:
                scheduler.started(start.row, attach(start.records, effects.blobs))
        hearing: list[asyncio.Task[None]] = []
        posts = zip(effects.posts, receipt.posts, receipt.numbers, strict=True)
        for message, result, number in posts:
            if result == "accepted" and message.kind in _OBEYED:
                work = self._obey(message, number)
                name = f"{message.kind} {message.run}"
                hearing.append(scheduler.world.spawn(work, name=name))
            elif result == "accepted":
                scheduler.deliver(message, number)
        for answer, answered in zip(effects.answers, receipt.answers, strict=True):
            if scheduler.observers.are_any:
                scheduler.observers.tell(TokensChanged())
            if answered.number:
                scheduler.deliver(answer.message, answered.number)
        return hearing

    async def _obey(self, message: Message, number: int) -> None:
        """Do what is asked of a run that may not be in memory."""
        try:
            if message.kind in ("pause", "resume"):
                await self._messages.let_hear(message, number)
            elif not await self._messages.close_unrun(message):
                self._scheduler.deliver(message, number)
        except OutlastError as error:  # it is in the mailbox: who reads that next obeys
            log.warning("run %s hears later of a %s: %s", message.run, message.kind, error)

    # ------------------------------------------------------------------------ changes
    def follow(self, changes: Changes) -> None:
        """Tell of changes from now on."""
        if not self._followers:
            self._scheduler.observers.add(self._observe)
        self._followers[changes] = None

    def leave(self, changes: Changes) -> None:
        """Tell no more."""
        if changes in self._followers:
            del self._followers[changes]
            if not self._followers:
                self._scheduler.observers.remove(self._observe)

    def _observe(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, Committed):
                self._committed(fact.transaction)

    def _committed(self, transaction: Transaction) -> None:
        effects = transaction.effects
        if effects is None:
            return
        summary = effects.summary
        has_ended = summary is not None and summary.status in _TOLD_STATUSES
        if has_ended or effects.values or effects.streams:
            for changes in self._followers:
                changes.add(transaction.run)


def look_for(scheduler: Scheduler, transaction: Transaction, receipt: Receipt) -> None:
    """A commit was made some time ago: look in the store for what it started and sent."""
    if not scheduler.store.is_shared:
        return  # what follows is done when the commit's outcome is known
    effects = transaction.also
    rows = [start.row for start in effects.starts if start.row.id not in receipt.existing]
    for row in rows:
        if scheduler.observers.are_any:
            scheduler.observers.tell(RowChanged(row))
        if scheduler.owns(row.id):
            scheduler.parts.recovery.passivated(row)  # it may have to begin later
    sent = [message.run for message in effects.posts]
    sent += [answer.message.run for answer in effects.answers]
    for run in [*(row.id for row in rows), *sent]:
        if scheduler.owns(run):
            scheduler.parts.messages.has_mail(run)
