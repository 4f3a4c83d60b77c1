"""How a run's code ends: what its outcome is, and how what is left of it leaves memory."""

from __future__ import annotations

import asyncio
from functools import partial

from outlast._execution.calls.cancellation import Cancellation
from outlast._execution.calls.operations import ClosedBody, failure_body, failure_in
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import NOBODY, RunLoop
from outlast._execution.loop.executing import run_inside
from outlast._execution.loop.tasks import RunTask
from outlast._records import VALUE
from outlast._registry import WorkflowDefinition
from outlast.errors import EncodingError, Passivating

_ROUNDS = 20  # code may wait again while it unwinds, for a lock; then it is closed
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


def close_tasks(loop: RunLoop, journal: RunJournal) -> None:
    """Unwind what is still suspended, and free the run's memory without a collection."""
    unwind(loop, journal)
    loop.owner = NOBODY


def unwind(loop: RunLoop, journal: RunJournal) -> None:
    """Unwind the tasks that are still suspended, and let go of all of them; nothing is recorded.

    `Passivating` is raised at what they wait for, the innermost first, and the loop runs: so code
    unwinds in its own task and context, as cancel scopes and context variables must be left. What
    waits on after that, or cannot be reached, is closed from outside.
    """
    loop.is_leaving = journal.is_muted = True
    try:
        if loop.live_tasks():
            _raise_inside(loop)
            _close(loop)
        _forget_errors(loop)
    finally:
        loop.is_leaving = journal.is_muted = False
    loop.abandon()


def _raise_inside(loop: RunLoop) -> None:
    leaving = Passivating("the run is leaving memory")
    for _ in range(_ROUNDS):
        tasks = _innermost(loop.live_tasks())
        interrupted = [task for task in tasks if _interrupted(task, leaving)]
        if not (interrupted or loop.generators.abandoned):
            return
        try:
            loop.drain()
        except BaseException:  # noqa: BLE001  # it spins, or was halted
            return
        _forget_errors(loop)


def _innermost(tasks: list[RunTask[object]]) -> list[RunTask[object]]:
    """Return the tasks that have made none that lives; the others hear of these."""
    if len(tasks) < 2:
        return tasks
    outer: set[str] = set()
    for task in tasks:
        path = task.place.path.rpartition(".")[0]
        while path and path not in outer:
            outer.add(path)
            path = path.rpartition(".")[0]
    return [task for task in tasks if task.place.path not in outer]


def _interrupted(task: RunTask[object], error: BaseException) -> bool:
    waiter = task.waits_for
    if waiter is None or waiter.done() or isinstance(waiter, asyncio.Task):
        return False
    waiter.set_exception(error)
    waiter.exception()  # looked at, also if the task is not the one to hear of it
    return True


def _forget_errors(loop: RunLoop) -> None:
    """Let errors of tasks hold no frames: their variables may hold tasks, and generators."""
    for task in loop.tasks:
        if not task.done() or task.cancelled():
            continue
        try:
            task.result()  # the task itself holds the traceback until it is asked for this
        except BaseException as error:  # noqa: BLE001  # any error of the user's code
            _forget_frames([error])


def _forget_frames(errors: list[BaseException]) -> None:
    for error in errors:
        context, error.__context__ = error.__context__, None
        error.__traceback__ = None
        errors += () if context is None else (context,)
        parts: tuple[BaseException, ...] = getattr(error, "exceptions", ())  # those of a group
        errors += parts if isinstance(error, BaseExceptionGroup) else ()


def _close(loop: RunLoop) -> None:
    for task in reversed(loop.live_tasks()):
        task.give_up()
        coro = task.get_coro()
        waiter = task.waits_for
        if waiter is not None:
            # A future and the task that awaits it hold each other; without this only a full
            # collection would free them, and the engine hardly ever makes one.
            waiter.cancel()
        # Not by `close`: of coroutines that await each other it closes the innermost only once, so
        # that one which awaits again would be left behind.
        try:
            for _ in range(_CLOSE_TRIES):
                run_inside(loop, partial(coro.throw, Passivating("the run is leaving memory")))
        except BaseException:  # noqa: BLE001  # it has ended, or user code's own error meanwhile
            continue
