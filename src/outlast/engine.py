"""`Engine`: what a program opens and holds; and `run`, the one-liner of a script.

async with Engine.open("outlast.db") as engine:
    label = await engine.run(checkout("7", 999), id="order-7")
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TypeVar, overload

from typing_extensions import override

from outlast import limits
from outlast._actors.publishing import TopicVerbs
from outlast._actors.supervisor import Supervisor
from outlast._actors.teams import Teams, apply_team
from outlast._authoring.workflow import Workflow
from outlast._codec.stored.layers import CodecLayer
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._engine.opening import Opened, Target, open_target, parse_url
from outlast._engine.options import check_opening, core_options, handed_by
from outlast._engine.reading.actor_reader import ActorReader
from outlast._engine.reading.records import info_of
from outlast._engine.scheduling.signal_names import unknown_signal
from outlast._engine.verbs.starts import StartRequest
from outlast._execution.bodies.context import step_dedup
from outlast._execution.run_context import in_run
from outlast._handles.actor_ref import ActorRef
from outlast._handles.audit import AuditVerbs
from outlast._handles.bulk import BulkVerbs
from outlast._handles.call import Call, WorkflowCall
from outlast._handles.declarations import Signal
from outlast._handles.inbox import InboxVerbs
from outlast._handles.limits import LimitVerbs
from outlast._handles.run import Run, signal_payload
from outlast._messages.actor_ids import OWN_TYPES
from outlast._registry import Registry, WorkflowDefinition, default_registry
from outlast._store.attributes import merged_attributes
from outlast._store.sqlite.shared import Connect, OwnerLink, SharedSqliteStore
from outlast._wire.listening import listen_beside
from outlast._wire.live.verbs import StreamVerbs
from outlast._wording.durations import seconds_of
from outlast._world import loop_factory
from outlast.errors import EngineClosed, NotInRun, NotSupported, StoreReadOnly, UsageError
from outlast.types import (
    ActorInfo,
    Applied,
    DeadLetterInfo,
    Duration,
    OnConflict,
    Reuse,
    RunBudget,
    RunInfo,
    TeamInfo,
)

R = TypeVar("R")
T = TypeVar("T")
A = TypeVar("A")
Scalar = str | int | float | bool
SignalArgument = tuple[Signal[T] | str, T]


class Engine(InboxVerbs, BulkVerbs, TopicVerbs, AuditVerbs, StreamVerbs, LimitVerbs):
    """Runs workflows on one store, and gives handles on their runs.

    Opening recovers: every open run whose workflow is registered goes on by itself. Leaving the
    `async with` drains: steps get time to finish, waiting runs are put away, the store is released.
    """

    def __init__(self, target: Target, options: CoreOptions, registry: Registry) -> None:
        self._target = target
        self._options, self._limits = options, options.provider_limits
        self._registry = registry
        self._opened: Opened | None = None

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] = "outlast.db",
        *,
        recover: bool = True,
        read_only: bool = False,
        registry: Registry | None = None,
        resources: Mapping[type[object], Callable[[], object]] | None = None,
        retention: Duration | None = limits.RETENTION,
        live_runs_max: int = limits.LIVE_RUNS_MAX,
        live_bytes_max: int | None = None,
        codec: CodecLayer | Sequence[CodecLayer] | None = None,
        namespace: str = "default",
        share: bool = False,
        gate: str = "warn",
        tracing: object = None,
    ) -> Engine:
        """Return an engine to enter with `async with`.

        Args:
            url: a path or `sqlite:///path` (one process owns it), or `memory://name` (this
                process only, several engines may share it).
            recover: False leaves open runs alone until another engine opens.
            read_only: look, also at a store that another process is running.
            registry: other definitions than those the decorators made.
            resources: factories by type, called once per process; `this_step().resource(type)`.
            retention: how long closed runs are kept; None keeps them.
            live_runs_max, live_bytes_max: of runs in memory, and of their journals; more leave it.
            share: several processes may open the file so. The first one owns it and runs the
                workflows; the others have the same verbs, and write through it. When it dies, one
                of them goes on within a second, and calls in flight are made once.
            codec: `encrypted(keys)` of `outlast.encryption`, or a list with `compressed()` first.
            tracing: OpenTelemetry's TracerProvider that gets spans of runs, attempts and messages.

        Raises (on entering, StoreUnavailable on leaving: not all was written in time):
            StoreLocked, StoreDamaged, StoreTooNew, StoreMissing, StoreError, StoreUnavailable,
            StoreCodecError
        """
        check_opening(url, registry)
        _refuse_later(namespace=namespace, gate=gate)
        options = core_options(
            recover=recover,
            resources=resources,
            retention=retention,
            live_runs_max=live_runs_max,
            live_bytes_max=live_bytes_max,
            codec=codec,
            tracing=tracing,
        )
        target = parse_url(os.fspath(url), read_only=read_only, share=share)
        return cls(target, options, registry or default_registry)

    def before_recovery(self, prepare: Callable[[EngineCore], None]) -> None:
        """Have telemetry of ours look inside before anything runs.

        Raises:
            UsageError: the engine is open already.
        """
        if self._opened is not None:
            raise UsageError("this engine is already open: set up tracing before opening it")
        self._options = replace(self._options, prepare=(*self._options.prepare, prepare))

    async def __aenter__(self) -> Engine:
        if in_run():
            raise NotInRun("an engine cannot be opened inside a workflow")
        if self._opened is not None:
            raise UsageError("this engine is already open: use Engine.open() for another one")
        for name in OWN_TYPES:  # a registry of one's own has these actors too
            if name in default_registry.actors:  # budgets come with the extra "agents"
                self._registry.actors.setdefault(name, default_registry.actors[name])
        self._opened = await _opened(self, self._target, self._options, self._registry)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await _to_its_end(self._opened.close(limits.DRAIN_GRACE_SECONDS))

    @property
    @override
    def _core(self) -> EngineCore:
        if self._opened is None:
            raise EngineClosed(
                "the engine is not open: use `async with Engine.open(...) as engine`"
            )
        if self._opened.core is None:
            raise StoreReadOnly("the store was opened with read_only=True")
        return self._opened.core

    # ------------------------------------------------------------------------- starting
    async def start(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        signals: Sequence[tuple[Signal[T] | str, T]] = (),
        delay: Duration | None = None,
        queue: str | None = None,
        priority: int = 0,
        fair_key: str | None = None,
        timeout: Duration | None = None,
        budget: RunBudget | None = None,
    ) -> Run[R]:
        """Start a run, or attach to the one that has this id; returns when that is safe on disk.

        Args:
            id: names the run; starting again under it is idempotent. Without it, a new UUIDv7.
            on_conflict: what an open run of this id means: "attach" to it, "fail", or end it
                ("terminate": at once, "replace": cancelled, with its cleanup) and start anew.
            reuse: what a closed run of this id means: "if_failed" attaches to a completed one and
                replaces any other, "always" replaces, "never" attaches.
            signals: delivered before the workflow's first line.
            delay: start later.
            timeout: the run's own, instead of the workflow's.
            budget: what its agents, and its children, may spend: `budget(...)` of outlast.agents.

        Raises:
            RunExists, IdempotencyMismatch: the id is taken and the policies refuse.
            EncodingError: an argument cannot be stored.
            StoreFull, StoreUnavailable: nothing was stored.
        """
        for feature, given in (("queue", queue), ("priority", priority), ("fair_key", fair_key)):
            if given:
                raise NotSupported(f"{feature}= of start")
        if on_conflict not in ("attach", "fail", "terminate", "replace"):
            raise UsageError("on_conflict is 'attach', 'fail', 'terminate' or 'replace'")
        if reuse not in ("always", "if_failed", "never"):
            raise UsageError("reuse is 'always', 'if_failed' or 'never'")
        if timeout is not None and seconds_of(timeout) <= 0:
            raise UsageError("timeout must be positive")
        core = self._core
        definition = _begin_call(call)
        request_id = step_dedup()
        request = StartRequest(
            definition=definition,
            bound=call.bound,
            id=id if id is not None else _id_of_step(request_id),
            on_conflict=on_conflict,
            reuse=reuse,
            attributes="{}" if attributes is None else merged_attributes("{}", attributes),
            signals=tuple(_signal(core, definition.name, s, value) for s, value in signals),
            delay_seconds=_not_negative("delay", delay),
            handed_down=handed_by(budget, core.world, id, delay=delay),
            timeout_seconds=None if timeout is None else seconds_of(timeout),
            place=call.place,
            request=request_id or "",
        )
        started = await core.start(request)
        returns = definition.signature.returns
        return Run(started.run, core=core, returns=returns, created=started.created)

    async def run(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        timeout: Duration | None = None,
    ) -> R:
        """Start a run and return its result; see `start` and `Run.result` for what they raise."""
        run = await self.start(
            call,
            id=id,
            on_conflict=on_conflict,
            reuse=reuse,
            attributes=attributes,
            timeout=timeout,
        )
        return await run.result()

    # -------------------------------------------------------------------------- looking
    @overload
    def get(self, run_id: str) -> Run[object]: ...
    @overload
    def get(self, run_id: str, workflow: Workflow[..., R]) -> Run[R]: ...
    def get(self, run_id: str, workflow: Workflow[..., R] | None = None) -> Run[R] | Run[object]:
        """Return a handle on a run; looks nothing up, an unknown id fails at the first await."""
        opened = self._require_open()
        if workflow is None:
            plain: Run[object] = Run(run_id, core=opened.core, reader=opened.reader)
            return plain
        returns = workflow.definition.signature.returns
        return Run(run_id, core=opened.core, reader=opened.reader, returns=returns)

    async def runs(self, query: str = "") -> AsyncIterator[RunInfo]:
        """Iterate over runs, newest first: `status:failed workflow:checkout since:1h customer:42`.

        Raises:
            QueryError: the query does not parse.
        """
        async for row in self._require_open().reader.runs(query):
            yield info_of(row)

    @override
    def _require_open(self) -> Opened:
        opened = self._opened
        if opened is None:
            raise EngineClosed(
                "the engine is not open: use `async with Engine.open(...) as engine`"
            )
        if opened.core is not None:
            opened.core.check()
        return opened

    # ------------------------------------------------------------------------- stopping
    async def drain(self, grace: Duration = "30s") -> None:
        """Start nothing new, give steps `grace` to finish, passivate waiting runs."""
        await self._core.drain(seconds_of(grace))

    # --------------------------------------------------------------------------- actors
    def actor(self, kind: type[A], key: str) -> ActorRef[A]:
        """Return the actor of a class under a key; it comes to be with its first message.

        Raises:
            UnknownActor: the class is not declared with `@actor`.
        """
        return ActorRef(self._core.registry.find_actor(kind), key, self._core)

    async def actors(self, kind: type[object] | str | None = None) -> AsyncIterator[ActorInfo]:
        """Iterate over actors that exist, newest first: of a class, of a type's name, or all."""
        name = kind if isinstance(kind, str | None) else self._registry.find_actor(kind).name
        async for info in self._actor_reader().actors(name):
            yield info

    async def actor_info(self, kind: type[object] | str, key: str) -> ActorInfo:
        """Return what is known of one actor, by its class or by its type's name.

        Raises:
            ActorNotFound: it has not received a message yet.
        """
        name = kind if isinstance(kind, str) else self._registry.find_actor(kind).name
        return await self._actor_reader().actor(name, key)

    async def dead_letters(self, actor: ActorRef[A] | None = None) -> AsyncIterator[DeadLetterInfo]:
        """Iterate over dead letters, messages that could not be delivered, oldest first."""
        async for letter in self._actor_reader().dead_letters(None if actor is None else actor.id):
            yield letter

    async def redrive(self, number: int) -> None:
        """Redeliver a dead letter, as a new message to the same actor.

        Raises:
            DeadLetterNotFound: there is no dead letter of this number.
            ActorStopped: the actor takes no messages any more.
        """
        if type(number) is not int:
            raise UsageError(f"a dead letter has a number, not {number!r}")
        core = self._core
        core.check()
        await core.actors.dead_letters.redrive(number)

    async def apply(self, team: Supervisor) -> Applied:
        """Change a team, and all teams in it, to the given definition; return the changes.

        Who is new is started, in order; who is not in it any more is stopped, in reverse; what
        was running goes on. Applying a team again changes nothing, so programs do it whenever they
        start. It is safe when it returns, and goes on by itself from then on.

        Raises:
            UnknownActor, UnknownWorkflow: a member has no code here; nothing was changed.
        """
        core = self._core
        core.check()
        return await apply_team(core, team)

    async def teams(self) -> AsyncIterator[TeamInfo]:
        """Iterate over teams with their members, newest first."""
        async for team in Teams(self._require_open().store).all():
            yield team

    def _actor_reader(self) -> ActorReader:
        return ActorReader(self._require_open().store, self._registry)

    # --------------------------------------------------------------- not supported yet
    def memory(self, *_: object) -> NoReturn:
        """Not supported yet."""
        raise NotSupported("Engine.memory")


