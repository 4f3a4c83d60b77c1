"""The event loop of one run: a first-in-first-out queue, drained by callbacks of the host loop.

Workflow code never runs on the host's loop. It runs on a `RunLoop`, whose only inputs are
journal records, handed over one at a time and drained to quiescence in between. Stock asyncio
(gather, TaskGroup, timeout, Queue, Lock ...) is therefore deterministic here, and durable.

Invariants:
  * time is the time of the last delivered record and moves only between drains;
  * a drain ends when nothing is runnable; it never blocks, and never runs inside a host task;
  * whatever would reach outside (sockets, threads, executors) raises `NotDeterministic`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from asyncio import AbstractEventLoop, Handle, TimerHandle
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Protocol, TypeAlias, TypeGuard, TypeVar

from typing_extensions import TypeVarTuple, Unpack, override

from outlast import limits
from outlast._execution.loop.futures import RunFuture
from outlast._execution.loop.generator_hooks import HERE
from outlast._execution.loop.generators import Generators
from outlast._execution.loop.tasks import Cancels, RunTask, Scope, TaskPath
from outlast._execution.loop.timers import Timers
from outlast._wording.durations import SECONDS_MAX
from outlast._wording.source_lines import calling_place, stop_at
from outlast.errors import NotDeterministic, Passivating

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logging.getLogger("outlast.workflow")

_set_running_loop = asyncio._set_running_loop  # documented for loop implementers
_get_running_loop = asyncio._get_running_loop
# The function is written in C from 3.12 on; before, it looks into a table in Python.
_current_task: Callable[[AbstractEventLoop], asyncio.Task[object] | None]
if sys.version_info >= (3, 12):
    _current_task = asyncio.current_task
else:
    _current_task = vars(asyncio.tasks)["_current_tasks"].get

_Callback: TypeAlias = "Callable[..., object]"
_NATIVE = frozenset((CoroutineType,))
_PATIENCE_TURNS = 100  # of a drain, before redelivered cancellations are no longer waited for


class LoopOwner(Protocol):
    """What a loop needs of the run it belongs to."""

    def operation_issued(self, key: str, place: str) -> None:
        """Called for each timer that the code asks for."""
        ...


class _Nobody:
    """The owner of a loop whose run has gone: it and its run must not hold each other."""

    def operation_issued(self, key: str, place: str) -> None:
        """Do nothing."""


NOBODY: LoopOwner = _Nobody()


class _Here(threading.local):
    """What this thread does: asyncio can tell too, but asks for the process's id each time.

    Attributes:
        loop: of the run whose code executes.
        exempt: of the run whose code has called what executes outside of it.
    """

    loop: RunLoop | None = None
    exempt: RunLoop | None = None


EXECUTING = _Here()


class Spinning(Exception):
    """The workflow keeps running without ever waiting for anything."""


class RunHandle(Handle):
    """A callback of a run's loop, which never has asyncio's debug mode: one is made for a step."""

    __slots__ = ()
    _repr = None
    _source_traceback = None

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False


class RunLoop(AbstractEventLoop):
    """The loop that asyncio sees while workflow code of one run executes."""

    __slots__ = (
        "_first_place",
        "_futures_made",
        "_halted_by",
        "_hashes",
        "_laid_aside",
        "_outer",
        "_ready",
        "_tasks_made",
        "callback_place",
        "cancels",
        "chance_renewed",
        "chance_seed",
        "generators",
        "is_leaving",
        "now",
        "owner",
        "root",
        "salt",
        "tasks",
        "timers",
    )

    def __init__(self, owner: LoopOwner, *, salt: int, now: float) -> None:
        self.owner: LoopOwner = owner
        self.salt: int = salt
        self.now: float = now
        self.root: Scope = Scope(None)
        self.callback_place: TaskPath = TaskPath("c")
        self.cancels: Cancels = Cancels()
        self._ready: list[Handle] = []  # an empty deque takes 760 bytes, of each run that waits
        self.tasks: list[RunTask[object]] = []  # not ended, and some that are
        self._tasks_made = self._hashes = self._futures_made = 0
        self._first_place = "0"
        self.timers: Timers = Timers()
        self.generators: Generators = Generators()
        self.chance_seed: bytes = b""  # of what its code draws; empty: the run has none
        self.chance_renewed: str = ""  # the same as text, if it is not the first one of the run
        self._outer: AbstractEventLoop | None = None  # the host's, while this one runs
        self._laid_aside: list[Handle] | None = None  # see `_lay_aside`
        self.is_leaving: bool = False  # its tasks are made to end, and nobody hears of them
        self._halted_by: BaseException | None = None

    # ------------------------------------------------- what asyncio asks of a running loop
    @override
    def get_debug(self) -> bool:
        return False

    @override
    def is_running(self) -> bool:
        return True

    @override
    def is_closed(self) -> bool:
        return False

    @override
    def time(self) -> float:
        return self.now

    @override
    def create_future(self) -> asyncio.Future[T]:
        future: RunFuture[T] = RunFuture(loop=self)
        future.ordinal = self.next_future_hash()
        return future

    @override
    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        handle = RunHandle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    @override
    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    @override
    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        if when != when:
            raise ValueError("a timer cannot be due at NaN")
        # "For ever" is a century: a time that rows, records and calendars can hold.
        when = min(when, self.now + SECONDS_MAX)
        handle = TimerHandle(when, callback, args, self, context)
        if when <= self.now:
            self._ready.append(handle)  # already due: a plain yield, no record (as asyncio does)
        else:
            self.add_timer(handle, "timer", place=calling_place())
        return handle

    @override
    def create_task(
        self,
        coro: Generator[object, None, T] | Coroutine[object, object, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        path: str = "",
        **_: object,
    ) -> RunTask[T]:
        if isinstance(coro, Generator) and not isinstance(coro, Coroutine):
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        parent = self.current_task()
        if not path:
            around = self.callback_place if parent is None else parent.place
            path = around.next_path() if self._tasks_made else self._first_place
        self._tasks_made += 1
        task = RunTask(
            coro if type(coro) in _NATIVE else _awaited(coro),  # a call of a step, for one
            loop=self,
            name=name,
            context=context,
            place=TaskPath(path),
            scope=self.root if parent is None else parent.scope,
            cancels=self.cancels,
            ordinal=(self.salt + self._tasks_made) & 0xFFFFFFFFFFFFFFF,
        )
        self._remember(task)
        return task

    def start_main(self, work: object, context: Context, *, path: str = "0") -> RunTask[object]:
        """Return a first task, in a context of its own; what comes is counted from `path`."""
        if not _is_coroutine(work):
            raise TypeError(f"a workflow must be an async function; calling it returned {work!r}")
        is_used = self._tasks_made or self._hashes or self._futures_made or self.root.is_cancelled
        if is_used or path != self._first_place:
            self.root = Scope(None)
            self.generators.begin_anew()
            self.callback_place = TaskPath("c" if path == "0" else f"{path}c")
            self._first_place = path
            self._tasks_made = self._hashes = self._futures_made = 0
            self.tasks.clear()
            self.timers.clear()
        return context.run(self.create_task, work)

    @override
    def get_task_factory(self) -> None:
        return None

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Called by asyncio; the timer is dropped when it comes to the top."""

    @override
    def call_exception_handler(self, context: dict[str, object]) -> None:
        error = context.get("exception")
        if self.is_leaving or _is_of_leaving(error):
            return
        told = context.get("message", "unhandled error in workflow code")
        log.error("%s", told, exc_info=error if isinstance(error, BaseException) else None)

    default_exception_handler = call_exception_handler

    @override
    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: abandoned generators are closed by the run itself."""

    def current_task(self) -> RunTask[object] | None:
        """Return the task of this run that is executing, None in a plain callback."""
        task = _current_task(self)
        return task if isinstance(task, RunTask) else None

    def current_place(self) -> TaskPath:
        """Return where what the executing code asks for, and draws, is counted."""
        task = self.current_task()
        return self.callback_place if task is None else task.place

    def next_future_hash(self) -> int:
        """Return a hash for a future of this run, the same in every process."""
        self._futures_made += 1
        return (self.salt - self._futures_made) & 0xFFFFFFFFFFFFFFF

    def next_key(self, name: str) -> str:
        """Return the key of the operation that the executing code asks for now."""
        task = _current_task(self)
        place = task.place if isinstance(task, RunTask) else self.callback_place
        return place.next_key(name)

    def add_timer(self, handle: TimerHandle, name: str, *, place: str = "") -> str:
        """Make `handle` due when a record says that its time has come; return its key."""
        key = self.next_key(name)
        self.timers.add(key, handle)
        self.owner.operation_issued(key, place)
        return key

    def own(self, awaitable: Awaitable[T], path: str = "") -> asyncio.Future[T]:
        """Return `awaitable` as a future of this run, in a new task (at `path`) if need be."""
        if isinstance(awaitable, asyncio.Future):
            return awaitable
        return self.create_task(_awaited(awaitable), path=path)

    def fire_timer(self, key: str) -> None:
        """Make the timer's callback runnable, unless the code has cancelled it."""
        if (handle := self.timers.fire(key)) is not None:
            self._ready.append(handle)

    def live_tasks(self) -> list[RunTask[object]]:
        """Return the tasks that have not ended, in order of creation."""
        return [task for task in self.tasks if not task.done()]

    def drain(self) -> None:
        """Run until nothing is runnable, as the running loop of this thread.

        Raises:
            Spinning: it did not come to rest.
            BaseException: what `halt` was called with.
        """
        generators = self.generators
        if not (self._ready or generators.abandoned):
            if self._halted_by is not None:
                raise self._halted_by
            return
        self._outer = outer = _get_running_loop()
        hooks = HERE.hooks
        outside, hooks.draining = hooks.draining, generators
        if hooks.started is None or sys.get_asyncgen_hooks()[0] is not hooks.started:
            hooks.install()
        outer_run, EXECUTING.loop = EXECUTING.loop, self
        _set_running_loop(self)
        budget, patience = limits.DRAIN_HANDLES_MAX, _PATIENCE_TURNS
        if self._laid_aside:
            self._ready += self._laid_aside
            self._laid_aside = None
        turn: list[Handle] = []
        handle: Handle | None = None
        try:
            while self._ready or (
                generators.abandoned and not self._halted_by and self._close_abandoned()
            ):
                turn, self._ready = self._ready, []
                budget -= len(turn)
                if budget < 0:
                    raise Spinning
                patience -= 1
                if patience < 0:
                    turn = _lay_aside(self, turn)
                for handle in turn:
                    if handle._cancelled:  # the loop's half of asyncio's own contract
                        continue
                    context: Context = handle._context  # type: ignore[attr-defined]  # asyncio's
                    call: _Callback = handle._callback  # type: ignore[attr-defined]  # asyncio's
                    try:
                        context.run(call, *handle._args)  # as `Handle._run` does
                    except BaseException as error:  # noqa: BLE001  # as asyncio has it
                        _callback_raised(self, handle, error)
                    del call
                    if self._halted_by is not None:
                        break
        finally:
            # From Python 3.12 on an error that the code has caught holds this frame.
            turn, handle = [], None
            _set_running_loop(outer)
            EXECUTING.loop = outer_run
            hooks.draining = outside
            if hooks.is_bare:
                hooks.put_back()
        if self._halted_by is not None:
            raise self._halted_by

    def _close_abandoned(self) -> bool:
        """Close the generators that the code has dropped; say whether there is something to run."""
        self.generators.close(self.create_task, self._first_place)
        return bool(self._ready)

    def halt(self, error: BaseException) -> None:
        """End the drain that is under way, which raises `error`: the run must leave memory then."""
        self._halted_by = error
        self._ready.clear()

    def abandon(self) -> None:
        """Forget all tasks, timers and callbacks: what remains of the code never runs again."""
        self._ready.clear()
        self._laid_aside = self._halted_by = None
        self.tasks.clear()
        self.timers.clear()
        self.generators.begin_anew()

    def _remember(self, task: RunTask[T]) -> None:
        tasks: list[RunTask[object]] = self.tasks  # all of them while it leaves: see closing.py
        if len(tasks) >= 32 and len(tasks) & (len(tasks) - 1) == 0 and not self.is_leaving:
            tasks[:] = [t for t in tasks if not t.done()]
        tasks.append(task)  # type: ignore[arg-type]  # only read, so a Task[T] serves


