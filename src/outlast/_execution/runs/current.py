"""The run whose code is executing on this thread."""

from __future__ import annotations

from outlast._execution.loop.event_loop import NOBODY, RunLoop, running_loop
from outlast._execution.runs.run import LiveRun
from outlast.errors import NotInRun, Passivating


def current_run() -> LiveRun:
    """Return the run whose code is executing.

    Raises:
        NotInRun: no run's code is executing on this thread.
        Passivating: the run is leaving memory; its code must let this pass.
    """
    loop = running_loop()
    if loop is None:
        raise NotInRun(
            "this works only in workflow code and in handlers of durable actors: start the "
            "workflow with engine.start(), engine.run() or outlast.run(); a handler of an actor "
            "with durable=False has no run"
        )
    return run_of(loop)


def run_of(loop: RunLoop) -> LiveRun:
    """Return the run of a loop that is executing.

    Raises:
        Passivating: the run is leaving memory; its code must let this pass.
    """
    if loop.owner is NOBODY:
        raise Passivating("the run has left memory")
    # `isinstance` of an abstract class costs as much as all the rest, once a step. A loop is a
    # run's, or NOBODY's.
    owner: object = loop.owner
    run: LiveRun = owner  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # so
    if run.state in ("left", "ended"):
        raise Passivating("the run is leaving memory")
    return run