async def _opened(
    engine: Engine, target: Target, options: CoreOptions, registry: Registry
) -> Opened:
    registry.engine_opened()
    try:
        opened = await open_target(target, options, registry, _connect)
    except BaseException:
        registry.engine_closed()
        raise
    opened.on_left = registry.engine_closed
    core = opened.core
    if core is None or target.kind != "sqlite" or not options.owns_process:
        return opened

    def listen() -> None:
        opened.socket = listen_beside(Path(target.name), engine, core)

    if isinstance(core.store, SharedSqliteStore):
        core.store.when_owned(listen)
    else:
        listen()
    return opened


async def _connect(database: Path) -> OwnerLink | None:
    """Find the owner of a database; what that takes is loaded by those alone that share one."""
    connect: Connect = import_module("outlast.client.owner").connect_owner
    return await connect(database)


def _refuse_later(*, namespace: str, gate: str) -> None:
    for feature, is_wanted in (("namespace", namespace != "default"), ("gate", gate != "warn")):
        if is_wanted:
            raise NotSupported(f"{feature}= of Engine.open")


def _not_negative(what: str, length: Duration | None) -> float:
    seconds = 0.0 if length is None else seconds_of(length)
    if seconds < 0:
        raise UsageError(f"{what} must not be negative")
    return seconds


