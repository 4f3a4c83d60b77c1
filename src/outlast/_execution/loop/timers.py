"""The timers that a run's code has asked for, by the keys that their records will have."""

from __future__ import annotations

import heapq
from asyncio import TimerHandle


class Timers:
    """Timers of one run: pending until a record says that their time has come."""

    __slots__ = ("_due", "_made", "by_key")

    def __init__(self) -> None:
        # Made with the first timer: most runs have none.
        self._due: list[tuple[float, int, str]] | None = None
        self.by_key: dict[str, TimerHandle] | None = None
        self._made = 0

    def add(self, key: str, handle: TimerHandle) -> None:
        """Make `handle` due when `fire` is called with its key."""
        if self._due is None or self.by_key is None:
            self._due, self.by_key = [], {}
        self._made += 1
        heapq.heappush(self._due, (handle.when(), self._made, key))
        self.by_key[key] = handle

    def next(self) -> tuple[float, str] | None:
        """Return when the earliest live timer is due, and its key."""
        due, by_key = self._due, self.by_key
        if due is None or by_key is None:
            return None
        while due:
            when, _, key = due[0]
            handle = by_key.get(key)
            if handle is not None and not handle.cancelled():
                return when, key
            heapq.heappop(due)
            by_key.pop(key, None)
        return None

    def take_due(self, until: int) -> list[tuple[int, str]]:
        """Take the live timers due by `until` off the heap, earliest first; they stay pending.

        Times are whole microseconds, as in records. Compared as floats, a deadline may round to
        just after the moment that it was woken for, and be waited for again for ever.
        """
        taken: list[tuple[int, str]] = []
        due = self._due
        if due is None:
            return taken
        while (timer := self.next()) is not None and microseconds(timer[0]) <= until:
            heapq.heappop(due)
            taken.append((microseconds(timer[0]), timer[1]))
        return taken

    def postpone(self, by: int) -> None:
        """Make all that are pending due later, by so many microseconds."""
        seconds = by / 1e6
        if self._due is None:
            return
        self._due = [(when + seconds, made, key) for when, made, key in self._due]

    def fire(self, key: str) -> TimerHandle | None:
        """Return the handle of a timer whose time has come; None when the code has cancelled it."""
        handle = None if self.by_key is None else self.by_key.pop(key, None)
        return None if handle is None or handle.cancelled() else handle

    def clear(self) -> None:
        """Let nothing become due any more of what was asked for."""
        self._made = 0
        self._due = self.by_key = None


def microseconds(seconds: float) -> int:
    """Return a deadline in whole microseconds, rounded up: nothing is due too early."""
    return -int(-seconds * 1e6 // 1)
