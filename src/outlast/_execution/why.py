"""What a run waits for, in words for people.

Invariant:
  * what is kept in a row is read much later: there, times are moments and not lengths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.bodies.body import where_of
from outlast._execution.calls.operations import StepOperation
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._messages.envelopes import asked_in
from outlast._wording.durations import text_of
from outlast._wording.plurals import counted

_SHOWN_MAX = 5
_MOMENT = "%Y-%m-%d %H:%M:%S UTC"
_DUE = re.compile(r"\bdue at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC)")


@dataclass(frozen=True, slots=True)
class _Times:
    """How times are told: as lengths from `now`, or as moments in what is kept."""

    now: int
    is_kept: bool

    def due(self, at: int) -> str:
        if self.is_kept:
            return f"due at {_moment(at)}"
        return f"due in {text_of((at - self.now) / 1e6)}" if at > self.now else "due now"

    def since(self, at: int) -> str:
        return f"since {_moment(at)}" if self.is_kept else f"for {text_of((self.now - at) / 1e6)}"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime(_MOMENT)


def with_lengths(kept: str, now: int) -> str:
    """Return a text that was kept, with what is due counted from now."""

    def told(found: re.Match[str]) -> str:
        at = datetime.strptime(found[1], _MOMENT).replace(tzinfo=UTC)
        return _Times(now, is_kept=False).due(int(at.timestamp() * 1e6))

    return _DUE.sub(told, kept)


def waits_of(run: LiveRun, times: _Times) -> list[str]:
    """Return one phrase for each thing that the run waits for."""
    now = times.now
    waits: list[str] = []
    for step in run.steps.pending.values():
        what = f"step {step.name}"
        if step.is_started and step.definition.is_wait:
            waits.append(_awaited(step))
        elif step.is_started:
            waits.append(f"{what}, attempt {step.attempt + 1} {_at_work(run, step, times)}")
        elif step.next_at > now:
            attempt = f"attempt {step.attempt + 1} {times.due(step.next_at)}"
            waits.append(f"{what}, {attempt}, after {step.last_error}")
        else:
            waits.append(f"{what}, about to start")
    calls = run.calls
    if calls.made_inbox is not None:
        waits += [f"signal {name!r}" for name in calls.made_inbox.waiting_names()]
    if calls.made_tokens is not None:
        waits += [f"{op.kind} {op.title!r}" for op in calls.made_tokens.awaited()]
    if isinstance(run, LiveWorkflow) and run.made_updates is not None:
        waits += [f"its handler of update {op.name!r}" for op in run.made_updates.unfinished()]
    if calls.made_children is not None:
        waits += [f"child run {c.child}" for c in calls.made_children.open_children() if c.waiters]
    if calls.made_conditions is not None and calls.made_conditions.waiting:
        waits.append("a condition in its code (wf.until)")
    timer = run.loop.timers.next()
    if timer is not None:
        waits.append(f"a timer, {times.due(int(timer[0] * 1e6))}")
    return waits


def is_at_work(run: LiveRun) -> bool:
    """Whether code or a step's body is executing, or about to.

    What only waits for something named, such as an actor's answer or another run's end, is not: the
    process's death is not its fault.
    """
    if run.state == "replaying":
        return True
    return any(
        not (step.definition.is_wait or step.queue is not None)
        if step.is_started
        else not (step.is_parked or step.next_at)
        for step in run.steps.pending.values()
    )


def why_of(run: LiveRun, now: int, *, is_kept: bool = False) -> str:
    """Return why the run is not further, in one line; `is_kept` is for its row."""
    if run.state == "replaying":
        if isinstance(run, LiveActor) and not run.journal.records_to_replay():
            return "about to look at its messages"
        is_new = not run.summary.started_at
        return "about to run its first line" if is_new else "replaying its journal"
    waits = waits_of(run, _Times(now, is_kept))
    if isinstance(run, LiveWorkflow) and run.pausing is not None:
        waits.insert(0, "operations in flight, before it pauses")
    if run.cancellation.is_requested:
        waits.insert(0, f"its cleanup after a request to cancel ({run.cancellation.reason})")
    if not waits and isinstance(run, LiveActor) and run.handling.current is None:
        return _why_free(run, _Times(now, is_kept))
    if not waits:
        return (
            "its code is running"
            if run.journal.in_flight
            else "its code is stuck: it waits for nothing durable"
        )
    shown = "; ".join(waits[:_SHOWN_MAX])
    more = len(waits) - _SHOWN_MAX
    return f"waiting for {shown}" + (f"; and {more} more" if more > 0 else "")


def _why_free(actor: LiveActor, times: _Times) -> str:
    """Return what an actor waits for that handles no message."""
    held = actor.ends.held_until(times.now)
    if held is not None:
        return f"waiting for the next attempt at a message that failed, {times.due(held)}"
    if actor.mail.ready:
        return f"about to handle the next of {counted(len(actor.mail.ready), 'message')}"
    due = actor.mail.next_due()
    if due is not None:
        return f"idle until a delayed message or a reminder, {times.due(due)}"
    return "idle: waiting for a message"


def _at_work(run: LiveRun, step: StepOperation, times: _Times) -> str:
    """Return since when an attempt runs, or why it does not yet."""
    if step.queue is not None:
        queued = f"queued {times.since(step.queued_at)} for {step.queue.name}"
        return queued if times.is_kept else f"{queued}: {step.queue.why()}"
    if step.ran_at:
        return f"running {times.since(step.ran_at)}"
    if not step.queued_at:
        return "about to start"
    queued = f"queued {times.since(step.queued_at)}"
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
