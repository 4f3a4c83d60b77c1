"""One open engine, assembled: the verbs that `Engine` and `Run` stand on.

Opening takes the leases, starts the writer and recovers; closing drains: it stops what is new,
lets steps finish, passivates what waits, and gives the leases back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from outlast import limits
from outlast._codec.stored.layers import BodyCodec
from outlast._engine.actors.volatile import VolatileActors
from outlast._engine.actors.writing import Actors
from outlast._engine.providers.declared import DeclaredLimits
from outlast._engine.providers.queue import ProviderQueues
from outlast._engine.reading.reader import Reader
from outlast._engine.recovery import Reconciler, Recovery
from outlast._engine.residency.inactive_runs import InactiveRuns
from outlast._engine.residency.passivation import Residency
from outlast._engine.residency.retention import Retention
from outlast._engine.scheduling.acknowledgements import Acknowledgements
from outlast._engine.scheduling.latency import GarbagePolicy, Watchdog
from outlast._engine.scheduling.parts import Parts
from outlast._engine.scheduling.results import Results
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.scheduling.step_messages import StepMessages
from outlast._engine.scheduling.wait_graph import WaitGraph
from outlast._engine.verbs.forks import Forks
from outlast._engine.verbs.messages import Messages
from outlast._engine.verbs.sharing import look_for
from outlast._engine.verbs.starts import Started, StartRequest, Starts
from outlast._engine.verbs.tokens import Tokens
from outlast._engine.verbs.updates import Updates
from outlast._events import Events
from outlast._execution.bodies.running import Bodies, ProcessRunner
from outlast._execution.loop.guards import install_guards
from outlast._journal.writer import Writer
from outlast._messages.updates import KeptUpdate
from outlast._registry import Function, Registry
from outlast._store.contract import Hint, Store
from outlast._store.rows import Message, RunRow
from outlast._wording.durations import text_of
from outlast._world import Ticker, World, process_id
from outlast.errors import EngineClosed, StoreError, UsageError
from outlast.types import Lease, RunId

log = logging.getLogger("outlast.engine")

ambient_core: ContextVar[EngineCore | None] = ContextVar("ambient_core", default=None)
"""The engine whose step is executing: what a handle inside a step's body speaks to."""


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """What an engine is opened with."""

    recover: bool = True
    executes: bool = True  # false: only commits verbs, and leaves what they start to other engines
    retention_seconds: float | None = 30 * 86_400.0
    live_runs_max: int = limits.LIVE_RUNS_MAX
    live_bytes_max: int = limits.LIVE_BYTES_MAX
    tail_records_max: int = limits.JOURNAL_TAIL_RECORDS_MAX
    resources: Mapping[type[object], Callable[[], object]] = field(
        default_factory=dict[type[object], Callable[[], object]]
    )
    owns_process: bool = True  # false in simulation: no watchdog, no collector settings
    shards_max: int | None = None
    step_processes: int | None = None  # None: one for each processor
    prepare: tuple[Callable[[EngineCore], None], ...] = ()  # called before anything is recovered
    provider_limits: DeclaredLimits = field(default_factory=DeclaredLimits)
    codec: BodyCodec | None = None  # what stored bodies pass through
    # Bodies of tests in the place of real ones, by the names of their steps.
    fakes: Mapping[str, Function] = field(default_factory=dict[str, Function])


class Served(Protocol):
    """What all servers of an engine share."""

    def drain(self) -> None:
        """Tell everyone who waits that the engine stops."""
        ...


_WRONG_LOOP = (
    "an engine can be used only on the event loop that opened it, not on another loop or in "
    "workflow code. Nothing was changed. From another thread, use "
    "asyncio.run_coroutine_threadsafe(engine.start(...), loop), or outlast.client; in workflow "
    "code, use wf or a step"
)


