"""Connections for whoever looks: clients of servers, people, programs. None of them can take all.

A lookup begins on a quick connection. One that is not done there within a moment is interrupted,
and begins again on a slow one, where each client has one at work: who asks for much waits behind
itself, and small requests wait for none.

Invariants:
  * no lookup of a client holds a thread for longer than `LOOKUP_SECONDS_MAX`;
  * clients are served in turn, however much one of them asks;
  * a lookup whose future is cancelled is interrupted, or never begins.
"""

from __future__ import annotations

import threading
from asyncio import Future
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from outlast import limits
from outlast._store.asking import PROGRAM, TooLong, asker
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.tables.checks import Reading
from outlast._wording.plurals import counted
from outlast._world import World
from outlast.errors import StoreBusy, StoreError

T = TypeVar("T")
V = TypeVar("V")

QUICK = 2  # connections
SLOW = 2  # so that one client's long lookup leaves one for the others
_QUICK_STEPS = 50_000  # of SQLite's machine between two looks at the clock: a few milliseconds
_SLOW_STEPS = 200_000


class _Lookup:
    """One lookup: `work` does it and tells, `fail` tells of an error."""

    def __init__(
        self,
        asker: tuple[str, str],
        since: float,
        *,
        is_wide: bool,
        work: Callable[[Reading], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.caller, self.address = asker
        self.since = since
        self.is_wide = is_wide
        self.work = work
        self.fail = fail
        self.is_given_up = False
        self.db: Connection | None = None  # while it is at work there


class _Lane:
    """Lookups that wait for one kind of connections, and are taken by turns of their callers."""

    def __init__(
        self,
        lock: threading.Lock,
        *,
        turn_of: Callable[[_Lookup], str],
        each_at_once: int,
        each_waiting: int,
    ) -> None:
        self.changed = threading.Condition(lock)
        self._turn_of = turn_of
        self._each_at_once = each_at_once
        self._each_waiting = each_waiting
        self._waiting: dict[str, deque[_Lookup]] = {}
        self._working: Counter[str] = Counter()
        self._is_closed = False

    def put(self, lookup: _Lookup) -> bool:
        """Let a lookup wait; say whether there is room. The lock is held by the caller."""
        turn = self._turn_of(lookup)
        line = self._waiting.get(turn)
        if line is not None and lookup.caller != PROGRAM and len(line) >= self._each_waiting:
            return False
        if line is None:
            line = self._waiting[turn] = deque()
        line.append(lookup)
        self.changed.notify()
        return True

    def withdraw(self, lookup: _Lookup) -> None:
        """Let it wait no longer, if it does. The lock is held by the caller."""
        turn = self._turn_of(lookup)
        line = self._waiting.get(turn)
        if line is not None and lookup in line:
            line.remove(lookup)
            if not line:
                del self._waiting[turn]

    def has(self, lookup: _Lookup) -> bool:
        """Whether others of its caller are here. The lock is held by the caller."""
        turn = self._turn_of(lookup)
        return turn in self._waiting or turn in self._working

    def take(self) -> _Lookup | None:
        """Wait for the next lookup; None when there will be none. Blocks."""
        with self.changed:
            while not self._is_closed:
                for turn, line in self._waiting.items():
                    if self._working[turn] < self._each_at_once:
                        return self._taken(turn, line)
                self.changed.wait()
            return None

    def _taken(self, turn: str, line: deque[_Lookup]) -> _Lookup:
        self._working[turn] += 1
        del self._waiting[turn]  # to the end, for its next turn
        lookup = line.popleft()
        if line:
            self._waiting[turn] = line
        return lookup

    def done(self, lookup: _Lookup) -> None:
        """One lookup that was taken has ended."""
        turn = self._turn_of(lookup)
        with self.changed:
            self._working[turn] -= 1
            if not self._working[turn]:
                del self._working[turn]
            self.changed.notify()

    def close(self) -> list[_Lookup]:
        """Take no more; return those that wait. The lock is held by the caller."""
        self._is_closed = True
        self.changed.notify_all()
        left = [lookup for line in self._waiting.values() for lookup in line]
        self._waiting.clear()
        return left


class LookupThreads:
    """Threads that look things up for clients, each with a connection of its own."""

    def __init__(
        self,
        world: World,
        readings: Sequence[Reading],
        *,
        explain: Callable[[Exception, Reading], Exception],
    ) -> None:
        self._world = world
        self._explain = explain
        self._lock = threading.Lock()
        self._at_work: set[_Lookup] = set()
        self._is_closed = False
        self._quick = _Lane(
            self._lock,
            turn_of=lambda lookup: f"{lookup.caller} {lookup.address}",
            each_at_once=QUICK,
            each_waiting=limits.LOOKUPS_WAITING_MAX,
        )
        self._slow = _Lane(
            self._lock,
            turn_of=lambda lookup: lookup.caller,  # who has a token has addresses enough
            each_at_once=1,
            each_waiting=limits.LONG_LOOKUPS_WAITING_MAX,
        )
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(reading, self._quick if n < QUICK else self._slow),
                name=f"outlast-look-{n + 1}",
                daemon=True,  # as those of `Workers`
            )
            for n, reading in enumerate(readings)
        ]
        for thread in self._threads:
            thread.start()

    def call(self, job: Callable[[Reading], T], *, is_wide: bool = False) -> Future[T]:
        """Look something up; `is_wide` if it may go through all that there is.

        Raises:
            StoreBusy: the caller has too much waiting, or waited for too long. `TooLong`: it alone
                took too long.
        """
        future: Future[T] = self._world.loop.create_future()

        def work(reading: Reading) -> None:
            try:
                result = job(reading)
            except apsw.InterruptError:
                raise
            except Exception as error:  # noqa: BLE001  # it belongs to whoever asked
                fail(self._explain(error, reading))
            else:
                self._tell(_set_result, future, result)

        def fail(error: Exception) -> None:
            self._tell(_set_error, future, error)

        lookup = _Lookup(asker(), self._world.monotonic(), is_wide=is_wide, work=work, fail=fail)
        future.add_done_callback(lambda done: self._give_up(lookup) if done.cancelled() else None)
        with self._lock:
            if not self._quick.put(lookup):
                most = limits.LOOKUPS_WAITING_MAX
                raise StoreBusy(
                    f"{most} of your lookups are already waiting: try again when some have ended"
                )
        return future

    def close(self) -> None:
        """End what is at work, and the threads. Blocks."""
        with self._lock:
            self._is_closed = True
            waiting = self._quick.close() + self._slow.close()
            for lookup in self._at_work:
                if lookup.db is not None:
                    lookup.db.interrupt()
        for lookup in waiting:
            lookup.fail(_closed())
        for thread in self._threads:
            thread.join()

    # ------------------------------------------------------------------- in the threads
    def _run(self, reading: Reading, lane: _Lane) -> None:
        is_quick = lane is self._quick
        now: list[tuple[_Lookup, float]] = []

        def is_over() -> bool:
            lookup, ends = now[0]
            return lookup.is_given_up or self._is_closed or self._world.monotonic() > ends

        reading.db.set_progress_handler(lambda: bool(now) and is_over(),
                                        _QUICK_STEPS if is_quick else _SLOW_STEPS)  # fmt: skip
        while (lookup := lane.take()) is not None:
            seconds = limits.LOOKUP_QUICK_SECONDS if is_quick else limits.LOOKUP_SECONDS_MAX
            if not is_quick and lookup.caller == PROGRAM:
                seconds = float("inf")
            now[:] = [(lookup, self._world.monotonic() + seconds)]
            self._serve(lookup, reading, is_quick=is_quick)
            now.clear()
            if not reading.db.get_autocommit():  # what was interrupted may have begun one
                reading.db.execute("ROLLBACK")
            lane.done(lookup)
            # Kept, it would hold its future and result until the next one.
            del lookup

    def _serve(self, lookup: _Lookup, reading: Reading, *, is_quick: bool) -> None:
        waited = self._world.monotonic() - lookup.since
        if lookup.caller != PROGRAM and waited > limits.LOOKUP_WAIT_SECONDS:
            lookup.fail(
                StoreBusy("the queue of lookups is too long: try again, and ask for less at once")
            )
            return
        with self._lock:
            if lookup.is_given_up:
                return
            is_behind = is_quick and lookup.is_wide and self._slow.has(lookup)
            if not is_behind:
                lookup.db = reading.db
                self._at_work.add(lookup)
        if is_behind:  # what else it asks for so widely would only take this one's time
            self._interrupted(lookup, is_quick=True)
            return
        is_interrupted = False
        try:
            lookup.work(reading)
        except apsw.InterruptError:
            is_interrupted = True
        with self._lock:
            lookup.db = None
            self._at_work.discard(lookup)
        if is_interrupted:
            self._interrupted(lookup, is_quick=is_quick)

    def _interrupted(self, lookup: _Lookup, *, is_quick: bool) -> None:
        with self._lock:
            if lookup.is_given_up:
                return  # its caller has gone
            if is_quick and not self._is_closed and self._slow.put(lookup):
                return
        if self._is_closed:
            lookup.fail(_closed())
        elif is_quick:
            most = limits.LONG_LOOKUPS_WAITING_MAX
            lookup.fail(StoreBusy(f"{most} of your long lookups are already waiting: ask for less"))
        else:
            seconds = limits.LOOKUP_SECONDS_MAX
            lookup.fail(
                TooLong(f"this lookup takes more than {counted(seconds, 'second')}: ask for less")
            )

    # ------------------------------------------------------------------------ the loop
    def _give_up(self, lookup: _Lookup) -> None:
        with self._lock:
            lookup.is_given_up = True
            self._quick.withdraw(lookup)
            self._slow.withdraw(lookup)
            if lookup.db is not None:
                lookup.db.interrupt()

    def _tell(self, how: Callable[[Future[T], V], None], future: Future[T], what: V) -> None:
        try:
            self._world.call_soon_threadsafe(how, future, what)
        except RuntimeError:
            pass  # the loop is closed, and nothing waits


def _closed() -> StoreError:
    return StoreError("the store was closed before this was looked up")


def _set_result(future: Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_error(future: Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
