"""The group commit: everything that becomes durable passes through one writer.

Transactions queue here while the commit before them is on its way; then all of them go to the
store as one batch. Batches form by themselves: an idle writer commits at once, a busy one commits
much at a time, and no timer is involved. All of it runs in callbacks of the host loop; only a
writer whose store has trouble has a task, which tries again until the store takes the batch.

Invariants:
  * transactions of one run reach the store in the order they were submitted;
  * `done` is called, from a host-loop callback, only after the batch is durable;
  * a full or absent store makes the writer wait and try again. What runs have produced is kept,
    what comes from outside (a start, a signal) is refused, and nothing is ever guessed:
    after a lost reply the store is asked what became of the commit;
  * a request from outside whose commit has an unknown outcome is answered after a few such
    questions; what follows from the commit happens when the outcome is known.
"""

from __future__ import annotations

import logging
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count

import msgspec

from outlast import limits
from outlast._events import Events
from outlast._journal.backoff import Backoff
from outlast._journal.slices import Slices
from outlast._journal.waiters import Waiters
from outlast._store.contract import Store
from outlast._store.decisions import carry_audit, is_urgent
from outlast._store.transactions import (
    CommitId,
    CommitResult,
    Fenced,
    Receipt,
    Transaction,
)
from outlast._wording.plurals import counted
from outlast._world import World
from outlast.errors import (
    CommitUnknown,
    EngineClosed,
    OutlastError,
    StoreError,
    StoreFull,
    StoreReplaced,
    StoreUnavailable,
)

log = logging.getLogger("outlast.journal")

Done = Callable[[Transaction, CommitResult], None]
Refused = Callable[[StoreError], None]
Made = Callable[[Receipt], None]
Stuck = Callable[[Transaction, StoreError], None]
Old = Callable[[Transaction, Receipt], None]


_UNKNOWN_TRIES = 3  # after these requests hear that the outcome of their commit is not known


def _nothing(_: Receipt) -> None:
    """Follows from a commit."""


def _goes_on(_: Transaction, __: StoreError) -> None:
    """Do nothing."""


def _nothing_old(_: Transaction, __: Receipt) -> None:
    """Where one process owns the store from its opening on."""


class _Entry(msgspec.Struct, eq=False):
    transaction: Transaction
    done: Done
    refused: Refused | None


