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

from outlast._authoring.closures import closure_call
from outlast._callables import check_function
from outlast._codec import SignatureCodec, check_types
from outlast._execution.run_context import (
    Scope,
    ScopeBlock,
    current_context,
    executing_run_id,
    in_run,
    is_silent,
)
from outlast._handles.actor_ref import ActorRef
from outlast._handles.call import Call, WorkflowCall
from outlast._handles.run import Run
from outlast._handles.tokens import AskingVerbs
from outlast._registry import WorkflowDefinition, default_name, default_registry, given_name
from outlast._wording.durations import seconds_of
from outlast._wording.source_lines import defining_locals, place_of_frame
from outlast.errors import NotSupported, RegistrationError, UsageError
from outlast.types import Duration, Once, OnParentClose, Retry, Timeout

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


class _SilentOnReplay(logging.LoggerAdapter[logging.Logger]):
    @override
    def isEnabledFor(self, level: int) -> bool:
        return not is_silent() and super().isEnabledFor(level)

    @override
    def process(
        self, msg: object, kwargs: MutableMapping[str, object]
    ) -> tuple[object, MutableMapping[str, object]]:
        return f"[{executing_run_id() if in_run() else ''}] {msg}", kwargs


class _ScopeManager(AbstractAsyncContextManager[Scope]):
    """A cancel scope around a block of workflow code."""

    def __init__(self, timeout: float | None, grace: float | None) -> None:
        self._timeout = timeout
        self._grace = grace
        self._block: ScopeBlock

    @override
    async def __aenter__(self) -> Scope:
        cancellation = current_context().cancellation
        self._block = cancellation.enter(timeout=self._timeout, grace=self._grace)
        return self._block.scope

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return self._block.leave(kind)


class _LaterVerbs:
    """Verbs that this version does not have yet."""

    def actor(self, kind: type[A], key: str) -> ActorRef[A]:
        """Return the actor of a class under a key, to ask and tell from workflow code."""
        return ActorRef(current_context().registry.find_actor(kind), key, None)

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
        return current_context().id

    @property
    def is_replaying(self) -> bool:
        """Whether earlier records are being replayed: for logs only, never for decisions."""
        return current_context().is_replaying

    def now(self) -> datetime:
        """Return the run's logical time: that of the last record it was given."""
        return datetime.fromtimestamp(current_context().now, UTC)

    def random(self) -> random.Random:
        """Return a random generator that has the same seed whenever this line is replayed."""
        return current_context().random()

    def uuid(self) -> UUID:
        """Return a new UUID, the same whenever this line is replayed."""
        return UUID(int=self.random().getrandbits(128), version=4)

    async def sleep(self, duration: Duration) -> None:
        """Sleep durably; always one record, also for zero."""
        await current_context().waits.sleep(seconds_of(duration))

    @overload
    def step(
        self,
        name: str,
        body: Callable[[], object],
        *,
        returns: type[R],
        key: str | None = None,
        retry: Retry | None = None,
        timeout: Timeout | Duration | None = None,
        raises: tuple[type[BaseException], ...] = (),
        once: Once = "at_least",
    ) -> Call[R]: ...
    @overload
    def step(
        self,
        name: str,
        body: Callable[[], Awaitable[R]],
        *,
        key: str | None = None,
        retry: Retry | None = None,
        timeout: Timeout | Duration | None = None,
        raises: tuple[type[BaseException], ...] = (),
        once: Once = "at_least",
    ) -> Call[R]: ...
    @overload
    def step(
        self,
        name: str,
        body: Callable[[], R],
        *,
        key: str | None = None,
        retry: Retry | None = None,
        timeout: Timeout | Duration | None = None,
        raises: tuple[type[BaseException], ...] = (),
        once: Once = "at_least",
    ) -> Call[R]: ...
    def step(
        self,
        name: str,
        body: Callable[[], object],
        *,
        key: str | None = None,
        retry: Retry | None = None,
        timeout: Timeout | Duration | None = None,
        raises: tuple[type[BaseException], ...] = (),
        once: Once = "at_least",
        returns: object = None,
    ) -> Call[object]:
        """Return a call of a step with this body, to await: a closure whose outcome is recorded.

        The body runs outside of the workflow, in a copy of the context of the code that awaits the
        call: a coroutine function on the host's loop, another one on a thread. It may read the
        workflow's variables, and must not change them: on replay it does not run.

        Args:
            name: what the journal calls the step.
            body: without parameters; `lambda: fetch(url)` will do.
            key: stands for the step in place of where the code awaits it: unique in the run, or in
                the message of an actor. So code may change its order and its tasks.
            retry: as of `@step`, like `timeout`, `raises` and `once`.
            returns: the type of what it returns; without it the body's annotation says so, and
                without one it is JSON-like data.

        Raises:
            UsageError: an option that makes no sense; awaited: the run has used the key before.
        """
        current_context()
        return closure_call(
            name,
            body,
            key=key,
            retry=retry,
            timeout=timeout,
            raises=raises,
            once=once,
            returns=returns,
        )

    def start(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_parent_close: OnParentClose = "cancel",
        timeout: Duration | None = None,
    ) -> Run[R]:
        """Start a child run without waiting for it; it starts with the run's next commit."""
        run = current_context()
        if not isinstance(call, WorkflowCall):
            raise UsageError(f"wf.start takes a call of a workflow, got {call!r}")
        if on_parent_close not in ("cancel", "terminate", "abandon"):
            raise UsageError("on_parent_close is 'cancel', 'terminate' or 'abandon'")
        call.use()
        definition = call.definition
        child = run.children.start(
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
        current_context()
        return Run(run_id)

    async def until(self, condition: Callable[[], object], timeout: Duration | None = None) -> None:
        """Wait until `condition()` is true; it is looked at after every record of the run.

        Raises:
            WaitTimeout: it did not become true in time.
        """
        waits = current_context().waits
        await waits.until(condition, None if timeout is None else seconds_of(timeout))

    async def first(self, **calls: Awaitable[R]) -> tuple[str, R]:
        """Return the name and the result of the call that ends first; the rest are cancelled.

        An error of the first to end is raised here.
        """
        current_context()
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
        current_context().outputs.set_attributes(attributes)


def _timeout_seconds(timeout: Duration) -> float:
    try:
        seconds = seconds_of(timeout)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"a workflow's timeout=: {error}") from error
    if seconds <= 0:
        raise RegistrationError(f"a workflow's timeout= must be positive, not {timeout!r}")
    return seconds


wf: _Wf = _Wf()
"""What workflow code asks of its run: time, chance, sleep, children, scopes."""