def _signal(
    core: EngineCore, workflow: str, signal: Signal[T] | str, value: object
) -> tuple[str, bytes]:
    """Return a signal's name and payload, checked against what the workflow's code declares."""
    if isinstance(signal, str) and signal not in core.registry.signals:
        raise unknown_signal(core.registry, workflow, signal)
    return signal.name if isinstance(signal, Signal) else signal, signal_payload(
        core, signal, value
    )


def _id_of_step(request_id: str | None) -> str | None:
    """A step may run again: what it starts without a name of its own, it starts once."""
    if request_id is None:
        return None
    return hashlib.sha256(request_id.encode()).hexdigest()[:32]


def _begin_call(call: Call[R]) -> WorkflowDefinition:
    if not isinstance(call, WorkflowCall):
        raise UsageError(
            f"an engine starts a call of a workflow, such as checkout('7', 999), not {call!r}"
        )
    call.use()
    return call.definition


def run(
    call: Call[R],
    *,
    db: str | os.PathLike[str] = "outlast.db",
    id: str | None = None,
    timeout: Duration | None = None,
) -> R:
    """Run a workflow to its end and return its result: the one-liner of a script.

    The default id is the workflow's name and a hash of the arguments, without what equals a
    default, so running the script again attaches to what it began, or returns what it has
    finished, also after a parameter or field with a default was added.
    """
    if not isinstance(call, WorkflowCall):
        raise UsageError(
            f"outlast.run takes a call of a workflow, such as checkout('7', 999), not {call!r}"
        )
    if asyncio._get_running_loop() is not None:
        raise UsageError("outlast.run is for scripts; in a coroutine use `await engine.run(...)`")
    definition = call.definition
    run_id = id or f"{definition.name}-{definition.signature.digest_given(call.bound).hex()}"

    async def main() -> R:
        async with Engine.open(db) as engine:
            return await engine.run(call, id=run_id, timeout=timeout)

    return run_loop(main())


def run_loop(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end on the fastest loop that is installed."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Await `work` to its end, also when this is cancelled meanwhile; then that goes on."""
    task = asyncio.create_task(work, name="outlast-close")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
