"""`step_context`: what `this_step()` gives to a step that a test calls without an engine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from typing_extensions import override

from outlast._codec import adapter_for, stored_json
from outlast._execution.bodies.context import (
    MadeOnce,
    StepContext,
    StepFacts,
    StepSink,
    executing_step,
)
from outlast._registry import default_registry

DEFAULT_KEY = "test-run/0#1:step"


@dataclass(slots=True)
class StepRecord:
    """What a step under test has sent, and what it is told.

    Attributes:
        context: what `this_step()` returns.
        heartbeats: the details of each heartbeat, in order.
        written: the values written to each stream, by its name.
        values: the last value set under each name.
        cancelled, shutting_down: what the step is told; set them whenever it should change.
    """

    heartbeats: list[object] = field(default_factory=list[object])
    written: dict[str, list[object]] = field(default_factory=dict[str, list[object]])
    values: dict[str, object] = field(default_factory=dict[str, object])
    cancelled: bool = False
    shutting_down: bool = False
    only_waits: bool = False  # set by what the step calls
    _context: StepContext | None = None

    @property
    def context(self) -> StepContext:
        """What `this_step()` returns inside of the block."""
        if self._context is None:
            raise RuntimeError("a StepRecord is made by step_context(...)")
        return self._context


@contextmanager
def step_context(
    *,
    run_id: str = "test-run",
    key: str = DEFAULT_KEY,
    attempt: int = 1,
    fence: int = 1,
    deadline: datetime | None = None,
    last_heartbeat: object = None,
    resources: Mapping[type[object], object] | None = None,
    cancelled: bool = False,
    shutting_down: bool = False,
) -> Generator[StepRecord]:
    """Let code in this block, plain or async, call steps that use `this_step()`.

        with step_context(attempt=2, resources={Bank: bank}) as step:
            assert await charge(999) == "ok"
        assert step.heartbeats == [1, 2]

    Args:
        key: the idempotency key that the step sees.
        last_heartbeat: what the last attempt left; None: nothing.
        resources: the objects that `this_step().resource(type)` returns, by type.

    Raises (in the step):
        EncodingError: it sends what cannot be stored, as in a run.
    """
    record = StepRecord(cancelled=cancelled, shutting_down=shutting_down)
    held = {kind: _returning(value) for kind, value in (resources or {}).items()}
    left = None if last_heartbeat is None else adapter_for(object).encode(last_heartbeat)
    record._context = StepContext(
        StepFacts(
            run_id=run_id,
            key=key,
            attempt=attempt,
            fence=fence,
            deadline=deadline,
            last_heartbeat=left,
            blocks=False,
        ),
        sink=_Collecting(record),
        resources=MadeOnce(held),
        state=record,
    )
    token = executing_step.set(record)
    try:
        yield record
    finally:
        executing_step.reset(token)


def _returning(value: object) -> Callable[[], object]:
    return lambda: value


def client_record(key: str) -> StepRecord:
    """Return what stands for a client whose calls have the same keys when they are repeated."""
    record = StepRecord()
    record._context = StepContext(
        StepFacts(
            run_id="client",
            key=key,
            attempt=1,
            fence=1,
            deadline=None,
            last_heartbeat=None,
            blocks=False,
        ),
        sink=_Collecting(record),
        resources=MadeOnce({}),
        state=record,
    )
    return record


class _Collecting(StepSink):
    """Keeps what a step sends."""

    def __init__(self, record: StepRecord) -> None:
        self._record = record

    @override
    def heartbeat(self, data: bytes) -> None:
        self._record.heartbeats.append(adapter_for(object).decode(data))

    @override
    def write_stream(self, name: str, data: bytes) -> None:
        declared = default_registry.streams.get(name)
        adapter = None if declared is None else declared.adapter
        value = stored_json(data) if adapter is None else adapter.decode(data)
        self._record.written.setdefault(name, []).append(value)

    @override
    def set_value(self, name: str, data: bytes) -> None:
        declared = default_registry.values.get(name)
        adapter = None if declared is None else declared.adapter
        self._record.values[name] = stored_json(data) if adapter is None else adapter.decode(data)

    @override
    async def room(self) -> None:
        """There is always room."""

    @override
    def wait_for_room(self) -> None:
        """There is always room."""
