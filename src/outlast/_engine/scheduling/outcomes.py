"""How a closed run's row becomes a value or an error for whoever waited."""

from __future__ import annotations

from outlast._execution.calls.operations import failure_in
from outlast._store.rows import RunRow
from outlast.errors import (
    RunCancelled,
    RunError,
    RunFailed,
    RunParked,
    RunTerminated,
    RunTimedOut,
)


def error_of(row: RunRow) -> RunError | None:
    """Return the error that this row means for a caller; None when the run completed."""
    run, reason = row.id, row.error or ""
    match row.status:
        case "completed":
            return None
        case "failed":
            failure = failure_in(row.output or b"")
            if failure is None:
                return RunFailed(run, "Error", reason)
            return RunFailed(run, failure.qualname, failure.message, failure.traceback)
        case "cancelled":
            return RunCancelled(run, reason)
        case "terminated":
            return RunTerminated(run, reason)
        case "timed_out":
            return RunTimedOut(run, reason)
        case "parked" | "pending" | "running" | "waiting" | "paused":
            return RunParked(run, row.waiting_for)
