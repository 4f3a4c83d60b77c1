"""How a run's code ends: what its outcome is, and how what is left of it leaves memory."""

from __future__ import annotations

import asyncio

from outlast._execution.calls.cancellation import Cancellation
from outlast._execution.calls.operations import ClosedBody, failure_body, failure_in
from outlast._execution.loop.event_loop import NOBODY, RunLoop
from outlast._execution.loop.tasks import RunTask
from outlast._records import VALUE
from outlast._registry import WorkflowDefinition
from outlast.errors import EncodingError

_CLOSE_TRIES = 10  # a coroutine may yield again while it is closed; then it is dropped


def outcome_of(
    main: RunTask[object], definition: WorkflowDefinition, cancelling: Cancellation
) -> ClosedBody:
    """Return how the run has ended, its result encoded."""
    requested = cancelling.is_requested
    error: BaseException | None
    if main.cancelled():
        if requested:
            status = "timed_out" if cancelling.is_timeout else "cancelled"
            return ClosedBody(status, b"", cancelling.reason, was_cancelled=True)
        error = asyncio.CancelledError("raised by the workflow, without any request to cancel")
    else:
        error = main.exception()
    if cancelling.is_timeout:
        return ClosedBody("timed_out", b"", cancelling.reason, was_cancelled=True)
    if error is None:
        try:
            data = definition.signature.returns.stored(main.result())
        except EncodingError as unfit:
            error = unfit
        else:
            return ClosedBody("completed", VALUE + data, "", requested)
    return ClosedBody("failed", failure_body(error), "", requested)


def error_summary(body: ClosedBody) -> str | None:
    """Return one line for listings: how it went wrong, None when it did not."""
    if body.status == "completed":
        return None
    failure = failure_in(body.outcome)
    if failure is None:
        return body.reason or None
    line = f"{failure.qualname}: {failure.message}".splitlines()[0]
    return line[:500]


def close_tasks(loop: RunLoop) -> None:
    """Unwind what is still suspended, and free the run's memory without a collection."""
    unwind(loop)
    loop.owner = NOBODY


def unwind(loop: RunLoop) -> None:
    """Unwind the tasks that are still suspended, newest first, and let go of them."""
    for task in reversed(loop.live_tasks()):
        task.give_up()
        coro = task.get_coro()
        waiter = task.waits_for
        if waiter is not None:
            # A future and the task that awaits it hold each other; without this only a full
            # collection would free them, and the engine hardly ever makes one.
            waiter.cancel()
        for _ in range(_CLOSE_TRIES):
            try:
                loop.run_inside(coro.close)
            except RuntimeError:
                continue  # it awaited again while being closed
            except BaseException:  # noqa: BLE001  # user code's own error while it unwinds
                break
            break
    loop.abandon()
