"""One attempt of a step at work, and what it says while it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from typing_extensions import TypeVarTuple, override

from outlast._execution.bodies.contained import Raised
from outlast._execution.bodies.context import MadeOnce, StepContext, StepFacts, StepSink
from outlast._execution.calls.operations import Queued, StepOperation
from outlast._registry import StepDefinition
from outlast._world import Timer
from outlast.errors import Shutdown, StepTimeout
from outlast.types import RunId

Ts = TypeVarTuple("Ts")
_CUT_OFF = (asyncio.CancelledError, Shutdown, StepTimeout)


class BodySink(Protocol):
    """The engine, as the messages of running steps reach it; called on the host loop."""

    def step_ended(self, body: Body, now: int) -> None:
        """A body has returned or raised by now."""
        ...

    def steps_ended(self) -> None:
        """All that have ended in this turn of the loop were told."""
        ...

    def step_late(self, body: Body, value: object, error: BaseException | None) -> None:
        """A body whose outcome was no longer awaited has returned or raised."""
        ...

    def step_heartbeat(self, run: RunId, key: str, data: bytes) -> None:
        """Keep what a step said of its progress."""
        ...

    def step_wrote(self, run: RunId, key: str, attempt: int, name: str, data: bytes) -> None:
        """Append a value to a stream of the run."""
        ...

    def step_set(self, run: RunId, key: str, attempt: int, name: str, data: bytes) -> None:
        """Set a value of the run."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether producers should wait."""
        ...

    async def room(self) -> None:
        """Wait until there is room for more."""
        ...


class PhaseLimits(Protocol):
    """The time limits of bodies, as they go to and fro between a queue and their work."""

    def queued(self, body: Body) -> None:
        """A body waits in a queue from now on."""
        ...

    def began(self, body: Body) -> None:
        """A body is at work from now on."""
        ...


class BodyOwner(Protocol):
    """All bodies of one engine, as one of them sees it."""

    sink: BodySink
    resources: MadeOnce

    @property
    def limits(self) -> PhaseLimits:
        """Their time limits."""
        ...

    def is_at_work(self, run: RunId, key: str, attempt: int) -> bool:
        """Whether this very attempt is still the one that counts."""
        ...

    def on_loop(self, call: Callable[[*Ts], None], *args: *Ts) -> None:
        """Call on the host loop's thread: at once when we are on it."""
        ...

    def beat(self, run: RunId, key: str, data: bytes) -> None:
        """Take a heartbeat."""
        ...

    def wait_for_room(self) -> None:
        """Block a step's thread while the writer's queue is full."""
        ...


