"""What a run waits for, in words for people."""

from __future__ import annotations

from outlast._durations import text_of
from outlast._execution.body import where_of
from outlast._execution.envelopes import asked_in
from outlast._execution.operations import StepOperation
from outlast._execution.run import LiveRun
from outlast._execution.workflow_run import LiveWorkflow

_SHOWN_MAX = 5


def waits_of(run: LiveRun, now: int) -> list[str]:
    """Return one phrase for each thing that the run waits for."""
    waits: list[str] = []
    for step in run.steps.pending.values():
        what = f"step {step.name}"
        if step.is_started and step.definition.is_wait:
            waits.append(_awaited(step))
        elif step.is_started:
            waits.append(f"{what}, attempt {step.attempt + 1} {_at_work(run, step, now)}")
        elif step.next_at > now:
            left = text_of((step.next_at - now) / 1e6)
            waits.append(f"{what}, attempt {step.attempt + 1} in {left} after {step.last_error}")
        else:
            waits.append(f"{what}, about to start")
    waits += [f"signal {name!r}" for name in run.inbox.waiting_names()]
    waits += [f"{op.kind} {op.title!r}" for op in run.tokens.awaited()]
    if isinstance(run, LiveWorkflow):
        waits += [f"its handler of update {op.name!r}" for op in run.updates.unfinished()]
    waits += [f"child run {c.child}" for c in run.children.open_children() if c.waiters]
    if len(run.conditions):
        waits.append("a condition in its code (wf.until)")
    timer = run.loop.timers.next()
    if timer is not None:
        due_in = timer[0] - now / 1e6
        waits.append(f"a timer, due in {text_of(due_in)}" if due_in > 0 else "a timer that is due")
    return waits


def is_at_work(run: LiveRun) -> bool:
    """Whether code or a step's body is executing, or about to.

    What only waits for something named, such as an actor's answer or another run's end, is not: the
    process's death is not its fault.
    """
    if run.state == "replaying":
        return True
    return any(
        not step.definition.is_wait if step.is_started else not (step.is_parked or step.next_at)
        for step in run.steps.pending.values()
    )


def why_of(run: LiveRun, now: int) -> str:
    """Return why the run is not further, in one line."""
    if run.state == "replaying":
        is_new = not run.standing.started_at
        return "about to run its first line" if is_new else "replaying its journal"
    waits = waits_of(run, now)
    if isinstance(run, LiveWorkflow) and run.pausing.is_asked:
        waits.insert(0, "what is in flight, to pause behind that")
    if run.cancelling.is_requested:
        waits.insert(0, f"its cleanup after a request to cancel ({run.cancelling.reason})")
    if not waits:
        return "its code is running" if run.journal.in_flight else "nothing: its code is stuck"
    shown = "; ".join(waits[:_SHOWN_MAX])
    more = len(waits) - _SHOWN_MAX
    return f"waiting for {shown}" + (f"; and {more} more" if more > 0 else "")


def _at_work(run: LiveRun, step: StepOperation, now: int) -> str:
    """Return since when an attempt runs, or why it does not yet."""
    if step.ran_at:
        return f"running for {text_of((now - step.ran_at) / 1e6)}"
    if not step.queued_at:
        return "about to start"
    queued = f"queued for {text_of((now - step.queued_at) / 1e6)}"
    if where_of(step.definition) != "thread":
        return queued
    return f"{queued}: {run.host.why_queued()}"


def _awaited(step: StepOperation) -> str:
    """Return what one of our own steps waits for: its first argument says."""
    target = step.args[0] if step.args else ""
    if isinstance(target, bytes):
        return f"the answer of {asked_in(target)}"
    more = f"update {step.args[1]!r} of " if len(step.args) > 2 else "the end of "
    return f"{more}run {target}"
