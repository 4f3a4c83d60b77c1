"""What a step may ask about itself while it runs, in the engine's process or in a worker's.

Invariant: what a step sends (a heartbeat, a stream's values, a value) is queued at once, in order,
when it is called; awaiting what the call returns only adds backpressure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from outlast._codec import adapter_for
from outlast._execution.bodies.held import HeldOpen, Open
from outlast._execution.calls.operations import Queued
from outlast.errors import NotInRun, UsageError

T = TypeVar("T")


class StepSink(Protocol):
    """Where a step's own messages go."""

    def heartbeat(self, data: bytes) -> None:
        """Keep the details for the next attempt, and the idle timeout away."""
        ...

    def write_stream(self, name: str, data: bytes) -> None:
        """Append one encoded value to a stream of the run."""
        ...

    def set_value(self, name: str, data: bytes) -> None:
        """Set a value of the run."""
        ...

    async def room(self) -> None:
        """Wait until more may be sent without growing memory."""
        ...

    def wait_for_room(self) -> None:
        """The same, blocking: for steps on threads and in worker processes."""
        ...


class Resources(Protocol):
    """Things made once per process, by type."""

    def get(self, kind: type[T]) -> T:
        """Return the resource of this type, making it on first use."""
        ...

    async def opened(self, owner: str, key: str, opened: Open[T]) -> T:
        """Return what is open under a key, opening it on first use."""
        ...


class Posted:
    """Something that was queued; await it to be held back when there is too much."""

    __slots__ = ("_sink",)

    def __init__(self, sink: StepSink | None) -> None:
        self._sink = sink

    def __await__(self) -> Generator[object, None, None]:
        if self._sink is None:
            return
        yield from self._sink.room().__await__()


NOTHING_POSTED = Posted(None)


class StepState(Protocol):
    """What others set while the step runs."""

    @property
    def cancelled(self) -> bool:
        """Whether it is no longer awaited."""
        ...

    @property
    def shutting_down(self) -> bool:
        """Whether the engine is draining."""
        ...


class StepFacts(msgspec.Struct, frozen=True):
    """One attempt as its `StepContext` tells it; `blocks`: its body runs beside the host loop."""

    run_id: str
    key: str
    attempt: int
    fence: int
    deadline: datetime | None
    last_heartbeat: bytes | None
    blocks: bool


class StepContext:
    """What `this_step()` gives to the body of a step.

    Attributes:
        run_id: the run that the step belongs to.
        key: stable over attempts and crashes: the idempotency key for the outside world.
        attempt: 1 for the first attempt.
        fence: a number that never goes down for this run; hand it to systems that refuse older.
        deadline: when this attempt is given up, None without a timeout.
    """

    __slots__ = (
        "_blocks",
        "_last_heartbeat",
        "_resources",
        "_sent",
        "_sink",
        "_state",
        "attempt",
        "deadline",
        "fence",
        "key",
        "run_id",
    )

    def __init__(
        self, facts: StepFacts, *, sink: StepSink, resources: Resources, state: StepState
    ) -> None:
        self.run_id: str = facts.run_id
        self.key: str = facts.key
        self.attempt: int = facts.attempt
        self.fence: int = facts.fence
        self.deadline: datetime | None = facts.deadline
        self._sink = sink
        self._resources = resources
        self._state = state
        self._last_heartbeat = facts.last_heartbeat
        self._sent = 0
        self._blocks = facts.blocks

    @property
    def cancelled(self) -> bool:
        """Whether this step is no longer awaited: stop when convenient."""
        return self._state.cancelled

    @property
    def shutting_down(self) -> bool:
        """Whether the engine is draining: finish soon, or save what is done in a heartbeat."""
        return self._state.shutting_down

    def heartbeat(self, details: object = None) -> Awaitable[None]:
        """Say that the step is alive, and keep `details` for the next attempt, over crashes.

        Raises:
            EncodingError: `details` is not JSON-like data.
        """
        self._sink.heartbeat(adapter_for(object).encode(details))
        return self.posted()

    def last_heartbeat(self, kind: Callable[..., T] | type[T] | None = None) -> T | None:
        """Return what the last attempt that sent a heartbeat gave it, None if none did.

        Raises:
            DecodingError: it does not fit `kind`.
        """
        if self._last_heartbeat is None:
            return None
        value = adapter_for(object).decode(self._last_heartbeat)
        if kind is not None:
            value = adapter_for(kind).from_json(value)
        return value  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # as `kind`

    def resource(self, kind: type[T]) -> T:
        """Return what `Engine.open(resources={kind: make})` makes, once per process.

        Raises:
            UsageError: the engine was opened without a resource of this type.
        """
        return self._resources.get(kind)

    async def opened(
        self, key: str, opened: Open[T], *, scope: Literal["run", "engine"] = "run"
    ) -> T:
        """Return something that steps share, entered by the first that asks for it under a key.

        `opened()` returns an async context manager; what it gives lives on the engine's event loop:
        a connection, a session, a process. It is closed when the run ends or leaves memory, or,
        with the scope "engine", when the engine closes. A run that only replays opens nothing.

        Raises:
            UsageError: the step does not run on the event loop.
            Exception: what opening it raised; the next step that asks tries again.
        """
        if self._blocks:
            raise UsageError("opened() works only in async steps that run on the event loop")
        owner = self.run_id if scope == "run" else ""
        return await self._resources.opened(owner, key, opened)

    def write_stream(self, name: str, data: bytes) -> Posted:
        """Append one encoded value to a stream (used by `Stream.write`)."""
        self._sink.write_stream(name, data)
        return self.posted()

    def set_value(self, name: str, data: bytes) -> Posted:
        """Set a value (used by `Value.set`)."""
        self._sink.set_value(name, data)
        return self.posted()

    def next_dedup(self) -> str:
        """Return a key for the next message that the step sends, alike in every attempt."""
        self._sent += 1
        return f"{self.key}/{self._sent}"

    def posted(self) -> Posted:
        """Return what a sending call gives back; on a thread, wait for room at once."""
        if self._blocks:
            self._sink.wait_for_room()
            return NOTHING_POSTED
        return Posted(self._sink)