class Writer:
    """Turns submitted transactions into commits of one store."""

    def __init__(
        self,
        store: Store,
        world: World,
        *,
        owner: str,
        events: Events,
        stuck: Stuck = _goes_on,
        on_old: Old = _nothing_old,
    ) -> None:
        self._store = store
        self._world = world
        self._owner = owner
        self._events = events
        self._queue: deque[_Entry] = deque()
        self._numbers = count(1)  # of commits
        self._sent_at = 0.0
        self._room, self._flushes = Waiters(world), Waiters(world)
        self._backoff = Backoff(world)
        self._durable = Slices(world, _hand_out, self._handed_out)
        self._is_called = False  # `_begin` is among the loop's next callbacks
        self._is_committing = self._is_over = False
        self.trouble: StoreError | None = None
        self.given_up: StoreError | None = None
        self._insisted: list[_Entry] = []  # what the store has refused for now
        self._stuck = stuck  # a transaction is kept, and tried until the store takes it
        self._on_old = on_old  # what follows from a commit that was found to be made long ago

    @property
    def is_full(self) -> bool:
        """Whether producers should wait (`room`) before they submit more."""
        return len(self._queue) >= limits.WRITER_QUEUE_MAX

    @property
    def is_busy(self) -> bool:
        """Whether something is queued, on its way, or durable and not handed out."""
        return bool(self._queue or self._durable) or self._is_committing

    def submit(
        self, transaction: Transaction, done: Done, *, refused: Refused | None = None
    ) -> None:
        """Queue a transaction; `done` gets its result when it is durable.

        It stays open for more until the loop's next turn. With `refused` it comes from outside
        and may be turned away while the store has trouble; without, it is kept until the store
        takes it.
        """
        self._queue.append(_Entry(transaction, done, refused))
        if not self._is_called and not self._is_committing:
            self._is_called = True
            self._world.call_soon(self._begin)
        elif self.trouble is not None:
            self._world.call_soon(self._look_at_trouble)

    async def commit(self, transaction: Transaction, made: Made = _nothing) -> Receipt:
        """Commit something from outside, without a lease, and return what became of it.

        `made` is called when it is durable, also if who asked has gone: what must follow a commit
        may not hang on its caller.

        Raises:
            StoreFull, StoreUnavailable: nothing was written, or the text says it is not known.
            EngineClosed: the writer was closed.
        """
        self.check_open()
        answer: Future[Receipt] = self._world.loop.create_future()
        done, refused = _answering(answer, made, self._on_old)
        self.submit(carry_audit(transaction, self._world.now()), done, refused=refused)
        return await answer

    def check_open(self) -> None:
        """Refuse when nothing is committed any more.

        Raises:
            EngineClosed, StoreError
        """
        if self._is_over:
            raise self.trouble or EngineClosed("the engine is closed")

    async def room(self) -> None:
        """Wait until the queue is below its bound."""
        while self.is_full and not self._is_over:
            await self._room.wait()

    async def flushed(self, within_seconds: float | None = None) -> None:
        """Return when everything submitted so far is durable, or when the time is over."""
        monotonic = self._world.monotonic
        ends = None if within_seconds is None else monotonic() + within_seconds
        while self.is_busy and not self._is_over and (ends is None or monotonic() < ends):
            await self._flushes.wait(None if ends is None else ends - monotonic())

    async def close(self, within_seconds: float | None = None) -> None:
        """Commit what is queued, then stop; what the store has not taken in time is given up."""
        await self.flushed(within_seconds)
        self._is_over, was_over = True, self._is_over
        if was_over or not self.is_busy:
            return
        left = [*(self._insisted if self.trouble is not None else ()), *self._queue]
        self.given_up = _say_unwritten(left, self.trouble)
        self._give_up(left, self.given_up)

    # ---------------------------------------------------------------------- one commit
    def _begin(self) -> None:
        self._is_called = False
        self.send()

    def send(self) -> None:
        """Send what is queued to the store, unless it is at work already."""
        if self._queue and not self._is_committing and not self._is_over:
            self._is_committing = True
            self._send(self._take())

    def _take(self) -> list[_Entry]:
        count = min(len(self._queue), limits.COMMIT_TRANSACTIONS_MAX)
        batch = [self._queue.popleft() for _ in range(count)]
        _seal(batch)
        while self._room.waiting and not self.is_full:
            self._room.release()
        return batch

    def _send(self, batch: list[_Entry]) -> None:
        commit_id = CommitId(self._owner, next(self._numbers))
        self._sent_at = self._world.monotonic()
        try:
            transactions = [entry.transaction for entry in batch]
            self._store.commit(commit_id, transactions, partial(self._ended, commit_id, batch))
        except StoreError as error:
            self._fail(batch, error)

    def _ended(
        self, commit_id: CommitId, batch: list[_Entry], future: Future[list[CommitResult]]
    ) -> None:
        error = StoreError("a commit was given up") if future.cancelled() else future.exception()
        if error is None:
            self._made(batch, future.result())
        elif isinstance(error, StoreFull | StoreUnavailable | CommitUnknown):
            self._world.spawn(self._insist(commit_id, batch, error), name="outlast-writer")
        else:
            self._fail(batch, error)

    def _made(self, batch: list[_Entry], results: list[CommitResult]) -> None:
        """A batch is durable: send the next one, then hand this one out, in slices."""
        self._is_committing = False
        self._events.committed(self._world.monotonic() - self._sent_at)
        if self.trouble is not None and not self._is_over:
            log.warning("the store accepts writes again")
            self.trouble = None
        self.send()
        self._durable.go_through(zip(batch, results, strict=True))

    def _handed_out(self) -> None:
        if self._flushes.waiting and not self.is_busy:
            self._flushes.release_all()

    async def _insist(self, commit_id: CommitId, batch: list[_Entry], error: StoreError) -> None:
        """Try until the batch is durable, or until only outside requests were in it."""
        tries = 0
        self._insisted = batch
        try:
            outcome = await self._settled(commit_id, error, batch)
            if isinstance(outcome, StoreFull):
                await self._commit_urgent(batch)
            while isinstance(outcome, StoreError):
                self._begin_trouble(outcome, batch)
                self._refuse(batch, outcome)
                if not batch:
                    # Only outside requests: the next one probes the store again.
                    self.trouble = None
                    self._is_committing = False
                    self._world.call_soon(self._begin)
                    return
                await self._backoff.pause(tries)
                if self._is_over:
                    return
                tries += 1
                if isinstance(outcome, StoreFull):
                    await self._commit_urgent(batch)
                outcome = await self._attempt(batch)
        except StoreError as broken:
            if not self._is_over or self._events.fatal is not None:
                self._fail(batch, broken)
            return  # else `close` has given the batch up
        self._world.call_soon(self._made, batch, outcome)

    async def _attempt(self, entries: list[_Entry]) -> list[CommitResult] | StoreError:
        """Commit, and return what became of it: results, or why it can be tried again."""
        commit_id = CommitId(self._owner, next(self._numbers))
        _seal(entries)
        try:
            return await self._store.commit(commit_id, [e.transaction for e in entries])
        except (StoreFull, StoreUnavailable, CommitUnknown) as error:
            return await self._settled(commit_id, error, entries)

    async def _settled(
        self, commit_id: CommitId, error: StoreError, entries: list[_Entry]
    ) -> list[CommitResult] | StoreError:
        """Return an error that is sure, or the results of a commit that was made after all."""
        if isinstance(error, StoreReplaced):
            raise error  # it is not back by itself: nothing to try again
        if not isinstance(error, CommitUnknown):
            return error
        known = await self._resolve(commit_id, entries)
        return StoreUnavailable(f"{error}: nothing was written") if known is None else known

    async def _commit_urgent(self, batch: list[_Entry]) -> None:
        """Commit apart what ends work: a full store keeps a reserve of space for that.

        Whatever those runs wrote before goes along, for the order of a run's transactions holds.
        """
        part = _of_urgent_runs([*batch, *self._queue])
        if not part:
            return
        outcome = await self._attempt(part)
        if isinstance(outcome, StoreError):
            self._refuse(list(part), outcome)
            gone = [e for e in part if e.refused is not None]
        else:
            for durable in zip(part, outcome, strict=True):
                self._durable.add(durable)
            gone = part
        batch[:] = _without(gone, batch)
        self._queue = deque(_without(gone, self._queue))

    async def _resolve(
        self, commit_id: CommitId, entries: list[_Entry]
    ) -> list[CommitResult] | None:
        """Ask what became of a commit until the store can tell; None when it was not made."""
        tries = 0
        while True:
            try:
                return await self._store.outcome_of(commit_id)
            except (StoreUnavailable, CommitUnknown) as error:
                if isinstance(error, StoreReplaced) or self._is_over:
                    raise
                self._begin_trouble(StoreUnavailable(f"{error}"), entries)
                if tries == _UNKNOWN_TRIES:
                    _say_unknown(self._world, entries, error)
                await self._backoff.pause(tries)
                tries += 1

    def _look_at_trouble(self) -> None:
        """Something was submitted while the store has trouble: what ends work is tried at once."""
        error = self.trouble
        if error is None:
            return
        self._refuse(self._queue, error)
        if isinstance(error, StoreFull) and any(is_urgent(e.transaction) for e in self._queue):
            self._backoff.end()

    def _begin_trouble(self, error: StoreError, batch: list[_Entry]) -> None:
        if self.trouble is None:
            log.error("the store does not accept writes; runs are waiting: %s", error)
        self.trouble = self._events.fatal or error
        self._events.store_errors += 1
        self._refuse(self._queue, error)
        for entry in (*batch, *self._queue):
            is_tried = entry.transaction.is_sealed or not isinstance(error, StoreFull)
            if is_tried or not is_urgent(entry.transaction):
                self._stuck(entry.transaction, error)

    def _refuse(self, entries: deque[_Entry] | list[_Entry], error: StoreError) -> None:
        """Turn away what comes from outside, unless it ends work and a full store may take it.

        What is sealed in the queue is on its way with something urgent: it may be written yet.
        """
        may_pass = isinstance(error, StoreFull) and entries is self._queue
        for entry in list(entries):
            if entries is self._queue and entry.transaction.is_sealed:
                continue
            if entry.refused is not None and not (may_pass and is_urgent(entry.transaction)):
                entries.remove(entry)
                self._world.call_soon(entry.refused, error)

    def fail(self, error: StoreError) -> None:
        """Commit nothing more: the store has found out, by itself, that it is broken for good."""
        if not self._is_over:
            self._fail(list(self._insisted) if self.trouble is not None else [], error)

    def _fail(self, batch: list[_Entry], error: BaseException) -> None:
        """The store is broken for good: acknowledge nothing more, tell everyone who waits."""
        if self._events.fatal is not None:
            self._refuse(batch, self._events.fatal)  # it was on its way when that was found out
            return
        log.critical("the store failed; no further writes are made: %s", error)
        fatal = _as_store_error(error)
        self._is_over, self._is_committing = True, False
        self.trouble = self._events.fatal = fatal
        self._give_up([*batch, *self._queue], fatal)
        for listener in self._events.on_fatal:
            listener(fatal)

    def _give_up(self, left: list[_Entry], error: StoreError) -> None:
        self._refuse(left, error)
        self._queue.clear()
        self._backoff.end()
        self._flushes.release_all()
        self._room.release_all()


