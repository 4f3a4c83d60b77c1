"""Cancellation of a run: level-triggered, so that swallowing it once does not lose it.

A request marks a scope. At every quiet moment while a scope is marked, each task suspended in it
is cancelled again, until it ends or goes into a shield. A shield lets awaits work for its grace.
"""

from __future__ import annotations

from outlast._execution.calls.operations import CancelBody, decode_body, encode_body
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.tasks import Scope
from outlast._records import Record


class Cancellation:
    """The run's request, and the delivery of cancellations to its tasks."""

    __slots__ = (
        "_loop",
        "_shields",
        "grace_seconds",
        "is_requested",
        "is_timeout",
        "reason",
        "requested_at",
        "scopes",
    )

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self.scopes: dict[Scope, None] = {}  # those that are marked
        self.is_requested: bool = False
        self.is_timeout: bool = False
        self.reason: str = ""
        self.grace_seconds: float | None = None
        self.requested_at: int = 0
        self._shields: dict[Scope, float] = {}

    @property
    def grace_at(self) -> int | None:
        """When a run that was given a grace has used it up."""
        if not self.is_requested or self.grace_seconds is None:
            return None
        return self.requested_at + int(self.grace_seconds * 1e6)

    def deliver_request(self, record: Record) -> str:
        """Take a request to cancel that is recorded; return its reason."""
        body = decode_body(record.body, CancelBody)
        self.request(body.reason, record.at, body.grace_seconds, is_timeout=body.is_timeout)
        return body.reason

    def request(self, reason: str, at: int, grace: float | None, *, is_timeout: bool) -> None:
        """Mark the whole run; a later request may only shorten the grace."""
        if self.is_requested:
            if grace is not None:
                left = (at - self.requested_at) / 1e6 + grace
                known = self.grace_seconds
                self.grace_seconds = left if known is None else min(known, left)
            return
        self.is_requested = True
        self.is_timeout = is_timeout
        self.reason = reason
        self.requested_at = at
        self.grace_seconds = grace
        for scope, seconds in self._shields.items():
            self._end_shield_in(scope, seconds)
        self.cancel_scope(self._loop.root)
        self.cancel_scope(self._loop.generators.scope)

    def add_shield(self, scope: Scope, seconds: float) -> None:
        """Let a shield hold for `seconds` from the moment that the run is cancelled."""
        self._shields[scope] = seconds
        if self.is_requested:
            self._end_shield_in(scope, seconds)

    def _end_shield_in(self, scope: Scope, seconds: float) -> None:
        if self.grace_seconds is not None:
            seconds = min(seconds, self.grace_seconds)
        self._loop.call_later(seconds, self._end_shield, scope)

    def _end_shield(self, scope: Scope) -> None:
        if scope in self._shields:
            scope.has_expired = True
            self.cancel_scope(scope)

    def cancel_scope(self, scope: Scope) -> None:
        """Mark a scope from now until it is left."""
        scope.is_cancelled = True
        self.scopes[scope] = None

    def cut_short(self) -> bool:
        """Cancel what a body that has returned left behind, as asyncio does; say whether it did.

        Generators that it left open are closed, and what closes them is not cut short.
        """
        loop = self._loop
        has_tasks = any(task.scope is not loop.generators.scope for task in loop.live_tasks())
        is_cut = has_tasks and not loop.root.is_cancelled
        if is_cut:
            self.cancel_scope(loop.root)
        return loop.generators.abandon_all() or is_cut

    def leave_scope(self, scope: Scope) -> None:
        """Forget a scope whose code has ended."""
        self.scopes.pop(scope, None)
        self._shields.pop(scope, None)

    def begin_anew(self) -> None:
        """Forget all scopes: their code has ended, with an actor's message."""
        self.scopes.clear()
        self._shields.clear()

    def deliver(self) -> bool:
        """Cancel every suspended task that a marked scope reaches; say whether there was one."""
        reached = [task for task in self._loop.live_tasks() if task.scope.is_reached()]
        self._loop.cancels.is_delivering = True
        for task in reached:
            task.cancel(self.reason or None)
        self._loop.cancels.is_delivering = False
        return bool(reached)


def append_cancel(
    journal: RunJournal, now: int, reason: str, grace: float | None, *, is_timeout: bool = False
) -> None:
    """Append a request to cancel a run; it reaches the code when it is durable."""
    body = CancelBody(reason, grace, is_timeout)
    journal.append("cancel_requested", at=now, body=encode_body(body))
