"""`assert_exactly_once`: what the journal knows of how often a tool ran."""

from __future__ import annotations

import re
from collections.abc import Iterable

from outlast._engine.reading.records import Record
from outlast._handles.run import Run
from outlast._shapes import is_dict
from outlast._wording.plurals import counted
from outlast.errors import OutcomeUnknown
from outlast.testing.models.journals import (
    AgentStep,
    Place,
    agent_steps,
    calls_in,
    journal_of,
    response_in,
    unanswered_calls,
)

_AGAIN = re.compile(r"/again\d+(?:/again\d+)*$")


async def assert_exactly_once(
    run: Run[object] | Iterable[Record], tool: str, *, calls: int | None = None
) -> None:
    """Assert that each call of a tool by the run's agents ran as one step, in one attempt.

    This counts what the journal knows. A process that dies while a tool runs leaves no record of
    that, and the tool runs again: count its effects outside, where they happen, to be sure of
    them. A tool that runs as part of the workflow has no step, and fails this. So does a call that
    the tool deferred (`CallDeferred`) until it has its answer.

    Args:
        run: a handle, or the records of a run (of `Run.journal()` or `Sim.journal()`).
        calls: how many calls there must be; by default at least one.

    Raises:
        AssertionError: it is not so; with a line for each call that is not as it should be.
    """
    journal = await journal_of(run)
    steps = agent_steps(journal)
    unanswered = unanswered_calls(journal)
    called: list[tuple[str, Place]] = []
    for step in steps:
        if not step.place.call and step.record.kind == "step_done" and step.record.error is None:
            for call, name in calls_in(response_in(step)):
                called.append((name, Place(step.place.run, step.place.request, call, 1)))
    places = [place for name, place in called if name == tool]
    if not places and calls != 0:
        others = ", ".join(sorted({name for name, _ in called})) or "none"
        raise AssertionError(f"no agent of the run has called {tool!r}; tools called: {others}")
    faults = [] if calls in (None, len(places)) else [f"called {len(places)} times, not {calls}"]
    for place in dict.fromkeys(places):
        same = [step for step in steps if _is_same_call(step.place, place)]
        found = _faults_of(same, asked_for=places.count(place))
        if (place.run, place.call) in unanswered:
            found.append("it was deferred, and waits for its answer")
        faults += [
            f"call {place.call} in request {place.request} of {place.run}: {fault}"
            for fault in found
        ]
    if faults:
        raise AssertionError("\n  ".join([f"{tool!r} did not run exactly once per call:", *faults]))


def _is_same_call(step: Place, asked: Place) -> bool:
    # An id may end like the number of a step: `call#2`. Calls after one that was cut off have keys
    # below its own: `call/again2`.
    call = _AGAIN.sub("", step.call)
    ids = (call, f"{call}#{step.number}")
    return (step.run, step.request) == (asked.run, asked.request) and asked.call in ids


def _asked_for_approval(record: Record) -> bool:
    value = record.value
    return is_dict(value) and value.get("kind") == "approval_required"


def _was_cut_off(record: Record) -> bool:
    return (record.error or "").startswith(OutcomeUnknown.__name__)


def _faults_of(steps: list[AgentStep], *, asked_for: int) -> list[str]:
    """Return what is wrong with the steps of one call.

    A step that asked for an approval did not run the tool; one that deferred its call is all of it
    that there is. One that a crash cut off was completed
    as the tool's effect declares: it was undone, or a person has said what happened.
    """
    steps = [step for step in steps if not _asked_for_approval(step.record)]
    if steps and all(_was_cut_off(step.record) for step in steps):
        return []  # a person has said that it happened
    steps = [step for step in steps if not _was_cut_off(step.record)]
    done = [step.record for step in steps if step.record.kind == "step_done"]
    failed = [step.record for step in steps if step.record.kind == "attempt_failed"]
    if asked_for > 1:
        return [f"the model gave this id to {asked_for} calls"]
    if not done and not failed:
        return ["it has no step with an end: it is under way, or runs as part of the workflow"]
    faults: list[str] = []
    if len(done) > 1:
        faults.append(f"it ran as {len(done)} steps")
    attempts = max([record.attempt for record in (*done, *failed)])
    if attempts > 1 or failed:
        errors = "; ".join(f"{record.error}" for record in failed)
        faults.append(f"it took {counted(attempts, 'attempt')} ({errors})")
    faults += [f"it failed: {record.error}" for record in done if record.error is not None]
    return faults
