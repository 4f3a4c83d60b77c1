"""What running steps send to their runs: outcomes, heartbeats, values, words for a stream.

What one turn of the loop writes to a stream is merged into one record.
"""

from __future__ import annotations

from typing_extensions import override

from outlast._engine.scheduling.late_outcomes import LateOutcomes
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.bodies.body import Body, BodySink
from outlast._execution.calls.steps import HEARTBEAT
from outlast._execution.calls.streams import write_stream, write_value
from outlast._execution.runs.run import LiveRun
from outlast.types import RunId


class StepMessages(BodySink):
    """The engine as the bodies of its steps see it; all is called on the host loop."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._late = LateOutcomes(scheduler)
        self._written: dict[tuple[RunId, str, str, str], list[bytes]] = {}

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
        if self._written:
            self._flush()  # before the outcome, or readers would miss the last words
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
        if not self._written:
            self._scheduler.world.call_soon(self._flush)
        lease = self._scheduler.leases.get(self._scheduler.shard_of(run))
        # The epoch tells apart the lives of one attempt: after a crash it is another writer.
        writer = f"{key}@{attempt}-{lease.epoch if lease is not None else 0}"
        self._written.setdefault((run, key, name, writer), []).append(data)

    def _flush(self) -> None:
        written, self._written = self._written, {}
        for (run, key, name, writer), values in written.items():
            live = self._open(run)
            if live is None:
                continue
            operation = live.steps.pending.get(key)
            if operation is not None:
                operation.writers[name] = writer
            elif not live.keeps_after_end:
                continue
            write_stream(
                live.journal,
                live.steps.offsets,
                self._scheduler.world.now(),
                stream=name,
                key=key,
                writer=writer,
                values=values,
            )

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