def _answering(
    answer: Future[Receipt], made: Made, old: Callable[[Transaction, Receipt], None]
) -> tuple[Done, Refused]:
    """Return what gives an answer to who commits from outside."""

    def done(transaction: Transaction, result: CommitResult) -> None:
        if isinstance(result, Fenced):
            refused(EngineClosed("the store refused what needs no lease"))
            return
        if result.is_old:
            old(transaction, result)
        else:
            made(result)
        if not answer.done():
            answer.set_result(result)

    def refused(error: OutlastError) -> None:
        if not answer.done():
            answer.set_exception(error)

    return done, refused


def _as_store_error(error: BaseException) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"the store failed: {error!r}")


def _say_unwritten(left: list[_Entry], trouble: StoreError | None) -> StoreUnavailable:
    """Log what the store has not taken when the engine closes, and return the error for it."""
    runs = len({entry.transaction.run for entry in left})
    because = f": {trouble}" if trouble is not None else ""
    error = StoreUnavailable(
        f"the engine closed before {counted(len(left), 'transaction')} of {counted(runs, 'run')} "
        f"could be written{because}. Nothing that was acknowledged is lost; these runs continue "
        "from their last record, and steps whose results were not written run again"
    )
    log.error("%s", error)
    return error


def _say_unknown(world: World, entries: list[_Entry], error: StoreError) -> None:
    """Answer requests from outside that wait; they may be stored already, or never be."""
    unknown = StoreUnavailable(
        f"{error}. It is not known yet whether this request was stored: repeat it with the same id "
        "when the store accepts writes again"
    )
    for entry in entries:
        if entry.refused is not None:
            world.call_soon(entry.refused, unknown)


def _hand_out(durable: tuple[_Entry, CommitResult]) -> None:
    entry, result = durable
    try:
        entry.done(entry.transaction, result)
    except Exception:  # the others of the batch are durable too, and must hear of it
        log.exception("cannot handle the result of a commit of %s", entry.transaction.run)


def _of_urgent_runs(entries: list[_Entry]) -> list[_Entry]:
    runs = {e.transaction.run for e in entries if is_urgent(e.transaction)}
    return [e for e in entries if e.transaction.run in runs]


def _without(gone: list[_Entry], entries: Iterable[_Entry]) -> list[_Entry]:
    known = {id(e) for e in gone}
    return [e for e in entries if id(e) not in known]


def _seal(entries: list[_Entry]) -> None:
    for entry in entries:
        entry.transaction.is_sealed = True
