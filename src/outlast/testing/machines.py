"""Simulated machines: engines on one in-memory database, which crash, pause and come back.

Invariants:
  * a crashed machine's code never runs again, not even a `finally`;
  * faults come from the seed alone, and stop when they are told to: then everything must end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from outlast import limits
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._events import Events
from outlast._execution.bodies.body import Body
from outlast._handles.limits import Limits
from outlast._registry import Function, Registry
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.store import MemoryStore
from outlast._store.transactions import Transaction
from outlast.errors import CommitUnknown, StoreFull, StoreUnavailable
from outlast.testing.loop import SimLoop, new_sim_loop
from outlast.testing.world import SimWorld
from outlast.types import ProviderInfo

T = TypeVar("T")
Work = Callable[[EngineCore], Coroutine[object, object, T]]


@dataclass(slots=True)
class FaultPlan:
    """How often what goes wrong, as chances per commit."""

    crash: float = 0.0
    slow: float = 0.1
    fails: float = 0.0
    silent: float = 0.0
    pauses: float = 0.0
    jumps: float = 0.0  # of the machine's wall clock, ahead or back
    delay_max: float = 0.005
    stale_max: float = 0.0  # how old, in seconds, what is read may be when it is heard of
    slow_max: float = 2.0
    skew_max: float = 200.0  # what jumps let a clock be wrong by, either way


@dataclass(slots=True)
class Machine:
    """One simulated machine and what runs on it."""

    name: str
    incarnation: int = 0
    world: SimWorld | None = None
    core: EngineCore | None = None
    is_up: bool = False
    crashes: int = 0
    skew: float = 0.0  # what its wall clock is wrong by, in seconds

    @property
    def node(self) -> str:
        """The tag of the present incarnation."""
        return f"{self.name}#{self.incarnation}"


@dataclass(slots=True)
class Executions:
    """Counted outside the engine: which bodies ran how often."""

    by_step: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])

    def count(self, body: Body) -> None:
        """Count a body that begins."""
        keys = self.by_step.setdefault(body.definition.name, {})
        key = body.context.key
        keys[key] = keys.get(key, 0) + 1

    def effects(self, step: str) -> int:
        """Return how many distinct step keys ran."""
        return len(self.by_step.get(step, {}))

    def bodies(self, step: str) -> int:
        """Return how many bodies ran, repeated ones included."""
        return sum(self.by_step.get(step, {}).values())


class MachineFaults:
    """What goes wrong around the commits of one incarnation of a machine."""

    def __init__(self, yard: Yard, machine: Machine, node: str) -> None:
        self._yard = yard
        self._machine = machine
        self._node = node

    async def after_read(self) -> None:
        """Be slow: what was read may not be so any more."""
        yard = self._yard
        if yard.plan.stale_max:
            await asyncio.sleep(yard.loop.rng.random() * yard.plan.stale_max)

    async def before_commit(self, batch: Sequence[Transaction]) -> None:
        """Be slow, die, pause or refuse while nothing is written."""
        yard, plan = self._yard, self._yard.plan
        await asyncio.sleep(yard.loop.rng.random() * plan.delay_max)
        if yard.roll(plan.slow):
            await asyncio.sleep(yard.loop.rng.random() * plan.slow_max)
        if yard.roll(plan.crash / 2):
            await yard.die(self._machine, self._node)
        if yard.roll(plan.pauses):
            yard.loop.pause(self._node, yard.loop.rng.random() * 3 * limits.LEASE_SECONDS)
            await asyncio.sleep(0.001)
        if plan.jumps and yard.roll(plan.jumps):
            skew = (2 * yard.loop.rng.random() - 1) * plan.skew_max
            yard.jump(self._machine, skew - self._machine.skew)
        if yard.roll(plan.fails):
            raise (StoreFull if yard.loop.rng.random() < 0.5 else StoreUnavailable)("simulated")

    async def after_commit(self, batch: Sequence[Transaction]) -> None:
        """Die or fall silent when it is."""
        yard, plan = self._yard, self._yard.plan
        if yard.on_commit is not None:
            yard.on_commit(self._machine, batch)
        if self._node != self._machine.node or not self._machine.is_up:
            await asyncio.get_running_loop().create_future()
        if yard.roll(plan.crash / 2):
            await yard.die(self._machine, self._node)
        await asyncio.sleep(yard.loop.rng.random() * plan.delay_max)
        if yard.roll(plan.silent):
            raise CommitUnknown("simulated: the reply was lost")


class Yard:
    """Machines on one loop and one database."""

    def __init__(
        self,
        seed: int,
        *,
        registry: Registry,
        plan: FaultPlan,
        machines: int = 1,
        shards: int = 4,
        options: CoreOptions | None = None,
        store_class: Callable[..., MemoryStore] = MemoryStore,
    ) -> None:
        self.loop: SimLoop = new_sim_loop(seed)
        self.plan: FaultPlan = plan
        self.registry = registry
        self.executions: Executions = Executions()
        self.fakes: dict[str, Function] = {}
        self.on_commit: Callable[[Machine, Sequence[Transaction]], None] | None = None
        self.observe: Callable[[Body], None] = self.executions.count
        self.events: list[Events] = []
        self.restart_seconds_max: float = 1.0
        self._store_class = store_class
        self._options = options or CoreOptions(owns_process=False, retention_seconds=None)
        self._shards = shards
        self._changed: list[asyncio.Future[None]] = []
        self._client = SimWorld(self.loop, "client")
        self._remains: list[EngineCore] = []  # of crashed machines: collecting them would run code
        self.database: MemoryDatabase = MemoryDatabase(
            clock=self._client.now,
            shards_count=shards,
            is_exclusive=machines == 1,
        )
        self.machines: list[Machine] = [Machine(f"m{n}") for n in range(machines)]

    @property
    def client(self) -> SimWorld:
        """The world of whoever calls from outside; it never crashes."""
        return self._client

    @property
    def limits(self) -> Limits:
        """What agents keep to on all machines."""
        return Limits(self._options.provider_limits, self._waiting)

    def _waiting(self) -> list[ProviderInfo] | None:
        core = next((m.core for m in self.machines if m.is_up), None)
        return None if core is None else core.provider_queues.infos()

    def roll(self, chance: float) -> bool:
        """Let the seed decide."""
        return chance > 0 and self.loop.rng.random() < chance

    # ------------------------------------------------------------------ up and down
    async def start(self, machine: Machine, *, shards_max: int | None = None) -> None:
        """Start a machine's next incarnation; it may crash while it opens."""
        machine.incarnation += 1
        world = machine.world = SimWorld(self.loop, machine.node, skew=machine.skew)
        opening = world.spawn(self._open(machine, world, shards_max), name="open")
        waits: list[asyncio.Future[object]] = [_plain(opening), _plain(self._next_change())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

    async def _open(self, machine: Machine, world: SimWorld, shards_max: int | None) -> None:
        node = machine.node
        faults = MachineFaults(self, machine, node)
        store = self._store_class(self.database, world, faults=faults)
        options = self._options
        if shards_max is not None:
            options = CoreOptions(
                owns_process=False,
                retention_seconds=None,
                live_runs_max=options.live_runs_max,
                tail_records_max=options.tail_records_max,
                shards_max=shards_max,
            )
        core = EngineCore(
            world,
            store,
            self.registry,
            replace(options, fakes=self.fakes, provider_limits=self._options.provider_limits),
        )
        core.scheduler.bodies.around.append(self.observe)
        self.events.append(core.events)
        machine.core = core
        machine.is_up = True
        await core.open()
        self._notify()

    def jump(self, machine: Machine, seconds: float) -> None:
        """Set a machine's wall clock ahead, or back; it keeps that over its crashes."""
        machine.skew += seconds
        if machine.world is not None:
            machine.world.jump(seconds)

    async def die(self, machine: Machine, node: str) -> None:
        """Crash the machine from one of its own tasks, which never goes on."""
        if machine.is_up and machine.node == node:
            self.crash(machine)
        await asyncio.get_running_loop().create_future()

    def crash(self, machine: Machine) -> None:
        """SIGKILL: what the machine was doing is gone, and it comes back after a while."""
        if not machine.is_up:
            return
        machine.is_up = False
        machine.crashes += 1
        self.loop.crash(machine.node)
        if machine.core is not None:
            machine.core.detach()
            hints = self.database.hints
            hints[:] = [h for h in hints if h != machine.core.hint]
            self._remains.append(machine.core)
        machine.core = None
        self._notify()
        delay = self.loop.rng.random() * self.restart_seconds_max
        self._client.call_later(delay, self._restart, machine)

    def _restart(self, machine: Machine) -> None:
        if not machine.is_up:
            self._client.spawn(self.start(machine), name=f"restart {machine.name}")

    def _next_change(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self.loop.create_future()
        self._changed.append(future)
        return future

    def _notify(self) -> None:
        changed, self._changed = self._changed, []
        for future in changed:
            if not future.done():
                future.set_result(None)

    async def core(self, machine: Machine | None = None) -> EngineCore:
        """Return the engine of a machine that is up, waiting for one if need be."""
        while True:
            candidates = self.machines if machine is None else [machine]
            for candidate in candidates:
                if candidate.is_up and candidate.core is not None:
                    return candidate.core
            await self._next_change()

    async def attempt(self, work: Work[T], machine: Machine) -> T:
        """Call an engine as a client does: its machine may die before it answers.

        Raises:
            ConnectionError: the machine died; what became of the call is unknown.
        """
        core = await self.core(machine)
        node = machine.node
        made = work(core)
        world = machine.world
        if world is None:
            raise ConnectionError(f"{node} is down")
        task = world.spawn(made, name="call")
        while not task.done():
            if machine.node != node or not machine.is_up:
                raise ConnectionError(f"{node} died")
            waits: list[asyncio.Future[object]] = [_plain(task), _plain(self._next_change())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return task.result()

    # ---------------------------------------------------------------------- driving
    def run(
        self,
        work: Callable[[], Coroutine[object, object, T]],
        *,
        steps_max: int = 2_000_000,
        seconds_max: float = 1e9,
    ) -> T:
        """Run a coroutine of the client to its end in virtual time; call this from no task."""
        coro = work()
        outer = asyncio._get_running_loop()  # a task needs a running loop to be made
        asyncio._set_running_loop(self.loop)
        try:
            task = self._client.spawn(coro, name="client")
        finally:
            asyncio._set_running_loop(outer)
        now_max = self.loop.time() + seconds_max
        self.loop.drive(task.done, steps_max=steps_max, now_max=now_max)
        return task.result()

    def quiet(self) -> None:
        """No more faults from here on."""
        self.plan = FaultPlan(slow=0.0)

    def dispose(self) -> None:
        """Let go of everything; call this from no task."""
        for machine in self.machines:
            if machine.is_up:
                machine.is_up = False
                self.loop.crash(machine.node)
                if machine.core is not None:
                    machine.core.detach()
                    self._remains.append(machine.core)
        self.loop.dispose(self._leave)

    def _leave(self) -> None:
        for core in self._remains:
            for live in core.scheduler.residents.values():
                live.leave()


def _plain(future: asyncio.Future[T]) -> asyncio.Future[object]:
    """Return the same future as one of `object`: it is only waited for."""
    return future  # type: ignore[return-value]  # read only, so a Future[T] serves
