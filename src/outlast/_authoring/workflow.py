"""`@workflow`, and `wf`: what workflow code asks of its run.

@workflow
async def checkout(order: str, cents: int) -> str:
    receipt = await charge(order, cents)
    await asyncio.sleep(3 * 86_400)          # a durable timer
    return receipt
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import sys
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Generic, NoReturn, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from typing_extensions import override

from outlast._callables import check_function
from outlast._codec import SignatureCodec, check_types
from outlast._execution.loop.event_loop import executing_loop, running_loop
from outlast._execution.loop.tasks import RunTask, Scope
from outlast._execution.runs.current import current_run
from outlast._execution.runs.run import LiveRun
from outlast._handles.actor_ref import ActorRef
from outlast._handles.call import Call, WorkflowCall
from outlast._handles.run import Run
from outlast._handles.tokens import AskingVerbs
from outlast._registry import WorkflowDefinition, default_name, default_registry, given_name
from outlast._store.attributes import merged_attributes
from outlast._wording.durations import seconds_of, text_of
from outlast._wording.source_lines import calling_place, defining_locals, place_of_frame
from outlast._world import within
from outlast.errors import NotInRun, NotSupported, RegistrationError, UsageError, WaitTimeout
from outlast.types import Duration, OnParentClose

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")


class Workflow(Generic[P, R]):
    """A registered workflow. Calling it gives an inert `Call`; `fn` is the plain function."""

    def __init__(
        self, fn: Callable[P, Coroutine[object, object, R]], definition: WorkflowDefinition
    ) -> None:
        self.fn = fn
        self.definition = definition
        self.__wrapped__ = fn
        self.__name__: str = definition.fn.__name__
        self.__qualname__ = definition.fn.__qualname__
        self.__doc__ = definition.fn.__doc__

    @property
    def name(self) -> str:
        """The name that stores know the workflow by."""
        return self.definition.name

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> WorkflowCall[R]:
        """Return a call to start or await; TypeError when the arguments do not fit."""
        place = place_of_frame(sys._getframe(1))  # CPython's documented call
        definition = self.definition
        return WorkflowCall(definition, definition.signature.bind(args, kwargs), place)

    def options(self, *, timeout: Duration | None = None, limit: object = None) -> Workflow[P, R]:
        """Return the same workflow with other options."""
        if limit is not None:
            raise NotSupported("limit= of a workflow")
        seconds = self.definition.timeout_seconds if timeout is None else _timeout_seconds(timeout)
        return Workflow(self.fn, replace(self.definition, timeout_seconds=seconds))

    def __repr__(self) -> str:
        return f"<workflow {self.definition.name}>"


class WorkflowDecorator(Protocol):
    """What `@workflow(...)` with options gives."""

    def __call__(self, fn: Callable[P, Coroutine[object, object, R]], /) -> Workflow[P, R]:
        """Return the registered workflow."""
        ...


@overload
def workflow(fn: Callable[P, Coroutine[object, object, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    version: str | None = None,
    versioning: str | None = None,
    timeout: Duration | None = None,
    limit: object = None,
) -> WorkflowDecorator: ...
def workflow(
    fn: Callable[..., Coroutine[object, object, object]] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    versioning: str | None = None,
    timeout: Duration | None = None,
    limit: object = None,
) -> object:
    """Declare a workflow: an `async def` whose runs are durable.

    Args:
        name: instead of `module.qualname`.
        version: a label of yours, stored with each run beside the hash of the code.
        timeout: how long a run may take; then it is cancelled and ends as `timed_out`.

    Raises:
        RegistrationError: not an `async def`, or types that cannot be encoded.
    """
    if versioning is not None:
        raise NotSupported("versioning= of a workflow")
    if limit is not None:
        raise NotSupported("limit= of a workflow")
    if version is not None and (not isinstance(version, str) or not version.isprintable()):
        raise RegistrationError(f"a workflow's version= is printable text, not {version!r}")

    def decorate(function: Callable[..., Coroutine[object, object, object]]) -> object:
        check_function("@workflow", function)
        if not inspect.iscoroutinefunction(function):
            raise RegistrationError(f"@workflow needs an `async def` function, got {function!r}")
        definition = WorkflowDefinition(
            name=given_name("a workflow's name", name) or default_name(function),
            fn=function,
            signature=SignatureCodec(
                function, stores_defaults=True, localns=defining_locals(function)
            ),
            label=version or "",
            timeout_seconds=None if timeout is None else _timeout_seconds(timeout),
        )
        check_types(definition.signature)
        default_registry.add_workflow(definition)
        return Workflow(function, definition)

    return decorate if fn is None else decorate(fn)


def _is_replaying(run: LiveRun) -> bool:
    """Whether the code has said before what it says now: not so before its first record."""
    return run.journal.is_replaying and not run.is_new


class _SilentOnReplay(logging.LoggerAdapter[logging.Logger]):
    @override
    def isEnabledFor(self, level: int) -> bool:
        loop = executing_loop()
        owner = loop.owner if loop is not None else None
        if isinstance(owner, LiveRun) and (_is_replaying(owner) or owner.state == "left"):
            return False
        return super().isEnabledFor(level)

    @override
    def process(
        self, msg: object, kwargs: MutableMapping[str, object]
    ) -> tuple[object, MutableMapping[str, object]]:
        loop = running_loop()
        owner = loop.owner if loop is not None else None
        run = owner.id if isinstance(owner, LiveRun) else ""
        return f"[{run}] {msg}", kwargs


class _ScopeManager(AbstractAsyncContextManager[Scope]):
    """A cancel scope around a block of workflow code."""

    def __init__(self, timeout: float | None, grace: float | None) -> None:
        self._timeout = timeout
        self._grace = grace
        self._run: LiveRun
        self._task: RunTask[object]
        self._scope: Scope
        self._timer: asyncio.TimerHandle | None = None

    @override
    async def __aenter__(self) -> Scope:
        self._run = run = current_run()
        task = run.loop.current_task()
        if task is None:
            raise NotInRun("a scope needs a task of a workflow around it")
        self._task = task
        self._scope = task.scope = Scope(task.scope, is_shield=self._grace is not None)
        seconds = self._timeout if self._timeout is not None else self._grace
        if self._timeout is not None and seconds is not None:
            self._timer = run.loop.call_later(seconds, self._expire)
        elif seconds is not None:
            run.cancellation.add_shield(self._scope, seconds)
        return self._scope

    def _expire(self) -> None:
        self._scope.has_expired = True
        self._run.cancellation.cancel_scope(self._scope)

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        scope = self._scope
        parent = scope.parent
        self._run.cancellation.leave_scope(scope)
        if parent is not None:
            self._task.scope = parent
        is_ours = scope.is_cancelled and not (parent is not None and parent.is_reached())
        if kind is not None and issubclass(kind, asyncio.CancelledError) and is_ours:
            while self._task.cancelling():
                self._task.uncancel()
            if scope.has_expired and self._timeout is not None:
                raise WaitTimeout(f"the scope's time of {text_of(self._timeout)} ran out")
            return True
        return False


class _LaterVerbs:
    """Verbs that this version does not have yet."""

    def actor(self, kind: type[A], key: str) -> ActorRef[A]:
        """Return the actor of a class under a key, to ask and tell from workflow code."""
        return ActorRef(current_run().host.registry.find_actor(kind), key, None)

    def step(self, *_: object, **__: object) -> NoReturn:
        """Not supported yet."""
        raise NotSupported("wf.step")

    def saga(self, *_: object, **__: object) -> NoReturn:
        """Not supported yet."""
        raise NotSupported("wf.saga")

    def fold(self, *_: object, **__: object) -> NoReturn:
        """Not supported yet."""
        raise NotSupported("wf.fold")

    def patched(self, *_: object, **__: object) -> NoReturn:
        """Not supported yet."""
        raise NotSupported("wf.patched")


class _Wf(_LaterVerbs, AskingVerbs):
    """The verbs of workflow code; every one needs a run around it (`NotInRun` elsewhere)."""

    log: _SilentOnReplay = _SilentOnReplay(logging.getLogger("outlast.workflow"), {})

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return current_run().id

    @property
    def is_replaying(self) -> bool:
        """Whether earlier records are being replayed: for logs only, never for decisions."""
        return _is_replaying(current_run())

    def now(self) -> datetime:
        """Return the run's logical time: that of the last record it was given."""
        return datetime.fromtimestamp(current_run().loop.now, UTC)

    def random(self) -> random.Random:
        """Return a random generator that has the same seed whenever this line is replayed."""
        run = current_run()
        key = run.loop.next_key("random")
        run.journal.issued(key, "")
        return random.Random(f"{run.loop.chance_renewed or run.salt}:{key}")

    def uuid(self) -> UUID:
        """Return a new UUID, the same whenever this line is replayed."""
        return UUID(int=self.random().getrandbits(128), version=4)

    async def sleep(self, duration: Duration) -> None:
        """Sleep durably; always one record, also for zero."""
        run = current_run()
        future: asyncio.Future[None] = run.loop.create_future()
        seconds = max(0.0, seconds_of(duration))
        when = run.loop.now + seconds
        handle = asyncio.TimerHandle(when, _finish, (future,), run.loop)
        run.loop.add_timer(handle, "sleep", place=calling_place())
        try:
            await future
        finally:
            handle.cancel()

    def start(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_parent_close: OnParentClose = "cancel",
        timeout: Duration | None = None,
    ) -> Run[R]:
        """Start a child run without waiting for it; it starts with the run's next commit."""
        run = current_run()
        if not isinstance(call, WorkflowCall):
            raise UsageError(f"wf.start takes a call of a workflow, got {call!r}")
        if on_parent_close not in ("cancel", "terminate", "abandon"):
            raise UsageError("on_parent_close is 'cancel', 'terminate' or 'abandon'")
        call.use()
        definition = call.definition
        child = run.calls.children.start(
            definition,
            call.bound,
            id=id,
            on_parent_close=on_parent_close,
            timeout=None if timeout is None else seconds_of(timeout),
            place=call.place,
        )
        return Run(child.child, returns=definition.signature.returns, created=True)

    def get(self, run_id: str) -> Run[object]:
        """Return a handle on any run; looks nothing up."""
        current_run()
        return Run(run_id)

    async def until(self, condition: Callable[[], object], timeout: Duration | None = None) -> None:
        """Wait until `condition()` is true; it is looked at after every record of the run.

        Raises:
            WaitTimeout: it did not become true in time.
        """
        conditions = current_run().calls.conditions
        if timeout is None:
            await conditions.wait(condition)
            return
        seconds = seconds_of(timeout)
        message = f"the condition was not true within {text_of(seconds)}"
        await within(conditions.wait(condition), seconds, message)

    async def first(self, **calls: Awaitable[R]) -> tuple[str, R]:
        """Return the name and the result of the call that ends first; the rest are cancelled.

        An error of the first to end is raised here.
        """
        current_run()
        if not calls:
            raise UsageError("wf.first needs at least one call: wf.first(a=call, b=call)")
        tasks = {name: asyncio.ensure_future(call) for name, call in calls.items()}
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            winner = next(name for name, task in tasks.items() if task.done())
        finally:
            losers = [task for task in tasks.values() if not task.done()]
            for task in losers:
                task.cancel()
            if losers:
                await asyncio.wait(losers)
        return winner, tasks[winner].result()

    def scope(self, timeout: Duration | None = None) -> AbstractAsyncContextManager[Scope]:
        """Return a cancel scope: its block ends with `WaitTimeout` when `timeout` runs out."""
        return _ScopeManager(None if timeout is None else seconds_of(timeout), None)

    def shield(self, grace: Duration = "30s") -> AbstractAsyncContextManager[Scope]:
        """Return a scope whose awaits work although the run is cancelled, for `grace` at most."""
        return _ScopeManager(None, seconds_of(grace))

    def set_attributes(self, **attributes: str | int | float | bool | None) -> None:
        """Set attributes that listings can filter by; None removes one."""
        run = current_run()
        merged = merged_attributes(run.summary.attributes, attributes)
        if merged != run.summary.attributes:
            run.summary.attributes = merged
            run.host.run_changed(run.id)


def _timeout_seconds(timeout: Duration) -> float:
    try:
        seconds = seconds_of(timeout)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"a workflow's timeout=: {error}") from error
    if seconds <= 0:
        raise RegistrationError(f"a workflow's timeout= must be positive, not {timeout!r}")
    return seconds


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


wf: _Wf = _Wf()
"""What workflow code asks of its run: time, chance, sleep, children, scopes."""