class Body(msgspec.Struct, eq=False):
    """One attempt of a step at work."""

    run: RunId
    key: str
    definition: StepDefinition
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    attempt: int
    fence: int
    first_at: int
    began_at: int
    last_heartbeat: bytes | None
    bodies: BodyOwner
    cancelled: bool = False
    shutting_down: bool = False
    only_waits: bool = False
    made: StepContext | None = None
    made_sink: StepSink | None = None
    value: object = None
    error: BaseException | None = None
    task: asyncio.Task[None] | None = None
    timers: list[Timer] | None = None
    idle_timer: Timer | None = None
    phase_timer: Timer | None = None  # of `timers`: of its time in a queue, or at work
    timed_out: StepTimeout | None = None
    is_abandoned: bool = False
    begun: asyncio.Future[None] | None = None
    operation: StepOperation | None = None
    returned: list[object] | None = None  # what its thread has returned, heard or not
    is_over: bool = False  # its end was reported, or it was abandoned: what comes now is late

    def __str__(self) -> str:
        return f"step {self.definition.name} of run {self.run}"

    @property
    def sink(self) -> StepSink:
        """Where its own messages go; most send none."""
        if self.made_sink is None:
            self.made_sink = _LoopSink(self.bodies, self.run, self.key, self.attempt)
        return self.made_sink

    @property
    def context(self) -> StepContext:
        """What `this_step()` gives; made when it is first asked for, since most never ask."""
        if self.made is None:
            self.made = StepContext(
                StepFacts(
                    run_id=self.run,
                    key=self.idempotency_key,
                    attempt=self.attempt,
                    fence=self.fence,
                    deadline=self._deadline(),
                    last_heartbeat=self.last_heartbeat,
                    blocks=where_of(self.definition) != "loop",
                ),
                sink=self.sink,
                resources=self.bodies.resources,
                state=self,
            )
        return self.made

    @property
    def idempotency_key(self) -> str:
        """The key for the outside world: of a fork with the same keys that of its origin."""
        keys_of = self.operation.keys_of if self.operation is not None else ""
        return f"{keys_of or self.run}/{self.key}"

    @property
    def is_queued(self) -> bool:
        """Whether it waits for its thread or process, or in a queue."""
        if self.operation is not None and self.operation.queue is not None:
            return True
        return self.begun is not None and not self.begun.done()

    def enter_queue(self, queue: Queued) -> None:
        """Wait in a queue: the time limits of an attempt at work do not run meanwhile."""
        if self.operation is not None:
            self.operation.queue = queue
            self.bodies.limits.queued(self)

    def leave_queue(self) -> None:
        """Be at work again: the attempt's time runs from here."""
        if self.operation is not None and self.operation.queue is not None:
            self.operation.queue = None
            self.bodies.limits.began(self)
            if self.made is not None:
                self.made.deadline = self._deadline()

    def take_late(self) -> tuple[object, BaseException | None] | None:
        """Return once what came of a body after its end; None when it was only cut off."""
        returned, self.returned = self.returned, None
        if returned is not None:
            value = returned[0]
            return (None, value.error) if isinstance(value, Raised) else (value, None)
        if self.task is None or not self.task.done() or isinstance(self.error, _CUT_OFF):
            return None
        return self.value, self.error

    def _deadline(self) -> datetime | None:
        timeout = self.definition.timeout
        ends: list[int] = []
        if timeout.run is not None:
            began = self.operation.ran_at if self.operation is not None else 0
            ends.append((began or self.began_at) + int(timeout.run * 1e6))
        if timeout.total is not None:
            ends.append(self.first_at + int(timeout.total * 1e6))
        return datetime.fromtimestamp(min(ends) / 1e6, UTC) if ends else None


class _LoopSink(StepSink):
    """Messages of one body, sent from the host loop's own thread or from a step's thread."""

    def __init__(self, bodies: BodyOwner, run: RunId, key: str, attempt: int) -> None:
        self._bodies = bodies
        self._run = run
        self._key = key
        self._attempt = attempt

    @property
    def _is_heard(self) -> bool:
        """A thread that was given up may go on writing; that is ignored."""
        return self._bodies.is_at_work(self._run, self._key, self._attempt)

    @override
    def heartbeat(self, data: bytes) -> None:
        self._bodies.on_loop(self._beat, data)

    def _beat(self, data: bytes) -> None:
        if self._is_heard:
            self._bodies.beat(self._run, self._key, data)

    @override
    def write_stream(self, name: str, data: bytes) -> None:
        self._bodies.on_loop(self._write, name, data)

    def _write(self, name: str, data: bytes) -> None:
        if self._is_heard:
            self._bodies.sink.step_wrote(self._run, self._key, self._attempt, name, data)

    @override
    def set_value(self, name: str, data: bytes) -> None:
        self._bodies.on_loop(self._set, name, data)

    def _set(self, name: str, data: bytes) -> None:
        if self._is_heard:
            self._bodies.sink.step_set(self._run, self._key, self._attempt, name, data)

    @override
    async def room(self) -> None:
        await self._bodies.sink.room()

    @override
    def wait_for_room(self) -> None:
        self._bodies.wait_for_room()


def where_of(definition: StepDefinition) -> str:
    """Return where a step runs when the user left it to us."""
    if definition.where != "auto":
        return definition.where
    return "loop" if definition.is_async else "thread"
