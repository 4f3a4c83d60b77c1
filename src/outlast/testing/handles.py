"""An engine's own verbs and handles, driven in the virtual time of a simulation.

A handle here stands for an `Engine`, a `Run` or an `ActorRef`. Awaiting one of its verbs on the
test's loop finds the real object on the simulated machine that is up by then, and runs the verb
there until it answers. A verb that a crash has cut off is called again, under the same dedup keys.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from typing_extensions import override

from outlast._authoring.workflow import Workflow
from outlast._handles.actor_ref import ActorRef
from outlast._handles.call import WorkflowCall
from outlast._handles.limits import Limits
from outlast._handles.run import Run
from outlast._registry import Registry
from outlast.engine import Engine
from outlast.errors import TokenAnswered
from outlast.types import StreamEvent

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


class Simulation(Protocol):
    """What a handle needs of the simulation."""

    async def call(self, work: Callable[[Engine], Awaitable[T]]) -> T:
        """Run `work` on the machine, in virtual time, until it answers."""
        ...

    def new_id(self) -> str:
        """Return an id that nothing has."""
        ...


class EngineSample:
    """What an engine gives without being asked anything."""

    def __init__(self, registry: Registry, limits: Limits) -> None:
        self._registry = registry
        self.limits: Limits = limits

    def get(self, run_id: str, workflow: Workflow[..., R] | None = None) -> Run[object]:
        """Return a handle on a run."""
        return Run(
            run_id, returns=None if workflow is None else workflow.definition.signature.returns
        )

    def actor(self, kind: type[A], key: str) -> ActorRef[A]:
        """Return a handle on an actor."""
        return ActorRef(self._registry.find_actor(kind), key, None)


class Handle:
    """Stands for an object of class `kind` on the simulated machine.

    `sample` answers what needs no engine: ids, and which further handles there are.
    """

    def __init__(
        self,
        simulation: Simulation,
        kind: type[object],
        sample: object,
        find: Callable[[Engine], object],
    ) -> None:
        self._simulation = simulation
        self._kind = kind
        self._sample = sample
        self._find = find

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        declared: object = inspect.getattr_static(self._kind, name)
        if inspect.iscoroutinefunction(declared):
            return self._verb(name)
        if inspect.isasyncgenfunction(declared):
            return self._stream if name == "stream" else self._listing(name)
        if callable(declared):
            return self._plain(name)
        found: object = getattr(self._sample, name)
        return found

    def _verb(self, name: str) -> Callable[..., Awaitable[object]]:
        async def verb(*args: object, **kwargs: object) -> object:
            if self._kind is Engine and name in ("start", "run"):
                # Called again after a crash, it must mean the run that it began.
                kwargs.setdefault("id", self._simulation.new_id())
            tries = 0

            async def called(engine: Engine) -> object:
                nonlocal tries
                tries += 1
                method: Callable[..., Awaitable[object]] = getattr(self._find(engine), name)
                try:
                    return await method(*_real(args, engine), **_real_by_name(kwargs, engine))
                except TokenAnswered as error:
                    if tries == 1 or error.by != kwargs.get("by", ""):
                        raise
                    return None  # the answer of an earlier try, which a crash has cut off

            for call in args:
                if isinstance(call, WorkflowCall):
                    call.use()
            value = await self._simulation.call(called)
            run = _run_id(value)
            if run is None:
                return value
            return Handle(self._simulation, Run, value, lambda engine: engine.get(run))

        return verb

    def _listing(self, name: str) -> Callable[..., AsyncIterator[object]]:
        async def listing(*args: object, **kwargs: object) -> AsyncIterator[object]:
            async def listed(engine: Engine) -> list[object]:
                method: Callable[..., AsyncIterator[object]] = getattr(self._find(engine), name)
                found = method(*_real(args, engine), **_real_by_name(kwargs, engine))
                return [item async for item in found]

            for item in await self._simulation.call(listed):
                yield item

        return listing

    def _stream(self, name: object, offset: int = 0) -> AsyncIterator[StreamEvent[object]]:
        return _Events(self._simulation, self._find, name, offset)

    def _plain(self, name: str) -> Callable[..., object]:
        def plain(*args: object, **kwargs: object) -> object:
            method: Callable[..., object] = getattr(self._sample, name)
            sample = method(*args, **kwargs)
            if not _is_handle(sample):
                return sample

            def find(engine: Engine) -> object:
                found: Callable[..., object] = getattr(self._find(engine), name)
                return found(*args, **kwargs)

            return Handle(self._simulation, type(sample), sample, find)

        return plain

    @override
    def __repr__(self) -> str:
        return f"{self._sample!r} in a simulation"


def _is_handle(value: object) -> bool:
    return isinstance(value, Run | ActorRef)


def _run_id(value: object) -> str | None:
    return value.id if isinstance(value, Run) else None


class _Events(AsyncIterator[StreamEvent[object]]):
    """A stream, followed over crashes of the machine that is asked for it."""

    def __init__(
        self, simulation: Simulation, find: Callable[[Engine], object], name: object, offset: int
    ) -> None:
        self._simulation = simulation
        self._find = find
        self._name = name
        self._offset = offset
        self._core: object = None
        self._reading: AsyncIterator[StreamEvent[object]] | None = None
        self._has_ended = False

    @override
    async def __anext__(self) -> StreamEvent[object]:
        if self._has_ended:
            raise StopAsyncIteration
        event = await self._simulation.call(self._following)
        self._offset = event.offset + (event.kind != "end")
        self._has_ended = event.kind == "end"
        return event

    async def _following(self, engine: Engine) -> StreamEvent[object]:
        if self._reading is None or self._core is not engine._core:
            self._core = engine._core
            opening: Callable[..., AsyncIterator[StreamEvent[object]]]
            opening = getattr(self._find(engine), "stream")  # noqa: B009  # of an object
            self._reading = opening(self._name, self._offset)
        return await anext(self._reading)


def _real(args: Sequence[object], engine: Engine) -> list[object]:
    """Return arguments with the objects that handles among them stand for, and calls anew."""
    return [_real_one(arg, engine) for arg in args]


def _real_one(arg: object, engine: Engine) -> object:
    if isinstance(arg, WorkflowCall):
        again: WorkflowCall[object] = WorkflowCall(arg.definition, arg.bound, arg.place)
        return again
    return arg._find(engine) if isinstance(arg, Handle) else arg


def _real_by_name(kwargs: Mapping[str, object], engine: Engine) -> dict[str, object]:
    values = _real(list(kwargs.values()), engine)
    return dict(zip(kwargs, values, strict=True))