class EngineCore:
    """An open engine."""

    served_by: Served | None = None  # what all servers of this engine share

    def __init__(
        self,
        world: World,
        store: Store,
        registry: Registry,
        options: CoreOptions,
        *,
        processes: Callable[[EngineCore], ProcessRunner] | None = None,
    ) -> None:
        self.world = world
        self.store = store
        self.registry = registry
        self.options = options
        self.events: Events = Events()
        self.owner: str = f"{process_id()}-{world.new_id()}"
        self.acknowledgements: Acknowledgements = Acknowledgements(world)
        self.writer: Writer = Writer(
            store,
            world,
            owner=self.owner,
            events=self.events,
            stuck=self.acknowledgements.stuck,
            on_old=lambda made, receipt: look_for(self.scheduler, made, receipt),
        )
        self.scheduler: Scheduler = Scheduler(
            world, store, registry, self.writer, self.events, self.acknowledgements
        )
        self.scheduler.executes = options.executes
        self.scheduler.bodies = Bodies(
            world,
            StepMessages(self.scheduler),
            resources=options.resources,
            processes=processes(self) if processes is not None else None,
            prepare=lambda: ambient_core.set(self),
            fakes=options.fakes,
        )
        self.residency: Residency = Residency(
            self.scheduler,
            live_runs_max=options.live_runs_max,
            live_bytes_max=options.live_bytes_max,
            tail_max=options.tail_records_max,
        )
        self.inactive_runs: InactiveRuns = InactiveRuns(self.scheduler)
        self.messages: Messages = Messages(self.scheduler, self.inactive_runs)
        self.results: Results = Results(self.scheduler)
        self.updates: Updates = Updates(self.scheduler)
        self.provider_queues: ProviderQueues = ProviderQueues(world, options.provider_limits)
        self.volatile: VolatileActors = VolatileActors(world)
        self.wait_graph: WaitGraph = WaitGraph(self.scheduler)
        self.actors: Actors = Actors(self.scheduler, self.volatile)
        self.reader: Reader = Reader(
            store, world, registry, scheduler=self.scheduler, residency=self.residency
        )
        self.tokens: Tokens = Tokens(self.scheduler)
        self.forks: Forks = Forks(self.scheduler, self.messages, self.reader)
        self.starts: Starts = Starts(self.scheduler, self.messages, self.results, self.residency)
        self.recovery: Recovery = Recovery(
            self.scheduler, self.messages, self.inactive_runs, live_runs_max=options.live_runs_max
        )
        self._join()
        self._process = process_id()
        self._tasks: list[asyncio.Task[None]] = []
        self._tickers: list[Ticker] = []
        self._garbage: GarbagePolicy | None = None
        self._watchdog: Watchdog | None = None
        self._reconciler: Reconciler | None = None
        self._ends = 0.0  # when the grace of the drain is over
        self._is_closed = self._is_late = False  # late: the store did not take all in the drain
        self.stores_while_draining: bool = False  # starts, for the next engine
        self.events.on_fatal.append(self._failed)

    def _join(self) -> None:
        self.scheduler.parts = Parts(
            residency=self.residency,
            recovery=self.recovery,
            inactive_runs=self.inactive_runs,
            messages=self.messages,
            results=self.results,
            updates=self.updates,
            streams=self.reader.streams,
            actors=self.actors,
            parked_asks=self.actors.parked,
            idle_actors=self.actors.resting,
        )
        self.registry.on_workflow.append(self._look_again)

    def _look_again(self) -> None:
        """Another workflow is known: look for whoever waits for it."""
        self.messages.has_mail(RunId(""))

    def detach(self) -> None:
        """Stop listening to the registry, which outlives the engine."""
        self.registry.on_workflow.remove(self._look_again)

    # ----------------------------------------------------------------------- opening
    async def open(self) -> None:
        """Take the leases and go on with what is open."""
        options, world = self.options, self.world
        install_guards()
        for prepare in options.prepare:
            prepare(self)
        if options.owns_process:
            self._garbage = GarbagePolicy(world, self.events, is_idle=self._is_idle)
            self._watchdog = Watchdog(world, self.events)
        self._tickers.append(world.watch_clock(self._clock_jumped))
        wanted = range(self.store.shards_count)
        if options.shards_max is not None:
            wanted = range(min(options.shards_max, len(wanted)))
        self.store.watch_fault(self.writer.fail)
        leases = await self.store.acquire_leases(self.owner, wanted)
        self.scheduler.leases.update({lease.shard: lease for lease in leases})
        if options.recover:
            await self.recovery.recover(leases)
        if self.store.is_shared:
            self._reconciler = Reconciler(
                self.scheduler, self.recovery, self.owner, self._changed_elsewhere
            )
            self._tasks.append(world.spawn(self._reconciler.run(), name="outlast-reconcile"))
            seconds = limits.LEASE_SECONDS / 5
            self._tickers.append(world.every(seconds, self._renew, name="outlast-leases"))
        if options.retention_seconds is not None or options.owns_process:
            retention = Retention(self.store, world, options.retention_seconds)
            self._tasks.append(world.spawn(retention.run(), name="outlast-retention"))
        if self._garbage is not None:
            self._garbage.freeze()
            self.events.on_batch.append(self._garbage.worked)

    def _clock_jumped(self, seconds: float) -> None:
        """What the jump has made due is due now; timers of the host loop know nothing of it."""
        if seconds < 0:
            log.warning(
                "the wall clock was set back by %s: until it catches up, or the engine is "
                "reopened, the engine's clock continues from its last value",
                text_of(-seconds),
            )
            return
        log.warning("the wall clock jumped ahead by %s", text_of(seconds))
        for live in list(self.scheduler.residents.values()):
            live.wake()
        if not self.scheduler.is_closing:
            self.world.spawn(self.recovery.wake_due(), name="outlast-wake")

    def _is_idle(self) -> bool:
        return not (len(self.scheduler.bodies) or self.writer.is_busy)

    def _renew(self) -> None:
        """Renew the leases, on a thread that a blocked loop cannot starve."""
        held = list(self.scheduler.leases.values())
        kept = {(k.shard, k.epoch) for k in self.store.renew_leases(held)}
        for lease in held:
            if (lease.shard, lease.epoch) not in kept:
                self.world.call_soon_threadsafe(self._lost, lease)

    def _lost(self, lease: Lease) -> None:
        self.events.fenced += 1
        self.scheduler.lose_shard(lease.shard, lease.epoch)

    def _failed(self, error: StoreError) -> None:
        self.results.fail_all(error)
        self.updates.fail_all(error)
        self.actors.fail_all(error)
        self.scheduler.acknowledgements.fail_all(error)
        # Nothing that is executed now can be recorded, and another engine may be executing it.
        for lease in list(self.scheduler.leases.values()):
            self.scheduler.lose_shard(lease.shard, lease.epoch)

    def _changed_elsewhere(self, run: RunId) -> None:
        """Another engine changed a run: who waits for it here looks again."""
        self.results.changed(run)
        self.updates.closed(run)
        self.actors.changed(run)
        self.reader.streams.changed(run)

    @property
    def hint(self) -> Hint | None:
        """What a shared store calls after others wrote."""
        return self._reconciler.hint if self._reconciler is not None else None

    # ------------------------------------------------------------------------- verbs
    def check(self) -> None:
        """Refuse use after close, in a forked child, and on another event loop.

        Raises:
            EngineClosed, StoreError, UsageError
        """
        if process_id() != self._process:
            raise StoreError(
                "this engine was opened before the process forked: open a new engine in this "
                "process"
            )
        if asyncio._get_running_loop() is not self.world.loop:  # None outside of any
            raise UsageError(_WRONG_LOOP)
        if self._is_closed:
            raise EngineClosed("the engine is closed: open a new one")
        if self.events.fatal is not None:
            raise self.events.fatal

    async def start(self, request: StartRequest) -> Started:
        """Start a run; see `Starts.start`."""
        self.check()
        if self.scheduler.is_closing and not self.stores_while_draining:
            raise EngineClosed("the engine is shutting down and accepts no new work")
        return await self.starts.start(request)

    async def send(self, message: Message) -> None:
        """Send a message to a run; see `Messages.send`."""
        self.check()
        await self.messages.send(message)

    async def update(self, message: Message, safe: asyncio.Event | None = None) -> KeptUpdate:
        """Have an update of a run done; see `Updates.update`."""
        self.check()
        return await self.updates.update(message, safe)

    async def closed(self, run: RunId, *, parked_counts: bool = False) -> RunRow:
        """Wait for a run to end; see `Results.closed`."""
        self.check()
        return await self.results.closed(run, parked_counts=parked_counts)

    # ----------------------------------------------------------------------- closing
    async def drain(self, grace_seconds: float) -> None:
        """Stop starting things, let steps finish, let go of what waits."""
        if self.scheduler.is_closing:
            return
        self.scheduler.is_closing = True
        self._ends = self.world.monotonic() + grace_seconds
        self.recovery.stop()
        await self.scheduler.bodies.drain(grace_seconds)
        for _ in range(3):  # what the last outcomes set off may itself have to be put away
            await self._flushed()
            await self.world.pass_turn()
            self.residency.passivate_all()
        await self._flushed()
        await self.world.pass_turn()

    async def _flushed(self) -> None:
        await self.writer.flushed(self._left())
        self._is_late = self.writer.is_busy

    def _left(self) -> float:
        """Return how many seconds the store has to take what is queued."""
        left = self._ends - self.world.monotonic()
        # Steps may have used the grace up; a store that works needs a moment more, once.
        has_had_all = self.writer.trouble is not None or self._is_late
        return max(left, 0.0 if has_had_all else limits.DRAIN_FLUSH_SECONDS)

    async def close(self) -> None:
        """Let go of everything; what could not be put away is recovered by the next engine."""
        if self._is_closed:
            return
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for ticker in self._tickers:
            ticker.stop()
        self.recovery.stop()
        self.provider_queues.close()
        self.residency.stop()
        await self.scheduler.bodies.close()
        await self.writer.close(self._left())
        self.scheduler.observers.publish()
        for live in list(self.scheduler.residents.values()):
            live.leave()
        if self.events.fatal is None and self.writer.given_up is None:
            # Who only commits a verb has recovered nothing: whose process died before must still
            # look dead to the next engine, or its runs' deaths would not be counted.
            leases = self.scheduler.leases.values()
            executes = self.options.executes
            try:
                await self.store.release_leases([x for x in leases if executes or not x.was_left])
            except StoreError as error:
                # Everything else must be closed all the same; the lock of the file most of all.
                log.error(
                    "could not release the lease; the next engine recovers as after a crash: %s",
                    error,
                )
        await self.store.close()
        if self._watchdog is not None:
            self._watchdog.close()
        if self._garbage is not None:
            self._garbage.close()
        self.detach()
        closed = EngineClosed("the engine was closed during this call")
        self.results.fail_all(closed)
        self.updates.fail_all(closed)
        self.actors.fail_all(closed)
        self.volatile.close(closed)
