"""Runs that begin: they decode what they were given, and that may be large."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from outlast import limits
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._world import World


class Beginnings:
    """Lets runs begin soon; of those that take long, one in a turn of the loop."""

    def __init__(self, world: World, begin: Callable[[LiveRun], None]) -> None:
        self._world = world
        self._begin = begin
        self._heavy: deque[LiveRun] = deque()

    def add(self, live: LiveRun) -> None:
        """Let a run begin, outside any task."""
        if _bytes_of(live) <= limits.RUN_LIGHT_BYTES:
            self._world.call_soon(self._begin, live)
            return
        self._heavy.append(live)
        if len(self._heavy) == 1:
            self._world.call_soon(self._begin_heavy)

    def _begin_heavy(self) -> None:
        try:
            self._begin(self._heavy[0])
        finally:
            self._heavy.popleft()
            if self._heavy:
                self._world.call_soon(self._begin_heavy)


def _bytes_of(live: LiveRun) -> int:
    if isinstance(live, LiveWorkflow):
        return len(live.started.input)
    return len(live.row.output or b"")
