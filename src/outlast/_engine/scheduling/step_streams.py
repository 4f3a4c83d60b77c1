"""What running steps write to streams: the first word at once, then a row each 20 ms.

A value that comes after a silence is appended in the turn in which it was written, with what else
that turn writes. What follows is gathered: a model that says a hundred tokens a second makes fifty
rows of it, not a hundred, and a reader waits for a token 20 ms and a commit at most. Only the first
row of an attempt has a record in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from zlib import crc32

from outlast import limits
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.runs.run import LiveRun
from outlast.types import RunId

_GATHER_SECONDS = 0.02

_Step = tuple[RunId, str]
_Writer = tuple[str, str]  # the stream, and who writes: an attempt at a step


@dataclass(slots=True)
class _Gathered:
    """What one writer has written since its last row."""

    values: list[bytes] = field(default_factory=list[bytes])
    size: int = 0


class StepStreams:
    """The values that steps at work have written to streams, on their way to the journals."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._world = scheduler.world
        self._steps: dict[_Step, dict[_Writer, _Gathered]] = {}

    def wrote(self, run: RunId, key: str, attempt: int, stream: str, data: bytes) -> None:
        """Take a value; it is appended soon, and before its step ends."""
        live = self._scheduler.residents.get(run)
        life = ""
        if live is not None:
            life = _tag_of(live.steps.streams.life_of(live.row))
        lease = self._scheduler.leases.get(self._scheduler.shard_of(run))
        # The epoch tells apart the lives of one attempt: after a crash it is another writer. So is
        # the same attempt of a run that is retried, or of a fork, which has its origin's rows.
        writer = (stream, f"{key}@{attempt}-{lease.epoch if lease is not None else 0}{life}")
        writers = self._steps.setdefault((run, key), {})
        gathered = writers.get(writer)
        if gathered is None:
            gathered = writers[writer] = _Gathered()
            self._world.call_soon(self._go_on, (run, key), writer)
        if gathered.values and gathered.size + len(data) > limits.STREAM_ROW_BYTES:
            self._append((run, key), writer, gathered)  # a row is full
        gathered.values.append(data)
        gathered.size += len(data)

    def ended(self, run: RunId, key: str) -> None:
        """Append what is left of a step, which ends: readers must not miss its last words."""
        if not self._steps:
            return
        for writer, gathered in self._steps.pop((run, key), {}).items():
            if gathered.values:
                self._append((run, key), writer, gathered)

    def _go_on(self, step: _Step, writer: _Writer) -> None:
        """Append what was gathered, and gather again; forget a writer that is silent."""
        writers = self._steps.get(step, {})
        gathered = writers.get(writer)
        if gathered is None:
            return  # its step has ended
        if gathered.values:
            self._append(step, writer, gathered)
            self._world.call_later(_GATHER_SECONDS, self._go_on, step, writer)
            return
        del writers[writer]
        if not writers:
            del self._steps[step]

    def _append(self, step: _Step, writer: _Writer, gathered: _Gathered) -> None:
        values, gathered.values, gathered.size = gathered.values, [], 0
        (run, key), (stream, name) = step, writer
        live = self._scheduler.residents.get(run)
        if live is None or not _may_append(live):
            return
        operation = live.steps.pending.get(key)
        streams = live.steps.streams
        if operation is not None and operation.writers.get(stream) == name:
            streams.write_more(stream, values, writer=name)
            return
        if operation is not None:
            operation.writers[stream] = name
        elif not live.keeps_after_end:
            return
        streams.write(stream, values, key=key, writer=name, now=self._world.now())


@lru_cache(maxsize=1_024)
def _tag_of(life: str) -> str:
    return f"-{crc32(life.encode()):08x}"


def _may_append(live: LiveRun) -> bool:
    return not live.journal.has_closed and live.state in ("live", "ending")
