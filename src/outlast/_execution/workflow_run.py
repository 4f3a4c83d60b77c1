"""A run of a workflow in memory: from its start, or what is recorded of it, to its end."""

from __future__ import annotations

from contextvars import Context

from typing_extensions import override

from outlast._execution.cancelling import append_cancel, grace_in
from outlast._execution.ending import Ending
from outlast._execution.host import RunHost
from outlast._execution.operations import ChildBody, StartedBody, decode_body
from outlast._execution.run import LiveRun
from outlast._execution.signals import append_signal
from outlast._execution.tasks import RunTask
from outlast._records import Record
from outlast._registry import WorkflowDefinition
from outlast._store.contract import Message, RunRow
from outlast.types import Lease


class LiveWorkflow(LiveRun):
    """A workflow's run: one body, whose end is the run's."""

    def __init__(
        self,
        host: RunHost,
        definition: WorkflowDefinition,
        row: RunRow,
        lease: Lease,
        records: list[Record],
    ) -> None:
        self.definition = definition
        self.started: StartedBody = decode_body(records[0].body, StartedBody)
        super().__init__(host, row, lease, records, salt=self.started.salt, now=records[0].at)
        self.ending: Ending = Ending(
            host.world, self.journal, self.children, self.cancelling, self.clock, self.standing
        )

    # ------------------------------------------------------------------- life begins
    @override
    def begin(self) -> None:
        if self._main is not None or self.state != "replaying":
            return
        records = self.journal.records_to_replay()
        first = 1 + self.started.signals
        for record in records[1:first]:
            self._apply(record)
        self._guarded(self._start_main)
        self._replay_from(records, first)

    def _start_main(self) -> None:
        args, kwargs = self.definition.signature.decode(self.started.input)
        # A context of its own: context variables of the host must not leak into a run.
        self._main = self.loop.start_main(self.definition.fn(*args, **kwargs), Context())
        self.settle()

    @override
    def _went_live(self) -> None:
        now = self.host.world.now()
        if self.standing.started_at is None:
            self.standing.started_at = now
            if now - self.journal.last_at > 1_000_000:
                # It waited long for someone to run it: its clock starts when it does.
                self.journal.append("run_began", at=now)
        if not self.row.resident:
            self.standing.write("running")

    # --------------------------------------------------------------- messages arrive
    @override
    def _take(self, message: Message) -> None:
        ends_anyway = self.state != "live" and message.kind not in ("terminate", "child_done")
        if self.journal.has_closed or ends_anyway:
            return  # what stays in the mailbox becomes a dead letter when the run closes
        if message.number:
            transaction = self.journal.transaction()
            transaction.consumed = (*transaction.consumed, message.number)
        at = message.at or self.host.world.now()
        match message.kind:
            case "signal":
                append_signal(self.inbox, self.journal, self.clock, message, at)
            case "cancel":
                append_cancel(self.journal, at, message.name, grace_in(message))
            case "terminate":
                self.terminate(message.name)
            case "child_done":
                self.children.ended(message.name, decode_body(message.body, ChildBody))
            case "token":
                # What was due before it was answered comes first, as though nobody had been away.
                self.clock.append_due_timers(at - 1)
                self.tokens.answered(message)
            case "resume":
                pass  # for runs that are parked; this one is not
            case "tell" | "ask" | "notice":
                pass  # for actors

    # --------------------------------------------------------------------- life ends
    @override
    def _main_ended(self, main: RunTask[object]) -> None:
        self.state = "ending"
        self.ending.begin(main, self.definition)

    @override
    def _went_on_ending(self) -> None:
        self.ending.finish()

    @override
    def terminate(self, reason: str) -> None:
        if self.state in ("ended", "left") or self.journal.has_closed:
            return
        for operation in list(self.steps.pending.values()):
            self.host.stop_body(self.id, operation.key)
        self.steps.pending.clear()
        self.state = "ending"
        self.ending.terminate(reason)
