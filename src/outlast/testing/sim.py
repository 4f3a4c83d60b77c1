"""`Sim`: a workflow in virtual time, with crashes, in memory, decided by one seed.

async with Sim(seed=7, crash=0.2) as sim:
    sim.fake(charge, lambda order, cents: "r1")
    assert await sim.run(checkout("7", 999)) == ...
    assert sim.effects(charge) == 1
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from typing_extensions import override

from outlast._codec import Bound
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._engine.opening import Opened, Target
from outlast._engine.reading.records import Record
from outlast._engine.scheduling.outcomes import error_of
from outlast._engine.verbs.starts import Started, StartRequest
from outlast._execution.bodies.context import executing_step
from outlast._handles.call import Call, WorkflowCall
from outlast._handles.declarations import Signal
from outlast._handles.run import Run, signal_payload
from outlast._messages.payloads import typed_payload
from outlast._registry import Registry, StepDefinition, WorkflowDefinition, default_registry
from outlast._store.rows import Message, RunRow
from outlast.engine import Engine
from outlast.errors import (
    EngineClosed,
    StoreFull,
    StoreUnavailable,
    UsageError,
)
from outlast.testing.handles import EngineSample, Handle
from outlast.testing.loop import Deadlock
from outlast.testing.machines import FaultPlan, Machine, Work, Yard
from outlast.testing.steps import client_record
from outlast.testing.verbs import EngineVerbs
from outlast.types import RunId

R = TypeVar("R")
T = TypeVar("T")
_PASSING = (ConnectionError, StoreFull, StoreUnavailable, EngineClosed)
_CRASHES_IN_A_ROW_MAX = 2  # more without progress would make a suspect of an innocent run


class AnyStep(Protocol):
    """A step, whatever its signature."""

    @property
    def definition(self) -> StepDefinition:
        """What the decorator registered."""
        ...


class Sim(EngineVerbs):
    """One simulated machine that runs workflows in virtual time.

    Args:
        seed: decides everything; the same seed gives the same history.
        crash: the chance that the machine dies around a commit.
        slow: the chance that a commit is slow.
        fails: the chance that the store refuses a commit for a while.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        crash: float = 0.0,
        slow: float = 0.1,
        fails: float = 0.0,
        registry: Registry | None = None,
    ) -> None:
        plan = FaultPlan(crash=crash, slow=slow, fails=fails, silent=fails)
        self.seed = seed
        self._yard = Yard(seed, registry=registry or default_registry, plan=plan, shards=1)
        self._machine: Machine = self._yard.machines[0]
        self._crash = crash
        self._in_a_row = 0
        self._crashes_seen = 0
        self._is_open = False
        self._yard.on_commit = self._committed

    async def __aenter__(self) -> Sim:
        await self._drive(lambda: self._yard.start(self._machine))
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        if kind is GeneratorExit:
            self._yard.dispose()  # whoever is closed may not wait
        else:
            await _from_callback(self._yard.dispose)

    # -------------------------------------------------------------------- arranging
    def fake(self, step: AnyStep, body: Callable[..., object]) -> None:
        """Put another body, plain or async, in the place of a step's."""
        self._yard.fakes[step.definition.name] = body

    def crash(self) -> None:
        """Kill the machine now; it comes back by itself."""
        self._yard.crash(self._machine)

    @property
    def crashes(self) -> int:
        """How often the machine has died."""
        return self._machine.crashes

    def _committed(self, machine: Machine, batch: Sequence[object]) -> None:
        # A crash chance is kept from killing the same moment again and again.
        if machine.crashes != self._crashes_seen:
            self._crashes_seen = machine.crashes
            self._in_a_row += 1
        else:
            self._in_a_row = 0
        is_spent = self._in_a_row >= _CRASHES_IN_A_ROW_MAX
        self._yard.plan.crash = 0.0 if is_spent else self._crash

    # ---------------------------------------------------------------------- running
    async def run(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        signals: Sequence[tuple[Signal[T] | str, T]] = (),
    ) -> R:
        """Run a workflow to its end, over all crashes, and return its result.

        Raises:
            RunFailed, RunCancelled, RunTerminated, RunTimedOut, RunParked: how else it ended.
        """
        run = await self.start(call, id=id, signals=signals)
        return await self.result(run)  # type: ignore[return-value]  # the workflow's own result

    async def start(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        signals: Sequence[tuple[Signal[T] | str, T]] = (),
    ) -> str:
        """Start a workflow and return its id."""
        if not isinstance(call, WorkflowCall):
            raise UsageError(f"Sim runs calls of workflows, got {call!r}")
        call.use()
        return await self._drive(
            lambda: self._start(call.definition, call.bound, id=id, signals=signals)
        )

    async def _start(
        self,
        definition: WorkflowDefinition,
        bound: Bound,
        *,
        id: str | None,
        signals: Sequence[tuple[Signal[T] | str, T]],
    ) -> str:
        yard = self._yard
        run_id = id or yard.client.new_id()
        request_id = yard.client.new_id()

        def request(core: EngineCore) -> Coroutine[object, object, Started]:
            payloads = tuple(
                (s.name if isinstance(s, Signal) else s, signal_payload(core, s, v))
                for s, v in signals
            )
            return core.start(
                StartRequest(
                    definition=definition,
                    bound=bound,
                    id=run_id,
                    signals=payloads,
                    request=request_id,
                )
            )

        await self._until_done(request)
        return run_id

    async def result(self, run: str | Run[object]) -> object:
        """Return what a run returned, once it has ended; it is given by its id or a handle."""
        run = _id_of(run)
        try:
            row = await self._drive(lambda: self._closed(run))
        except Deadlock as stuck:
            parked = [info async for info in self.engine.runs("status:parked")]
            if not parked:
                raise
            told = "; ".join(f"run {info.id!r} is parked: {info.error}" for info in parked)
            raise Deadlock(f"run {run!r} waits, {stuck}: {told}") from stuck
        error = error_of(row)
        if error is not None:
            raise error
        definition = self._yard.registry.workflows[row.workflow]
        return definition.signature.returns.decode((row.output or b"\x00")[1:])

    async def _closed(self, run: RunId) -> RunRow:
        return await self._until_done(lambda core: core.closed(run, parked_counts=True))

    async def signal(
        self, run: str | Run[object], signal: Signal[T], value: T, *, dedup: str = ""
    ) -> None:
        """Send a signal to a run; sent again after a crash, so give it a dedup key."""
        message = Message(
            run=_id_of(run),
            kind="signal",
            name=signal.name,
            body=typed_payload(signal.adapter, value),
            dedup=dedup or self._yard.client.new_id(),
            at=self._yard.client.now(),
        )
        await self._drive(lambda: self._until_done(lambda core: core.send(message)))

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        await self._drive(lambda: asyncio.sleep(seconds))

    async def journal(self, run: str | Run[object]) -> list[Record]:
        """Return a run's records."""
        wanted = _id_of(run)
        return await self._drive(lambda: self._until_done(lambda core: core.reader.journal(wanted)))

    async def _until_done(self, work: Work[T]) -> T:
        """Call the engine until it answers; a client retries what a crash has cut off."""
        while True:
            try:
                return await self._yard.attempt(work, self._machine)
            except _PASSING:
                await asyncio.sleep(0.01)

    # --------------------------------------------------------------- an engine's verbs
    @property
    @override
    def engine(self) -> Engine:
        """The simulated machine's engine, with all its verbs and handles, in virtual time.

        `await sim.engine.approve(token)`, `sim.engine.get(run).cancel()`,
        `sim.engine.actor(Notebook, "a").ask(...)`. A verb that a crash cuts off is called again,
        under the same dedup key where it has one.
        """
        sample = EngineSample(self._yard.registry, self._yard.limits)
        made: object = Handle(self, Engine, sample, lambda engine: engine)
        return made  # type: ignore[return-value]  # it stands for one

    async def call(self, work: Callable[[Engine], Awaitable[T]]) -> T:
        """Run `work` with the machine's engine in virtual time, again if a crash cuts it off."""
        key = self._yard.client.new_id()

        async def called(core: EngineCore) -> T:
            # As in a step: what it sends has keys that are the same when it is called again.
            # Never taken back: the call has a task, and so a context, of its own.
            executing_step.set(client_record(f"client/{key}"))
            return await work(_engine_on(core))

        return await self._drive(lambda: self._until_done(called))

    def new_id(self) -> str:
        """Return an id that nothing has; the same for the same seed."""
        return self._yard.client.new_id()

    # --------------------------------------------------------------------- counting
    def effects(self, step: AnyStep) -> int:
        """Return for how many distinct step keys a body ran."""
        return self._yard.executions.effects(step.definition.name)

    def executions(self, step: AnyStep) -> int:
        """Return how many bodies ran: more than `effects` when a crash came between."""
        return self._yard.executions.bodies(step.definition.name)

    @property
    def trace(self) -> str:
        """A hash of everything that happened, the same for the same seed."""
        return f"{self._yard.loop.trace:08x}"

    async def _drive(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """Drive the simulation from a callback of the real loop, never inside a task."""
        return await _from_callback(lambda: self._yard.run(work))


async def _from_callback(call: Callable[[], T]) -> T:
    """Return what `call` returns in a callback of the loop: workflow code runs in no host task."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def called() -> None:
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001  # handed to the awaiting test
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(value)

    loop.call_soon(called)
    return await done


def _id_of(run: str | Run[object]) -> RunId:
    """Return the id of a run that is given by it, or by a handle on the run."""
    return RunId(run if isinstance(run, str) else run.id)


def _engine_on(core: EngineCore) -> Engine:
    """Return the engine that a program would hold."""
    engine = Engine(Target("memory", "simulation"), CoreOptions(), core.registry)
    engine._opened = Opened(core.store, core.reader, core)
    return engine
