"""A run of a workflow in memory: from its start, or what is recorded of it, to its end."""

from __future__ import annotations

from contextvars import Context

from typing_extensions import override

from outlast._execution.calls.cancellation import append_cancel
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.operations import (
    BeganBody,
    ChildBody,
    StartedBody,
    decode_body,
    encode_body,
)
from outlast._execution.calls.signals import append_signal, discarded_in
from outlast._execution.calls.unreadable import Unreadable, raise_refusal
from outlast._execution.calls.updates import UpdateCalls
from outlast._execution.loop.tasks import RunTask
from outlast._execution.runs.ending import Ending
from outlast._execution.runs.pausing import PAUSED, Pausing
from outlast._execution.runs.run import LiveRun, replay_from
from outlast._messages.requests import grace_in
from outlast._records import EMPTY, Record
from outlast._registry import WorkflowDefinition
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import Transaction
from outlast.errors import DecodingError
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
        self.loop.chance_seed = self.started.chance_seed
        self.steps.keys_of = self.calls.lineage.keys_of = self.started.keys_of
        self.calls.lineage.handed_down = self.started.handed_down
        if discarded := discarded_in(records):
            self.calls.inbox.discard(discarded)
        self.pausing: Pausing | None = None  # while it was asked to
        self._is_postponed = False  # by a beginning that is not delivered yet
        self.made_updates: UpdateCalls | None = None
        if any(record.kind == "update_accepted" for record in records):
            self.updates.expect(records)
        self._ending: Ending | None = None  # how, since its code has returned

    @property
    def updates(self) -> UpdateCalls:
        """Its updates; made with the first use, as `calls` are."""
        if self.made_updates is None:
            self.made_updates = UpdateCalls(self.host, self.journal, self.loop, self.clock)
            self.needs_attention = True
        return self.made_updates

    # ------------------------------------------------------------------- life begins
    @override
    def begin(self) -> None:
        if self.main is not None or self.state != "replaying":
            return
        records = self.journal.records_to_replay()
        first = 1 + self.started.signals
        for record in records[1:first]:
            self._apply(record)
        self.is_new = self.summary.started_at is None and len(records) == first
        self._guarded(self._start_main)
        replay_from(self, records, first)

    def _start_main(self) -> None:
        try:
            args, kwargs = self.definition.signature.decode(self.started.input)
        except DecodingError as error:
            raise Unreadable(f"the input of workflow {self.definition.name!r}", error) from None
        self.steps.inputs.known_arguments(1, self.started.input)
        # A context of its own: context variables of the host must not leak into a run.
        self.main = self.loop.start_main(self.definition.fn(*args, **kwargs), Context())
        self.settle()

    @override
    def _went_live(self) -> None:
        now = self.host.world.now()
        if self.summary.started_at is None:
            self.summary.started_at = now
            waited = now - self.journal.last_at
            if waited > 1_000_000 or self.started.retried_at:
                # It waited long for someone to run it, or its past was another life's: its clock
                # starts now, and what it waits for is due so much later.
                self.journal.append("run_began", at=now, body=encode_body(BeganBody(waited)))
                self.loop.timers.postpone(waited)
                self._is_postponed = True
        if not self.row.resident:
            self.summary.write("running")
        if self.calls.made_children is not None:
            self.calls.made_children.resume()

    # --------------------------------------------------------------- messages arrive
    @override
    def _take(self, message: Message) -> None:
        ends_anyway = self.state != "live" and message.kind not in ("terminate", "child_done")
        if self.journal.has_closed or ends_anyway or self.state == "left":
            # What stays in the mailbox becomes a dead letter when the run closes. Of one that is
            # being parked it is read when that is durable, by whoever looks after parked runs.
            return
        if self._is_for_pausing(message):
            return
        if message.kind == "update":
            self.updates.take(message)
            self._admit_updates()
            return
        self._consume(message)
        at = message.at or self.host.world.now()
        match message.kind:
            case "signal":
                append_signal(self.calls.inbox, self.journal, self.clock, message, at)
            case "cancel":
                grace = grace_in(message)
                if not self.cancellation.is_known(message.name, grace):
                    append_cancel(self.journal, at, message.name, grace)
            case "terminate":
                self.terminate(message.name)
            case "child_done":
                self.calls.children.ended(message.name, decode_body(message.body, ChildBody))
            case "token":
                # What was due before the answer comes first, as if the run had stayed in memory.
                self.clock.append_due_timers(at - 1)
                self.calls.tokens.answered(message)
            case "pause" | "resume":
                pass  # for runs that stand still, or can; this one does not, or cannot
            case "tell" | "ask" | "notice":
                pass  # for actors

    def _began(self, record: Record) -> None:
        """Postpone timers as whoever appended this did; older records say nothing of it."""
        if not self._is_postponed and record.body != EMPTY:
            self.loop.timers.postpone(decode_body(record.body, BeganBody).waited)
        self._is_postponed = False

    # ------------------------------------------------------------------------ updates
    @override
    def _apply(self, record: Record) -> None:
        match record.kind:
            case "run_began":
                self._began(record)
            case "update_accepted":
                self.updates.deliver_accepted(record)
            case "update_done":
                self.updates.deliver_done(record)
            case _:
                super()._apply(record)

    @override
    def _came_to_rest(self) -> None:
        if self.made_updates is not None and self.made_updates.waiting:
            self._admit_updates()

    def _admit_updates(self) -> None:
        """Take updates that wait; those that come when the body is over wait for its end."""
        is_pausing = self.pausing is not None
        is_held = is_pausing or self.cancellation.is_requested or self.journal.has_closed
        is_working = self.main is not None and not self.main.done()
        if self.state == "live" and is_working and not is_held:
            self.updates.admit()

    @override
    def _is_over(self) -> bool:
        # Handlers at work are waited for, and what the body has left behind goes on with them.
        return self.made_updates is None or not self.made_updates.must_wait()

    def _consume(self, message: Message) -> None:
        if message.number:
            transaction = self.journal.transaction()
            transaction.also.consumed += (message.number,)

    # ------------------------------------------------------------------------ pausing
    def _is_for_pausing(self, message: Message) -> bool:
        """Begin to pause, go on, or keep a message for later; False: it is taken as any other."""
        pausing = self.pausing
        if pausing is None:
            if message.kind != "pause" or self.cancellation.is_requested:
                return False
            self.pausing = Pausing(message)
            self.needs_attention = True
            self.clock.disarm()
            self.host.world.call_soon(self._pause_if_quiet)
            return True
        match message.kind:
            case "resume":
                self._consume(message)
                # A record, since the row on its way may say already that the run is paused.
                self.journal.append("resumed", at=self.host.world.now())
                self._stop_pausing()
                return True
            case "cancel" | "terminate":
                self._stop_pausing()
                return False
            case _:
                pausing.keep(message)
                return True

    def _stop_pausing(self) -> None:
        """Go on as if no pause had been requested."""
        pausing, self.pausing = self.pausing, None
        if pausing is None:
            return
        if not pausing.is_written:
            for message in pausing.asked:
                self._consume(message)
        for message in pausing.kept:
            self._take(message)

    def _pause_if_quiet(self) -> None:
        """Stand still when no step is in flight any more; the row says so with the next commit."""
        pausing = self.pausing
        has_bodies = any(op.is_started for op in self.steps.pending.values())
        is_quiet = self.state == "live" and not (self.journal.in_flight or has_bodies)
        if pausing is not None and not pausing.is_written and is_quiet:
            pausing.is_written = True
            for message in pausing.asked:
                self._consume(message)
            self.summary.write("paused", resident=False, waiting_for=PAUSED)

    @override
    def _was_committed(self, transaction: Transaction) -> None:
        effects = transaction.effects
        if effects is not None and effects.consumed and self.made_updates is not None:
            self.made_updates.consumed(effects.consumed)
        if self.pausing is not None:
            self._pause_if_quiet()

    @override
    def _arm(self) -> None:
        if self.pausing is None:
            super()._arm()

    @property
    @override
    def holds_steps(self) -> bool:
        return self.pausing is not None

    @property
    @override
    def is_summarised(self) -> bool:
        return self.pausing is None  # nothing may overwrite the row that says it is paused

    @property
    @override
    def can_leave(self) -> bool:
        if self.pausing is not None:
            return self.pausing.is_written and self.state == "live" and not self.journal.in_flight
        return super().can_leave

    # --------------------------------------------------------------------- life ends
    @override
    def _main_ended(self, main: RunTask[object]) -> None:
        if not main.cancelled():
            raise_refusal(main.exception())
        self.state = "ending"
        self._stop_pausing()
        self._ending = self._end()
        self._ending.begin(main, self.definition)

    def _end(self) -> Ending:
        return Ending(self.host.world, self.journal, self.calls, self.clock, self.summary)

    @override
    def _went_on_ending(self) -> None:
        if self._ending is not None:
            self._ending.finish()

    @override
    def terminate(self, reason: str) -> None:
        if self.state in ("ended", "left") or self.journal.has_closed:
            return
        if self.host.only_replays:
            self.host.run_parked(self.id, reason)
            return
        for operation in list(self.steps.pending.values()):
            self.host.stop_body(self.id, operation.key)
        self.steps.pending.clear()
        self.state = "ending"
        self._ending = None
        self._end().terminate(reason)
