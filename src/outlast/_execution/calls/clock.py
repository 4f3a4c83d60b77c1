"""What the clock makes due for one run, and the one host timer that waits for it.

Due can be: timers of its code, retries of its steps, tokens, its own timeout, the end of a grace.
Only timers and the timeout leave records here; what the code sees of time is what these say.
"""

from __future__ import annotations

from outlast import limits
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.run_calls import RunCalls
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.timers import microseconds
from outlast._world import Timer

_UNWIND = 1_000_000  # microseconds: a shield that ends with the grace may still unwind


class RunClock:
    """The times that one run waits for."""

    __slots__ = (
        "_calls",
        "_cancellation",
        "_host",
        "_journal",
        "_loop",
        "_steps",
        "_timer",
        "is_ending",
        "timeout_at",
    )

    def __init__(
        self,
        host: RunHost,
        journal: RunJournal,
        loop: RunLoop,
        calls: RunCalls,
        timeout_at: int | None,
    ) -> None:
        self._host = host
        self._journal = journal
        self._loop = loop
        self._calls = calls
        self._steps = calls.steps
        self._cancellation = calls.cancellation
        self._timer: tuple[int, Timer] | None = None
        self.timeout_at: int | None = timeout_at
        self.is_ending: bool = False  # the code has returned; a cancelled child may still unwind

    def next_wake(self) -> int | None:
        """Return the wall-clock time at which something is due, in microseconds."""
        if self._is_idle():
            return None
        timer = self._loop.timers.next()
        retry_at = self._steps.next_retry_at()
        is_requested = self._cancellation.is_requested
        tokens = self._calls.made_tokens
        expiry = None if tokens is None else tokens.next_expiry()
        times: list[int] = [] if expiry is None else [expiry]
        if timer is not None:
            times.append(microseconds(timer[0]))
        if retry_at is not None:
            times.append(retry_at)
        ends_at = self.cleanup_ends_at()
        if ends_at is not None:
            times.append(ends_at)
        elif not is_requested and self.timeout_at is not None:
            times.append(self.timeout_at)
        return min(times, default=None)

    @property
    def is_still(self) -> bool:
        """Whether no timer of the host runs, and none is needed: the case of most steps."""
        return self._timer is None and self._is_idle()

    def _is_idle(self) -> bool:
        """Whether nothing is waited for that a clock could make due."""
        tokens = self._calls.made_tokens
        return not (
            self._loop.timers.by_key
            or self._steps.retrying
            or (tokens is not None and tokens.opened)
            or self.timeout_at is not None
            or self._cancellation.is_requested
        )

    def is_timed_out(self, now: int) -> bool:
        """Whether the run's own timeout has run out and it was not asked to stop yet."""
        is_due = self.timeout_at is not None and self.timeout_at <= now
        return is_due and not self._cancellation.is_requested

    def cleanup_ends_at(self) -> int | None:
        """Return when a cancelled run that is still open is terminated."""
        grace_at = self._cancellation.grace_at
        if grace_at is not None:
            return grace_at + _UNWIND
        if self.is_ending and self._cancellation.is_requested:
            return self._cancellation.requested_at + int(limits.CANCEL_GRACE_SECONDS * 1e6)
        return None

    def append_due(self, now: int) -> None:
        """Append what is due by now, ask for the expiry of tokens, start attempts again."""
        self.append_due_timers(now)
        if (tokens := self._calls.made_tokens) is not None:
            tokens.expire_due(now)
        self._steps.start_due(now)

    def append_due_timers(self, until: int) -> None:
        """Append a record for each timer that is due by `until`, earliest first."""
        for at, key in self._loop.timers.take_due(until):
            self._journal.append("timer_fired", at=at, key=key)

    def arm(self) -> None:
        """Have the run woken when the next thing is due."""
        at = self.next_wake()
        if self._timer is not None:
            if self._timer[0] == at:
                return
            self.disarm()
        if at is not None:
            self._timer = (at, self._host.call_at(self._journal.run, at))

    def disarm(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None
