"""The time limits of a step's attempt: in all, in the queue, at work, since it was last heard of.

A body that has run out of time is cancelled. One that swallows that is waited for no longer after
`STEP_UNWIND_SECONDS`: its attempt has timed out, whatever it still does.
"""

from __future__ import annotations

from collections.abc import Callable

from outlast import limits
from outlast._execution.bodies.body import Body
from outlast._world import Timer, World
from outlast.errors import StepTimeout


class TimeLimits:
    """Arms the timers of bodies; `is_counted` says of one whether its end is still waited for."""

    def __init__(
        self, world: World, is_counted: Callable[[Body], bool], finish: Callable[[Body], None]
    ) -> None:
        self._world = world
        self._is_counted = is_counted
        self._finish = finish

    def arm(self, body: Body, *, is_at_work: bool) -> None:
        """Count from now on; one that is not at work yet waits for its thread or process."""
        timeout = body.definition.timeout
        if timeout.total is not None:
            left = (body.first_at - body.began_at) / 1e6 + timeout.total
            self._limit(body, "total", timeout.total, left)
        if is_at_work:
            self.began(body)
        else:
            self._limit_phase(body, "queue", body.definition.timeout.queue)

    def began(self, body: Body) -> None:
        """The body has its thread or process: the time of the attempt runs from here."""
        if body.operation is not None and not body.operation.ran_at:
            body.operation.ran_at = self._world.now()
        self._limit_phase(body, "run", body.definition.timeout.run)
        self.heard(body)

    def queued(self, body: Body) -> None:
        """A body that was at work waits in a queue: only that and the total time are limited."""
        if body.operation is not None:
            body.operation.queued_at, body.operation.ran_at = self._world.now(), 0
        if body.idle_timer is not None:
            body.idle_timer.cancel()
        self._limit_phase(body, "queue", body.definition.timeout.queue)

    def heard(self, body: Body) -> None:
        """The body has said that it is alive."""
        seconds = body.definition.timeout.idle
        if seconds is None:
            return
        if body.idle_timer is not None:
            body.idle_timer.cancel()
        body.idle_timer = self._world.call_later(seconds, self._time_out, body, "idle", seconds)

    @staticmethod
    def disarm(body: Body) -> None:
        """The body is over."""
        for timer in body.timers or ():
            timer.cancel()
        if body.idle_timer is not None:
            body.idle_timer.cancel()

    def _limit_phase(self, body: Body, kind: str, seconds: float | None) -> None:
        """A body is in a queue, or at work, from now on."""
        if body.phase_timer is not None:
            body.phase_timer.cancel()
            body.phase_timer = None
        if seconds is not None:
            body.phase_timer = self._limit(body, kind, seconds, seconds)

    def _limit(self, body: Body, kind: str, seconds: float, left: float) -> Timer:
        timer = self._world.call_later(left, self._time_out, body, kind, seconds)
        if body.timers is None:
            body.timers = []
        body.timers.append(timer)
        return timer

    def _time_out(self, body: Body, kind: str, seconds: float) -> None:
        if body.timed_out is not None or not self._is_counted(body):
            return
        if kind == "queue" and not body.is_queued:
            return
        body.timed_out = StepTimeout(body.definition.name, kind, seconds)
        body.cancelled = True
        if body.task is None:
            body.error = body.timed_out
            self._finish(body)  # it had not begun
        else:
            body.task.cancel()
            self._world.call_later(limits.STEP_UNWIND_SECONDS, self._give_up, body)

    def _give_up(self, body: Body) -> None:
        if self._is_counted(body):
            body.error = body.timed_out
            self._finish(body)
            body.is_abandoned = True
