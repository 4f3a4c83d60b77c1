"""What running steps send to their runs: outcomes, heartbeats, values, words for a stream."""

from __future__ import annotations

from typing_extensions import override

from outlast._engine.scheduling.late_outcomes import LateOutcomes
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.scheduling.step_streams import StepStreams
from outlast._execution.bodies.body import Body, BodySink
from outlast._execution.calls.steps import HEARTBEAT
from outlast._execution.calls.streams import write_value
from outlast._execution.runs.run import LiveRun
from outlast.types import RunId


class StepMessages(BodySink):
    """The engine as the bodies of its steps see it; all is called on the host loop."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._late = LateOutcomes(scheduler)
        self._streams = StepStreams(scheduler)

    def _open(self, run: RunId) -> LiveRun | None:
        """Return the run if it can still append something."""
        live = self._scheduler.residents.get(run)
        if live is None or live.journal.has_closed or live.state not in ("live", "ending"):
            return None
        return live

    @override
    def step_ended(self, body: Body, now: int) -> None:
        events = self._scheduler.events
        events.steps_executed += 1
        events.step_seconds.add((now - body.began_at) / 1e6)
        self._streams.ended(body.run, body.key)
        live = self._scheduler.residents.get(body.run)
        if live is not None:
            live.step_ended(body.key, body.value, body.error, now)

    @override
    def steps_ended(self) -> None:
        self._scheduler.writer.send()

    @override
    def step_late(self, body: Body, value: object, error: BaseException | None) -> None:
        self._late.ended(body, value, error)

    @override
    def step_heartbeat(self, run: RunId, key: str, data: bytes) -> None:
        live = self._open(run)
        if live is not None and (live.keeps_after_end or key in live.steps.pending):
            live.steps.heartbeats[HEARTBEAT + key] = None
            transaction = live.journal.transaction()
            transaction.also.values += ((HEARTBEAT + key, data),)

    @override
    def step_wrote(self, run: RunId, key: str, attempt: int, name: str, data: bytes) -> None:
        self._streams.wrote(run, key, attempt, name, data)

    @override
    def step_set(self, run: RunId, key: str, attempt: int, name: str, data: bytes) -> None:
        live = self._open(run)
        if live is not None:
            now = self._scheduler.world.now()
            write_value(live.journal, now, name=name, data=data, key=key)

    @property
    @override
    def is_full(self) -> bool:
        return self._scheduler.writer.is_full

    @override
    async def room(self) -> None:
        await self._scheduler.writer.room()