class HasContext(Protocol):
    """A step at work; `only_waits`: for the engine, which does not wait for it when it closes."""

    only_waits: bool

    @property
    def context(self) -> StepContext:
        """What it may know of itself."""
        ...


@runtime_checkable
class CanQueue(Protocol):
    """A step of a run, which may wait in a queue."""

    def enter_queue(self, queue: Queued) -> None:
        """Wait in a queue: the time limits of an attempt at work do not run meanwhile."""
        ...

    def leave_queue(self) -> None:
        """Be at work again."""
        ...


executing_step: ContextVar[HasContext | None] = ContextVar("executing_step", default=None)


@contextmanager
def waiting_for_engine() -> Generator[None]:
    """Say that the step that runs only waits for its engine in the block.

    When the engine closes, it is ended at once, and runs again in the next one.
    """
    step = executing_step.get()
    if step is None:
        yield
        return
    before, step.only_waits = step.only_waits, True
    try:
        yield
    finally:
        step.only_waits = before


@contextmanager
def waiting_in_queue(queue: Queued) -> Generator[None]:
    """Say that the step that runs waits for its turn in a queue in the block.

    The time that an attempt may run begins anew after it; `Timeout.queue` limits the wait.
    """
    step: object = executing_step.get()
    if not isinstance(step, CanQueue):
        yield
        return
    with waiting_for_engine():
        step.enter_queue(queue)
        try:
            yield
        finally:
            step.leave_queue()


def in_step() -> bool:
    """Whether the body of a step runs here."""
    return executing_step.get() is not None


def step_dedup() -> str | None:
    """Return a dedup key for a message sent from here, None outside of steps."""
    step = executing_step.get()
    return step.context.next_dedup() if step is not None else None


def current_step() -> StepContext:
    """Return the context of the step that is running.

    Raises:
        NotInRun: no step is running here.
    """
    step = executing_step.get()
    if step is None:
        raise NotInRun(
            "this_step() works only inside the body of a step that a run executes; to test a step "
            "without an engine, call it under `with outlast.testing.step_context():`"
        )
    return step.context


class MadeOnce:
    """Resources of one process, each made on first use by the maker that the user gave."""

    __slots__ = ("_held", "_made", "_makers")

    def __init__(
        self, makers: dict[type[object], Callable[[], object]], held: HeldOpen | None = None
    ) -> None:
        self._makers = makers
        self._held = held
        self._made: dict[type[object], object] = {}

    def get(self, kind: type[T]) -> T:
        made = self._made.get(kind)
        if made is None:
            make = self._makers.get(kind)
            if make is None:
                known = ", ".join(sorted(k.__name__ for k in self._makers)) or "none"
                raise UsageError(
                    f"no resource of type {kind.__name__} is configured (there are: {known}); "
                    f"pass resources={{{kind.__name__}: make}} to Engine.open"
                )
            made = self._made[kind] = make()
        if not isinstance(made, kind):
            raise UsageError(
                f"the factory for {kind.__name__} returned a {type(made).__name__} instead"
            )
        return made

    async def opened(self, owner: str, key: str, opened: Open[T]) -> T:
        """Return what is open under a key, opening it on first use.

        Raises:
            UsageError: no engine is there to hold it.
        """
        if self._held is None:
            raise UsageError("opened() needs an engine: test the step in a run, with Sim")
        return await self._held.get(owner, key, opened)
