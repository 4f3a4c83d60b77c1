"""How a run stands: the row that the store has of it, brought up to date with its commits.

Invariants:
  * once the run's end is appended, nothing writes its row any more;
  * a row that says the run sleeps is corrected by the next record's own transaction.
"""

from __future__ import annotations

import msgspec

from outlast._execution.calls.clock import RunClock
from outlast._execution.calls.operations import ClosedBody, encode_body
from outlast._execution.calls.unreadable import UNREADABLE, Unreadable, parked_as
from outlast._execution.journal.view import RunJournal
from outlast._execution.runs.closing import error_summary
from outlast._records import Record
from outlast._store.rows import ParkedAs, RunRow
from outlast.errors import OutlastError
from outlast.types import Status


class RunSummary:
    """The row of one run in memory."""

    __slots__ = ("_clock", "_journal", "attributes", "row", "started_at")

    def __init__(
        self, row: RunRow, journal: RunJournal, clock: RunClock, records: list[Record]
    ) -> None:
        self.row: RunRow = row
        self.attributes: str = row.attributes
        # The row may lag behind: the journal knows when the run began.
        # What was copied from another run's past, or from a life before a retry, has no epoch.
        began = next((r.at for r in records if r.kind == "run_began" and r.epoch), None)
        self.started_at: int | None = began if row.started_at is None else row.started_at
        self._journal = journal
        self._clock = clock

    def write(
        self,
        status: Status,
        *,
        resident: bool = True,
        waiting_for: str = "",
        parked_as: ParkedAs = "",
    ) -> None:
        """Bring the run's row up to date with its next commit."""
        journal = self._journal
        if journal.has_closed:
            return
        if not resident:
            self._pack()
        transaction = journal.transaction()
        transaction.also.summary = self._summary(
            status,
            resident=resident,
            # What needs a person is not woken by the clock.
            wake_at=None if status in ("paused", "parked") else self._clock.next_wake(),
            waiting_for=waiting_for,
            parked_as=parked_as,
        )
        if not resident:
            journal.fall_asleep()

    def park(self, reason: str, error: OutlastError | None) -> None:
        """Say that the run cannot go on, and which message its code cannot read."""
        trouble = parked_as(error)
        self.write("parked", resident=False, waiting_for=reason, parked_as=trouble)
        if isinstance(error, Unreadable) and error.culprit is not None:
            transaction = self._journal.transaction()
            culprit = (UNREADABLE, encode_body(error.culprit))
            transaction.also.values += (culprit,)

    def not_alone(self) -> None:
        """Other runs execute beside this one again."""
        if self.row.is_alone and self.row.resident:
            self.row = msgspec.structs.replace(self.row, is_alone=False)
            self.write(self.row.status, waiting_for=self.row.waiting_for)

    def pack(self, status: Status, *, waiting_for: str) -> None:
        """Let the run's records leave the log's tail while it stays in memory."""
        if not self._journal.has_closed:
            self._pack()
            self.write(status, waiting_for=waiting_for)

    def close(self, body: ClosedBody, at: int) -> None:
        """Write the run's end with its last commit."""
        self._pack()
        self._journal.transaction().also.summary = self._summary(
            _closed_status(body),
            resident=False,
            closed_at=at,
            output=body.outcome,
            error=error_summary(body),
        )

    def _pack(self) -> None:
        segment = self._journal.take_segment()
        if segment is not None:
            transaction = self._journal.transaction()
            transaction.also.segments += (segment,)

    def _summary(
        self,
        status: Status,
        *,
        resident: bool,
        wake_at: int | None = None,
        closed_at: int | None = None,
        waiting_for: str = "",
        parked_as: ParkedAs = "",
        output: bytes | None = None,
        error: str | None = None,
    ) -> RunRow:
        row, journal = self.row, self._journal
        has_moved = journal.progress_seq > row.last_seq
        self.row = msgspec.structs.replace(
            row,
            status=status,
            started_at=self.started_at,
            closed_at=closed_at,
            wake_at=wake_at,
            attributes=self.attributes,
            steps=journal.steps,
            crash_count=0 if has_moved else row.crash_count,
            is_alone=row.is_alone and not has_moved,
            parked_as=parked_as,
            resident=resident,
            last_seq=journal.last_seq,
            packed_seq=journal.packed_seq,
            output=row.output if output is None else output,
            error=row.error if error is None else error,
            waiting_for=waiting_for,
        )
        return self.row


def _closed_status(body: ClosedBody) -> Status:
    match body.status:
        case "completed" | "failed" | "cancelled" | "terminated" | "timed_out":
            return body.status
        case _:
            raise ValueError(f"unknown closing status {body.status!r}")
