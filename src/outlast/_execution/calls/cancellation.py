"""Cancellation of a run: level-triggered, so that swallowing it once does not lose it.

A request marks a scope. At every quiet moment while a scope is marked, each task suspended in it
is cancelled again, until it ends or goes into a shield. A shield lets awaits work for its grace.
"""

from __future__ import annotations

import asyncio

from outlast._execution.calls.operations import CancelBody, decode_body, encode_body
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.tasks import RunTask, Scope
from outlast._records import Record
from outlast._wording.durations import text_of
from outlast.errors import NotInRun, WaitTimeout


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

    def is_known(self, reason: str, grace: float | None) -> bool:
        """Whether a request says nothing new: a parent that replays may make it again."""
        return self.is_requested and grace is None and reason == self.reason

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
            self._expire(scope)

    def enter(self, *, timeout: float | None = None, grace: float | None = None) -> ScopeBlock:
        """Begin a cancel scope of the task that executes, or with a grace a shield.

        Raises:
            NotInRun: no task executes, but a plain callback.
        """
        task = self._loop.current_task()
        if task is None:
            raise NotInRun("a scope needs a task of a workflow around it")
        scope = task.scope = Scope(task.scope, is_shield=grace is not None)
        block = ScopeBlock(self, task, scope, timeout)
        if timeout is not None:
            block.timer = self._loop.call_later(timeout, self._expire, scope)
        elif grace is not None:
            self.add_shield(scope, grace)
        return block

    def _expire(self, scope: Scope) -> None:
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


class ScopeBlock:
    """A block of code in a cancel scope, from `Cancellation.enter` until it is left."""

    __slots__ = ("_cancellation", "_task", "_timeout", "scope", "timer")

    def __init__(
        self,
        cancellation: Cancellation,
        task: RunTask[object],
        scope: Scope,
        timeout: float | None,
    ) -> None:
        self._cancellation = cancellation
        self._task = task
        self._timeout = timeout
        self.scope: Scope = scope
        self.timer: asyncio.TimerHandle | None = None  # of the timeout

    def leave(self, kind: type[BaseException] | None) -> bool:
        """End the scope; say whether the cancellation that has ended the block stops here.

        Raises:
            WaitTimeout: the scope's own time ran out.
        """
        if self.timer is not None:
            self.timer.cancel()
        scope, parent = self.scope, self.scope.parent
        self._cancellation.leave_scope(scope)
        if parent is not None:
            self._task.scope = parent
        is_ours = scope.is_cancelled and not (parent is not None and parent.is_reached())
        if kind is not None and issubclass(kind, asyncio.CancelledError) and is_ours:
            while self._task.cancelling():
                self._task.uncancel()
            if scope.has_expired and self._timeout is not None:
                raise WaitTimeout(f"the scope's time of {text_of(self._timeout)} ran out")
            return True
        return False


def append_cancel(
    journal: RunJournal, now: int, reason: str, grace: float | None, *, is_timeout: bool = False
) -> None:
    """Append a request to cancel a run; it reaches the code when it is durable."""
    body = CancelBody(reason, grace, is_timeout)
    journal.append("cancel_requested", at=now, body=encode_body(body))
