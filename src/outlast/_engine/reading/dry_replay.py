"""Replaying a run without running it: to learn what its code waits for, of which types.

What is in memory already is asked directly. For all others (passivated, parked, another engine's)
the code is replayed up to its last record by a run that stays invisible: it starts nothing and
writes nothing.
"""

from __future__ import annotations

from asyncio import Future

from typing_extensions import override

from outlast._execution.actors.actor_memory import Activation, ActorMemory
from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.calls.host import ActorHost, RunHost
from outlast._execution.calls.operations import KnownErrors, StepOperation
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._records import Record
from outlast._registry import Registry
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import StartRun, Transaction
from outlast._world import Timer, World
from outlast.errors import OutlastError, RunClosed, UnknownActor, UsageError
from outlast.types import Lease, RunId

_NEVER = 1e9


class StillHost(RunHost):
    """A host that starts nothing and keeps what it is given: only the journal speaks."""

    def __init__(self, world: World, registry: Registry, known_errors: KnownErrors) -> None:
        self.world: World = world
        self.only_replays: bool = False
        self.registry: Registry = registry
        self._known = known_errors

    @property
    @override
    def known_errors(self) -> KnownErrors:
        return self._known

    @override
    def submit(self, transaction: Transaction) -> None:
        """Nothing is written."""

    @override
    def start_body(self, run: RunId, operation: StepOperation, *, fence: int) -> None:
        """Nothing runs."""

    @override
    def stop_body(self, run: RunId, key: str) -> None:
        """Nothing runs."""

    @override
    def attempt_failed(self, run: RunId, operation: StepOperation, failure: bytes) -> None:
        pass  # nothing happens here that should be counted

    @override
    def why_queued(self) -> str:
        return ""

    @override
    def call_at(self, run: RunId, at: int) -> Timer:
        return self.world.call_later(_NEVER, _nothing)

    @override
    def run_changed(self, run: RunId) -> None:
        """Do nothing."""

    @override
    def replayed(self, run: RunId) -> None:
        """Do nothing."""

    @override
    def run_closed(self, run: RunId) -> None:
        """Do nothing."""

    @override
    def run_parked(self, run: RunId, reason: str, error: OutlastError | None = None) -> None:
        """The code and its journal disagree."""

    @override
    def answered(self, message: Message, outcome: bytes) -> None:
        """Do nothing."""

    @override
    def shard_of(self, run: RunId) -> int:
        return 0


def _nothing() -> None:
    """A timer of a replay is never due."""


class _Host(StillHost, ActorHost):
    def __init__(
        self, world: World, registry: Registry, known: KnownErrors, done: Future[None]
    ) -> None:
        super().__init__(world, registry, known)
        self.only_replays = True
        self._done = done

    @override
    def replayed(self, run: RunId) -> None:
        if not self._done.done():
            self._done.set_result(None)

    @override
    def run_parked(self, run: RunId, reason: str, error: OutlastError | None = None) -> None:
        if not self._done.done():
            self._done.set_exception(error or UsageError(f"run {run!r} cannot go on: {reason}"))

    @override
    def actor_rests(self, actor: RunId) -> None:
        """It stays until it is told to leave."""

    @override
    def actor_reads_on(self, actor: RunId) -> None:
        """Do nothing."""

    @override
    def actor_start(self, actor: RunId) -> StartRun | None:
        return None

    @override
    def run_closed(self, run: RunId) -> None:
        if not self._done.done():
            self._done.set_exception(RunClosed(run, "closed"))


async def rehearse(
    world: World,
    registry: Registry,
    known_errors: KnownErrors,
    *,
    row: RunRow,
    records: list[Record],
) -> LiveWorkflow:
    """Return a run replayed to its last record; the caller has it leave.

    Raises:
        UnknownWorkflow: its code is not here.
        ReplayMismatch, UsageError: its code does not come so far any more.
        RunClosed: it has ended.
    """
    definition = registry.find_workflow(row.workflow)
    done: Future[None] = world.loop.create_future()
    host = _Host(world, registry, known_errors, done)
    run = LiveWorkflow(host, definition, row, Lease(row.shard, "", 0), records)
    await _replayed(run, done, world)
    return run


async def rehearse_actor(
    world: World,
    registry: Registry,
    known_errors: KnownErrors,
    *,
    row: RunRow,
    records: list[Record],
) -> LiveActor:
    """Return an actor with the message that it had begun replayed; the caller has it leave.

    Raises:
        UnknownActor: its class is not here.
        ReplayMismatch, UsageError: its code does not come so far any more.
    """
    definition = registry.actors.get(row.workflow)
    if definition is None:
        raise UnknownActor(f"no actor goes by the name {row.workflow!r} here")
    done: Future[None] = world.loop.create_future()
    host = _Host(world, registry, known_errors, done)
    lease = Lease(row.shard, "", 0)
    activation = Activation(definition, row, lease, records, ActorMemory())
    actor = LiveActor(host, activation)
    await _replayed(actor, done, world)
    return actor


async def _replayed(run: LiveRun, done: Future[None], world: World) -> None:
    # From a callback: workflow code never runs inside a host task.
    world.call_soon(run.begin)
    try:
        await done
    except BaseException:
        run.leave()
        raise