def _is_of_leaving(error: object) -> bool:
    """Whether an error is that by which a run leaves memory, also in a group of a `TaskGroup`."""
    parts: tuple[object, ...] = getattr(error, "exceptions", ())
    return isinstance(error, Passivating) or any(_is_of_leaving(part) for part in parts)


def _callback_raised(loop: RunLoop, handle: Handle, error: BaseException) -> None:
    # asyncio re-raises these two after it has stored them in the task, where the run finds them:
    # user code that raises them must not stop the process.
    if not isinstance(error, SystemExit | KeyboardInterrupt):
        said = f"Exception in callback {handle!r}"
        loop.call_exception_handler({"message": said, "exception": error})


async def _awaited(awaitable: Awaitable[T]) -> T:
    # What has a `throw` of its own leaves that function's frame in an error's traceback, which
    # holds the loop's frame, and with that the task, which holds the error: a cycle.
    return await awaitable


stop_at(RunLoop.drain)


def _lay_aside(loop: RunLoop, turn: list[Handle]) -> list[Handle]:
    """Keep anyio's redelivery of cancellations for the next drain; return the other callbacks.

    A cancelled scope of anyio delivers again in each turn of the loop until its tasks have left.
    Around code that swallows that and waits, the loop would never come to rest.
    """
    kept = [handle for handle in turn if _is_redelivery(handle)]
    if not kept:
        return turn
    loop._laid_aside = [*(loop._laid_aside or ()), *kept]
    return [handle for handle in turn if not _is_redelivery(handle)]


