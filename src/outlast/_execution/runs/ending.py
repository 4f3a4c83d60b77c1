"""The end of one run: what its outcome is, and the last commit that says so.

Invariant: the last record, the row, the message to the parent and those to the children are one
transaction, and nothing is appended after it.
"""

from __future__ import annotations

import logging

from outlast._execution.calls.clock import RunClock
from outlast._execution.calls.operations import ChildBody, ClosedBody, encode_body
from outlast._execution.calls.run_calls import RunCalls
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.tasks import RunTask
from outlast._execution.runs.closing import outcome_of
from outlast._execution.runs.run_summary import RunSummary
from outlast._registry import WorkflowDefinition
from outlast._store.rows import Message
from outlast._world import World

log = logging.getLogger("outlast.run")


class Ending:
    """How one run ends."""

    __slots__ = (
        "_calls",
        "_cancellation",
        "_clock",
        "_journal",
        "_outcome",
        "_summary",
        "_world",
    )

    def __init__(
        self,
        world: World,
        journal: RunJournal,
        calls: RunCalls,
        clock: RunClock,
        summary: RunSummary,
    ) -> None:
        self._world = world
        self._journal = journal
        self._calls = calls
        self._cancellation = calls.cancellation
        self._clock = clock
        self._summary = summary
        self._outcome: ClosedBody | None = None

    def begin(self, main: RunTask[object], definition: WorkflowDefinition) -> None:
        """The body has returned or raised: that is the outcome, whatever comes now."""
        self._outcome = outcome_of(main, definition, self._cancellation)
        self._clock.is_ending = True
        self.finish()

    def finish(self) -> None:
        """Close, unless children that were cancelled with the run still clean up."""
        body = self._outcome
        if body is None:
            return
        is_unwinding = self._cancellation.is_requested and body.status != "completed"
        children = self._calls.made_children
        if not (is_unwinding and children is not None and children.attached()):
            self.close(body)

    def terminate(self, reason: str) -> None:
        """Close without running any more code."""
        self.close(ClosedBody("terminated", b"", reason, self._cancellation.is_requested))

    def close(self, body: ClosedBody) -> None:
        """Append the last record, with all that the end causes."""
        self._outcome = None
        self._clock.is_ending = True
        if (children := self._calls.made_children) is not None:
            children.close_with_parent()
            for child in children.unseen_failures():
                log.warning(
                    "child run %s failed, and run %s never awaited it", child, self._journal.run
                )
        now = self._world.now()
        record = self._journal.append("run_closed", at=now, body=encode_body(body))
        row = self._summary.row
        if row.parent is not None and row.parent_key:
            message = Message(
                run=row.parent,
                kind="child_done",
                name=row.parent_key,
                body=encode_body(ChildBody(body.status, body.outcome, body.reason, row.request)),
                dedup=f"{row.id}:{row.parent_key}:{row.request}",
                at=now,
            )
            transaction = self._journal.transaction()
            transaction.also.posts += (message,)
        self._summary.close(body, record.at)
