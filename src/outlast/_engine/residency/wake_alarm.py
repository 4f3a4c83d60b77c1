"""The timer for the first of those that have left memory and wait for the clock."""

from __future__ import annotations

from collections.abc import Callable

from outlast._engine.scheduling.scheduler import Scheduler
from outlast._world import Timer


class WakeAlarm:
    """Goes off when the first of those that have left memory is due."""

    def __init__(self, scheduler: Scheduler, go_off: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._go_off = go_off
        self._timer: tuple[int, Timer] | None = None
        self._left_meanwhile: int | None = None  # the earliest of those that left during a look

    @property
    def is_expected_meanwhile(self) -> bool:
        """Whether a run has left memory since the store was asked."""
        return self._left_meanwhile is not None

    def begin_look(self) -> None:
        """The store is asked for the first that is due."""
        self._left_meanwhile = None

    def end_look(self, found: int | None) -> None:
        """The store has answered; what it read may be older than the rows of those that left."""
        times = [at for at in (found, self._left_meanwhile) if at is not None]
        self.cancel()
        if times:
            self._set(min(times))

    def expect(self, at: int) -> None:
        """Go off at `at` too."""
        if self._left_meanwhile is None or at < self._left_meanwhile:
            self._left_meanwhile = at
        if self._timer is None or at < self._timer[0]:
            self.cancel()
            self._set(at)

    def cancel(self) -> None:
        """Do not go off."""
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None

    def _set(self, at: int) -> None:
        if self._scheduler.is_closing:
            return
        world = self._scheduler.world
        self._timer = (at, world.call_later(max(0.0, (at - world.now()) / 1e6), self._ring))

    def _ring(self) -> None:
        self._timer = None
        self._go_off()
