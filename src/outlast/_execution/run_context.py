"""The run whose code is executing, as all that stands above the runs knows it.

Handles, decorators and actors ask here whether code of a run is executing, and what it may do:
`current_context()` gives its verbs, in groups. Nothing else of `_execution` is theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from random import Random
from typing import TypeVar

from outlast._execution.actors.actor_context import ActorContext
from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.actors.handled_message import KeptError as KeptError
from outlast._execution.actors.handled_message import NotNow as NotNow
from outlast._execution.calls.cancellation import Cancellation, ScopeBlock
from outlast._execution.calls.children import ChildCalls, handed_down
from outlast._execution.calls.inbox import Inbox
from outlast._execution.calls.steps import StepCalls
from outlast._execution.calls.tokens import TokenCalls
from outlast._execution.calls.tokens import TokenOperation as TokenOperation
from outlast._execution.calls.unreadable import raise_refusal as raise_refusal
from outlast._execution.calls.unreadable import read_in_run
from outlast._execution.calls.updates import OnClose, UpdateCalls
from outlast._execution.calls.waits import Waits
from outlast._execution.journal.given_keys import place_of_key
from outlast._execution.loop.event_loop import EXECUTING, NOBODY, RunLoop
from outlast._execution.loop.executing import executing_loop, hash_of_call, message_in
from outlast._execution.loop.tasks import Scope
from outlast._execution.runs.outputs import RunOutputs
from outlast._execution.runs.run import LiveRun
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._registry import Registry, StepDefinition
from outlast._wording.source_lines import calling_place, waiting_place
from outlast._world import random_of
from outlast.errors import NotInRun, NotSupported, Passivating
from outlast.types import RunId

__all__ = [
    "ActorContext",
    "OnClose",
    "RunContext",
    "Scope",
    "ScopeBlock",
    "context_here",
    "current_context",
    "executing_run_id",
    "executing_steps",
    "handed_down",
    "hash_of_call",
    "in_run",
    "is_silent",
    "message_here",
    "next_number",
]

T = TypeVar("T")


class RunContext:
    """What the code of a run may do, and may know of its run."""

    __slots__ = ("_run",)

    def __init__(self, run: LiveRun) -> None:
        self._run = run

    @property
    def id(self) -> RunId:
        """The run's id."""
        return self._run.id

    @property
    def now(self) -> float:
        """The run's logical time in seconds: that of the last record it was given."""
        return self._run.loop.now

    @property
    def registry(self) -> Registry:
        """What is declared where the run executes."""
        return self._run.host.registry

    @property
    def is_replaying(self) -> bool:
        """Whether the code has said before what it says now: not so before its first record."""
        return _is_replaying(self._run)

    # ------------------------------------------------------------------------ its verbs
    def step(
        self,
        definition: StepDefinition,
        args: tuple[object, ...],
        kwargs: Mapping[str, object] | None = None,
        *,
        place: str | None = None,
        catches: tuple[type[BaseException], ...] = (),
        key: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Future[object]:
        """Return the future of a step's outcome; its body starts when the code comes to rest.

        Its key is made of the definition's name and of where the code asks, or is the one given.
        `place` is the source line in its records, by default that of the user's code which
        executes. The body finds a copy of `context` around it.

        Raises:
            UsageError: the run has used the key before.
        """
        return self._run.steps.issue(
            definition,
            args,
            kwargs or {},
            place=calling_place() if place is None else place,
            catches=catches,
            key=None if key is None else self._run.calls.take_key(key, definition.name),
            context=context,
        )

    async def read(self, what: str, read: Callable[[], T]) -> T:
        """Return what `read` makes of stored data; park the run if the data does not fit."""
        return await read_in_run(self._run.loop, what, read)

    def random(self) -> Random:
        """Return a random generator that has the same seed whenever this line is replayed."""
        run = self._run
        key = run.loop.next_key("random")
        run.journal.issued(key, "")
        return random_of(f"{run.loop.chance_renewed or run.salt}:{key}")

    @property
    def waits(self) -> Waits:
        """What it waits for by the clock, or until a condition is true."""
        return Waits(self._run.loop, self._run.calls)

    @property
    def cancellation(self) -> Cancellation:
        """Its cancel scopes and shields."""
        return self._run.cancellation

    @property
    def children(self) -> ChildCalls:
        """Its child runs."""
        return self._run.calls.children

    @property
    def signals(self) -> Inbox:
        """What it was sent, and has not received yet."""
        return self._run.calls.inbox

    @property
    def tokens(self) -> TokenCalls:
        """What it asks people, and other systems."""
        return self._run.calls.tokens

    @property
    def outputs(self) -> RunOutputs:
        """What it shows to those outside: values, streams, attributes."""
        return RunOutputs(self._run)

    @property
    def updates(self) -> UpdateCalls:
        """Its handlers of updates.

        Raises:
            NotSupported: it is an actor.
        """
        if not isinstance(self._run, LiveWorkflow):
            raise NotSupported("updates of actors: their handlers take messages")
        return self._run.updates

    @property
    def actor(self) -> ActorContext | None:
        """What a handler may have done when its message ends; None for a workflow."""
        return ActorContext(self._run) if isinstance(self._run, LiveActor) else None


def in_run() -> bool:
    """Whether code of a run is executing on this thread."""
    return EXECUTING.loop is not None


def current_context() -> RunContext:
    """Return the run whose code is executing.

    Raises:
        NotInRun: no run's code is executing on this thread.
        Passivating: the run is leaving memory; its code must let this pass.
    """
    return RunContext(_run_of_here())


def _run_of_here() -> LiveRun:
    loop = EXECUTING.loop
    if loop is None:
        raise NotInRun(
            "this works only in workflow code and in handlers of durable actors: start the "
            "workflow with engine.start(), engine.run() or outlast.run(); a handler of an actor "
            "with durable=False has no run"
        )
    return _run_of(loop)


def context_here() -> RunContext | None:
    """Return the run whose code is executing, None where none is.

    Raises:
        Passivating: the run is leaving memory; its code must let this pass.
    """
    loop = EXECUTING.loop
    return None if loop is None else RunContext(_run_of(loop))


def message_here() -> str:
    """Return the number of the message whose handler executes; empty in a workflow."""
    return message_in(_run_of_here().loop)


def salt_here() -> int:
    """Return a number that the run keeps when it is retried; a later run of its id has another."""
    return _run_of_here().salt


def handed_down_here() -> str:
    """Return what the code that started this run has handed down to it; empty without."""
    return _run_of_here().calls.lineage.handed_down


def asking_place(*, beyond: tuple[str, ...]) -> str:
    """Return the line that asks for what happens now, beyond a library that the code has called.

    In a task that the library has made, it is the line at which the run's own code waits.
    """
    main = _run_of_here().main
    place = calling_place(beyond=beyond)
    return place or (waiting_place(main.get_coro(), beyond=beyond) if main is not None else "")


def next_number(what: str) -> int:
    """Return how often the code of this run has asked for the number of this, from 1 on.

    It is counted anew in each life in memory, and for each message of an actor: replay gives the
    same numbers again.
    """
    return _run_of_here().calls.next_number(what)


def has_step(key: str, name: str) -> bool:
    """Whether the journal that is replayed has the end of a step under a key that the code gives.

    For steps that older versions made: they are asked for again where they are recorded.
    """
    run = _run_of_here()
    stored = f"{message_in(run.loop)}{place_of_key(key)}:{name}"
    return run.journal.recorded("step_done", stored) is not None


def executing_steps() -> StepCalls | None:
    """Return the steps of the run whose code is executing: the short way, for the call of a step.

    Raises:
        Passivating: the run is leaving memory; its code must let this pass.
    """
    loop = EXECUTING.loop
    return None if loop is None else _run_of(loop).steps


def _run_of(loop: RunLoop) -> LiveRun:
    if loop.owner is NOBODY:
        raise Passivating("the run has left memory")
    # `isinstance` of an abstract class costs as much as all the rest, once a step. A loop is a
    # run's, or NOBODY's.
    owner: object = loop.owner
    run: LiveRun = owner  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # so
    if run.state in ("left", "ended"):
        raise Passivating("the run is leaving memory")
    return run


# ------------------------------------------------------------------------------ for log lines
def executing_run_id() -> str:
    """Return the id of the run whose code, or what it has called, is executing; "" for none."""
    run = _executing_run()
    return "" if run is None else run.id


def is_silent() -> bool:
    """Whether code of a run is executing that has said all before, or has no effect any more."""
    run = _executing_run()
    return run is not None and (_is_replaying(run) or run.state == "left")


def _executing_run() -> LiveRun | None:
    loop = executing_loop()
    owner = None if loop is None else loop.owner
    return owner if isinstance(owner, LiveRun) else None


def _is_replaying(run: LiveRun) -> bool:
    return run.journal.is_replaying and not run.is_new
