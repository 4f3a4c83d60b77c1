"""What stays in memory, and what the store says of it.

Every run's row is a summary; this keeps it true within a second, without touching rows of runs
that move fast. When more runs are in memory than allowed, those that only wait are passivated:
their records are packed, their row says when to wake them, and their memory is given back. The
log's tail is kept short by packing the oldest runs while they live.

Invariants:
  * a passivated run's records are packed and its row is written before it leaves memory;
  * the log is cut by the store itself, which keeps what no segment holds.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque

from outlast import limits
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.runs.run import LiveRun
from outlast._execution.why import is_at_work, why_of
from outlast._world import Timer
from outlast.types import RunId, Status

_ACTIVE_SECONDS = 1.0  # a run that never rests is summarised at least this often
_CUT_RECORDS = 5_000  # the log is cut when so many records can go at once


class Residency:
    """Summaries, passivation and the log's tail of one engine."""

    def __init__(
        self, scheduler: Scheduler, *, live_runs_max: int, live_bytes_max: int, tail_max: int
    ) -> None:
        self._scheduler = scheduler
        self._world = scheduler.world
        self._live_runs_max = live_runs_max
        self._live_bytes_max = live_bytes_max
        self._tail_max = tail_max
        self._touched: dict[RunId, float] = {}  # when each moved last
        self._summarised: dict[RunId, float] = {}
        self._dirty: dict[RunId, None] = {}
        self._timer: Timer | None = None
        self._room: deque[Future[None]] = deque()
        self._first_kept = 0
        self._is_cutting = False
        self._cut_tried_at = 0
        self._hurried = False

    # ------------------------------------------------------------------- what moved
    def changed(self, live: LiveRun) -> None:
        """Note that a run has moved; while `has_moved`, that is noted already."""
        run = live.id
        live.has_moved = True
        self._touched[run] = self._world.monotonic()
        self._dirty[run] = None
        if self._timer is None or len(self._scheduler.residents) > self._live_runs_max:
            self._schedule()

    def gone(self, run: RunId) -> None:
        """Note that a run has left memory."""
        self._touched.pop(run, None)
        self._summarised.pop(run, None)
        self._dirty.pop(run, None)
        while self._room and not self.is_crowded:
            future = self._room.popleft()
            if not future.done():
                future.set_result(None)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None and not self._scheduler.is_closing:
            seconds = 0.001 if self.is_crowded else limits.SUMMARY_SECONDS
            self._timer = self._world.call_later(seconds, self._tick)
        elif self.is_crowded and self._timer is not None and not self._hurried:
            self._hurried = True
            self._timer.cancel()
            self._timer = self._world.call_later(0.001, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._hurried = False
        self.write_summaries(settled_only=True)
        self._make_room()
        self._shorten_tail()
        if self._dirty:
            self._timer = self._world.call_later(limits.SUMMARY_SECONDS, self._tick)

    # ------------------------------------------------------------------- summaries
    def write_summaries(self, *, settled_only: bool) -> None:
        """Bring the rows of changed runs up to date."""
        now = self._world.monotonic()
        for run in list(self._dirty):
            live = self._scheduler.residents.get(run)
            if live is not None and live.has_moved:
                live.has_moved = False
                self._touched[run] = now
            if live is None or live.state != "live" or not live.is_summarised:
                del self._dirty[run]
                continue
            is_settled = now - self._touched.get(run, now) >= limits.SUMMARY_SECONDS
            is_stale = now - self._summarised.setdefault(run, now) >= _ACTIVE_SECONDS
            if settled_only and not is_settled and not is_stale:
                continue
            del self._dirty[run]
            self._summarised[run] = now
            self._summarise(live)

    def _summarise(self, live: LiveRun) -> None:
        status, why = self.status_of(live)
        row = live.row
        is_same = (
            row.status == status
            and row.wake_at == live.clock.next_wake()
            and row.steps == live.journal.steps
            and row.attributes == live.summary.attributes
            and row.resident
            and row.started_at is not None
        )
        if not is_same:
            live.summary.write(status, waiting_for=why)

    def status_of(self, live: LiveRun) -> tuple[Status, str]:
        """Return the status of a run in memory, and why it is not further."""
        why = why_of(live, self._world.now(), is_kept=True)
        if live.state == "replaying" and live.row.status == "waiting":
            return "waiting", why  # it has not moved yet: it comes back to where it stood
        return ("running" if is_at_work(live) else "waiting"), why

    # ------------------------------------------------------------------ passivation
    @property
    def is_crowded(self) -> bool:
        """Whether more is in memory than should be."""
        return len(self._scheduler.residents) > self._live_runs_max

    async def room(self) -> None:
        """Wait until there is room for one more run."""
        while len(self._scheduler.residents) >= 2 * self._live_runs_max:
            future: Future[None] = self._world.loop.create_future()
            self._room.append(future)
            self._schedule()
            await future

    def _make_room(self) -> None:
        """Passivate the runs that have rested longest, down to the bounds."""
        residents = self._scheduler.residents
        surplus = len(residents) - self._live_runs_max
        if surplus <= 0 and self._bytes_held() <= self._live_bytes_max:
            return
        surplus = max(surplus, len(residents) // 10)
        for run in sorted(self._touched, key=self._touched.__getitem__):
            live = residents.get(run)
            if surplus <= 0:
                return
            if live is not None and live.can_leave:
                self.passivate(live)
                surplus -= 1

    def _bytes_held(self) -> int:
        # Looked at once a tick; a run that only waits does not change its share.
        return sum(
            live.journal.bytes_unpacked + _signal_bytes(live)
            for live in self._scheduler.residents.values()
        )

    def passivate(self, live: LiveRun) -> None:
        """Begin to let a waiting run go; it leaves when its packed records are durable."""
        if isinstance(live, LiveActor) and live.is_idle:
            live.rest()
            return
        why = why_of(live, self._world.now(), is_kept=True)
        live.summary.write("waiting", resident=False, waiting_for=why)

    def passivate_all(self) -> None:
        """Before a clean shutdown: let every run go that only waits."""
        self.stop()
        for live in list(self._scheduler.residents.values()):
            if live.can_leave:
                self.passivate(live)

    def stop(self) -> None:
        """Look at nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -------------------------------------------------------------------- the tail
    def _shorten_tail(self) -> None:
        if self._is_cutting:
            return
        residents = self._scheduler.residents.values()
        last = self._scheduler.last_position
        if last - self._first_kept > self._tail_max:
            limit = last - self._tail_max // 2
            for live in residents:
                journal = live.journal
                is_old = live.state == "live" and journal.unpacked and journal.position < limit
                if is_old:
                    status, why = self.status_of(live)
                    live.summary.pack(status, waiting_for=why)
        if last - self._first_kept >= _CUT_RECORDS and last > self._cut_tried_at + _CUT_RECORDS:
            self._is_cutting = True
            self._cut_tried_at = last
            self._world.spawn(self._cut(), name="outlast-cut-log")

    async def _cut(self) -> None:
        """Cut what the store does not need any more off the log's beginning."""
        store = self._scheduler.store
        try:
            while await store.truncate_log(_CUT_RECORDS) == _CUT_RECORDS:
                await self._world.pass_turn()
            self._first_kept = self._scheduler.last_position - await store.log_size()
        finally:
            self._is_cutting = False


def _signal_bytes(live: LiveRun) -> int:
    inbox = live.calls.made_inbox
    return 0 if inbox is None else inbox.bytes_held