def _is_redelivery(handle: Handle) -> bool:
    call: _Callback = handle._callback  # type: ignore[attr-defined]  # asyncio's
    return getattr(call, "__name__", "") == "_deliver_cancellation"


def _is_coroutine(work: object) -> TypeGuard[Coroutine[object, object, object]]:
    return type(work) is CoroutineType or isinstance(work, Coroutine)


def new_loop(owner: LoopOwner, *, salt: int, now: float) -> RunLoop:
    """Return the loop of a run."""
    # Typeshed calls AbstractEventLoop abstract; at run time its methods merely raise.
    made: Callable[..., RunLoop] = RunLoop
    return made(owner, salt=salt, now=now)


def _refuse(name: str) -> Callable[..., object]:
    advice = "move the call into a step"
    if name == "run_until_complete":  # what blocking faces of async functions call
        advice = "await the async function itself: `await agent.run(...)`, not agent.run_sync(...)"

    def refused(self: RunLoop, *args: object, **kwargs: object) -> object:
        raise NotDeterministic(f"loop.{name}()", advice)

    refused.__name__ = name
    return refused


_ALLOWED: Mapping[str, object] = vars(RunLoop)
for _name in dir(AbstractEventLoop):
    if not _name.startswith("_") and _name not in _ALLOWED:
        setattr(RunLoop, _name, _refuse(_name))
