"""The run whose code is executing on this thread."""

from __future__ import annotations

from outlast._execution.loop.event_loop import running_loop
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
            "this works only in workflow code: start the workflow with engine.start(), "
            "engine.run() or outlast.run()"
        )
    run = loop.owner
    if not isinstance(run, LiveRun):
        raise Passivating("the run has left memory")
    if run.state in ("left", "ended"):
        raise Passivating("the run is leaving memory")
    return run
