"""Which runs and actors of this engine wait for which: what could never come is refused.

A asks B while B, in another chain of calls, asks A: each handles one message at a time, so neither
answer can come. The second to ask is refused with `CallCycle`. The same holds for the results of
other runs, for children that are awaited, and for updates that have no handler yet. A handler of an
update runs beside the code of its run, whatever that waits for: a child may update its parent.

Only waits without a timeout count, and only of those that wait for nothing else: a timer, a signal
or a step may let such a one go on without the answer. What other engines on a shared store wait
for is not known here.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast.errors import CallCycle
from outlast.types import RunId


class WaitGraph:
    """The wait-for graph of one engine."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        # The update that is waited for, or "": its handler may be declared during the wait.
        self._targets: dict[RunId, list[tuple[RunId, str]]] = {}

    @contextmanager
    def during(
        self, waiter: RunId, target: RunId, *, update: str = ""
    ) -> Generator[None, None, None]:
        """Let `waiter` wait for `target`, or for an update of it, inside of the block.

        Raises:
            CallCycle: `target` waits for `waiter`, directly or not.
        """
        path = None if self._handles(target, update) else self._path(target, waiter)
        if path is not None:
            raise CallCycle(tuple(path), target)
        self._targets.setdefault(waiter, []).append((target, update))
        try:
            yield
        finally:
            targets = self._targets[waiter]
            targets.remove((target, update))
            if not targets:
                del self._targets[waiter]

    def _path(self, start: RunId, end: RunId) -> list[RunId] | None:
        """Return a way along the waits, breadth first; None when there is none."""
        came_from: dict[RunId, RunId | None] = {start: None}
        reached = [start]
        for node in reached:
            for target in self._waits_of(node):
                if target not in came_from:
                    came_from[target] = node
                    reached.append(target)
        if end not in came_from or (start == end):
            return None
        path: list[RunId] = []
        step: RunId | None = end
        while step is not None:
            path.append(step)
            step = came_from[step]
        return path[::-1]

    def _waits_of(self, run: RunId) -> list[RunId]:
        live = self._scheduler.residents.get(run)
        if live is None or _may_go_on(live):
            return []
        made = live.calls.made_children
        open_children = [] if made is None else made.open_children()
        children = (op.child for op in open_children if op.waiters)
        targets = self._targets.get(run, ())
        return [*(to for to, update in targets if not self._handles(to, update)), *children]

    def _handles(self, run: RunId, update: str) -> bool:
        """Whether a run has a handler for this update."""
        live = self._scheduler.residents.get(run) if update else None
        if not isinstance(live, LiveWorkflow) or live.made_updates is None:
            return False
        return live.made_updates.handles(update)


def _may_go_on(live: LiveRun) -> bool:
    """Whether something else than an answer can let it go on."""
    has_step = any(
        not (step.is_started and step.definition.is_wait) for step in live.steps.pending.values()
    )
    calls = live.calls
    return (
        live.state != "live"
        or has_step
        or live.loop.timers.next() is not None
        or (calls.made_inbox is not None and bool(calls.made_inbox.waiting_names()))
        or (calls.made_tokens is not None and bool(calls.made_tokens.awaited()))
        or (calls.made_conditions is not None and len(calls.made_conditions) > 0)
    )
