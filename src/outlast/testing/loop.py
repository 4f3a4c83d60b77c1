"""An event loop with a virtual clock, where a seed decides who runs next.

Several simulated machines (nodes) share one loop. Within a node callbacks run in the order in
which they were scheduled, as asyncio promises; between nodes the seed chooses. Time moves only
when nothing is runnable, and then straight to the next timer.

A crash drops everything a node has scheduled, without running a `finally`: what SIGKILL does.
Python itself would run it when it frees the code, at any moment and in any context. Therefore the
loop holds all code until it is disposed of, and closes it then, each task in its own context.

Invariants:
  * the same seed and the same code make the same choices, in every process (see `trace`);
  * a handle belongs to the node in whose context it was scheduled;
  * what is dropped, by a crash or at the end, reports nothing to the process.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import sys
import zlib
from asyncio import AbstractEventLoop, Handle, Task, TimerHandle
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import TypeVar
from weakref import ref

from typing_extensions import TypeVarTuple, Unpack, override

from outlast._execution.loop.generator_hooks import HERE, GeneratorHooks

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CLOSE_TRIES = 10  # code may wait again while it is closed; then it is dropped
_PRUNED_FROM = 256

node_of_context: ContextVar[str] = ContextVar("node_of_context", default="client")


def new_sim_loop(seed: int) -> SimLoop:
    """Return a loop for one simulation."""
    # Typeshed calls AbstractEventLoop abstract; at run time its methods merely raise.
    made: Callable[[int], SimLoop] = SimLoop
    return made(seed)


class Deadlock(Exception):
    """Nothing is runnable, nothing is due, and what was waited for has not happened."""


class Dropped(BaseException):
    """What code leaves by that a crash or the end of the simulation drops.

    Python's own `GeneratorExit` closes the innermost coroutine only once: if that waits again, all
    around it is left, and it stays behind.
    """


class SimLoop(AbstractEventLoop):
    """The loop of one simulation."""

    has_threads: bool = False  # nothing that a thread did would be part of the trace

    def __init__(self, seed: int, *, begins_at: float = 1_800_000_000.0) -> None:
        self.seed: int = seed
        self.rng: random.Random = random.Random(seed)
        self.trace: int = 0
        self.steps: int = 0
        self._now = begins_at
        self._ready: dict[str, deque[Handle]] = {}
        self._timers: list[tuple[float, int, TimerHandle, str]] = []
        self._timers_made = 0
        self._dead: set[str] = set()
        self._paused: dict[str, float] = {}
        self._graveyard: list[object] = []
        self._begun: list[_Begun] = []  # the code of tasks, but for most of those that have ended
        self._pruned_at = _PRUNED_FROM
        self._hooks = GeneratorHooks()  # of the simulated runs: they outlast the thread's loop
        self._is_over = False
        self.unhandled: list[dict[str, object]] = []

    # --------------------------------------------------------- what asyncio needs of a loop
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
        return self._now

    @override
    def create_future(self) -> asyncio.Future[T]:
        return asyncio.Future(loop=self)

    @override
    def create_task(
        self,
        coro: Generator[object, None, T] | Coroutine[object, object, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> Task[T]:
        if isinstance(coro, Generator) and not isinstance(coro, Coroutine):
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        context = copy_context() if context is None else context
        task: Task[T] = Task(coro, loop=self, name=name, context=context)
        if len(self._begun) >= self._pruned_at:
            self._begun = [begun for begun in self._begun if begun.is_open]
            self._pruned_at = max(_PRUNED_FROM, 2 * len(self._begun))
        held: Task[object] = task
        self._begun.append(_Begun(held, coro, context))
        return task

    @override
    def get_task_factory(self) -> None:
        return None

    @override
    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        context = copy_context() if context is None else context
        handle = Handle(callback, args, self, context)
        self._push(context.get(node_of_context, "client"), handle)
        return handle

    @override
    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        return self.call_soon(callback, *args, context=context)

    @override
    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    @override
    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        context = copy_context() if context is None else context
        handle = TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        node = context.get(node_of_context, "client")
        heapq.heappush(self._timers, (when, self._timers_made, handle, node))
        return handle

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Called by asyncio; dropped when it comes to the top."""

    @override
    def call_exception_handler(self, context: dict[str, object]) -> None:
        if not self._is_over:
            self.unhandled.append(context)

    # --------------------------------------------------------------------------- driving
    def _push(self, node: str, handle: Handle) -> None:
        if node in self._dead:
            self._graveyard.append(handle)
            return
        if self._is_over:
            return
        queue = self._ready.get(node)
        if queue is None:
            queue = self._ready[node] = deque()
        queue.append(handle)

    def crash(self, node: str) -> None:
        """Drop everything that a node has scheduled or will schedule."""
        self._dead.add(node)
        self._graveyard.append(self._ready.pop(node, None))
        self._note(f"crash {node}")

    def drive(self, until: Callable[[], bool], *, steps_max: int, now_max: float) -> None:
        """Run until `until()`; call this from no task.

        Raises:
            Deadlock: it cannot happen any more, or not within the bounds.
        """
        with self._running():
            while not until():
                if not self._turn(now_max):
                    raise Deadlock("nothing is runnable and nothing is due")
                self.steps += 1
                if self.steps > steps_max:
                    raise Deadlock(f"not done after {steps_max:,} steps of the loop")

    @contextmanager
    def _running(self) -> Generator[None]:
        """Be the thread's loop, to which async generators belong that are started meanwhile."""
        outer = asyncio._get_running_loop()  # documented for loop implementers
        outer_hooks, HERE.hooks = HERE.hooks, self._hooks
        firstiter, finalizer = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._generator_dropped)
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(outer)
            HERE.hooks = outer_hooks
            sys.set_asyncgen_hooks(firstiter=firstiter, finalizer=finalizer)

    def _generator_dropped(self, generator: AsyncGenerator[object, object]) -> None:
        """Close a generator at once: in a task of its own, the collector would be in the trace."""
        if self._is_over:
            return  # it never runs again
        closing = generator.aclose()
        try:
            closing.send(None)
            for _ in range(_CLOSE_TRIES):
                closing.throw(Dropped())
        except BaseException:  # noqa: BLE001  # it is closed, or what its code raised meanwhile
            return

    def _turn(self, now_max: float) -> bool:
        if not self._ready:
            return self._advance(now_max)
        nodes = (
            [n for n in self._ready if n not in self._paused] if self._paused else [*self._ready]
        )
        if not nodes:
            return self._advance(now_max)
        node = nodes[self.rng.randrange(len(nodes))] if len(nodes) > 1 else nodes[0]
        queue = self._ready[node]
        handle = queue.popleft()
        if not queue:
            del self._ready[node]
        if not handle.cancelled():
            self._note(node)
            try:
                handle._run()  # the loop's half of asyncio's own contract
            except (SystemExit, KeyboardInterrupt) as error:
                self.unhandled.append({"exception": error})
        return True

    def pause(self, node: str, seconds: float) -> None:
        """Let nothing of a node run for a while, as SIGSTOP or a sleeping laptop do."""
        self._paused[node] = self._now + seconds
        self._note(f"pause {node}")
        self.call_later(seconds, self._paused.pop, node, None, context=Context())

    def _advance(self, now_max: float) -> bool:
        while self._timers:
            when, _, handle, node = heapq.heappop(self._timers)
            if handle.cancelled():
                continue
            if node in self._dead:
                self._graveyard.append(handle)
                continue
            if when > now_max:
                raise Deadlock("the virtual time allowed for this has run out")
            self._now = max(self._now, when)
            self._push(node, handle)
            return True
        return False

    def _note(self, what: str) -> None:
        line = f"{what}@{self._now:.6f}".encode()
        self.trace = zlib.crc32(line, self.trace)

    def note(self, what: str) -> None:
        """Let something count for the trace hash."""
        self._note(what)

    def dispose(self, leave: Callable[[], None]) -> None:
        """Call `leave`, then let go of what nodes have left; call this from no task."""
        self._is_over = True
        with self._running():
            leave()
            while self._begun:
                self._begun.pop().close(self)  # the innermost first
        self._graveyard.clear()
        self._ready.clear()
        self._timers.clear()


class _Begun:
    """The code of a task, which is closed as the task itself would run it."""

    __slots__ = ("_code", "_context", "_task")

    def __init__(
        self,
        task: Task[object],
        code: Generator[object, None, object] | Coroutine[object, object, object],
        context: Context,
    ) -> None:
        self._task: ref[Task[object]] = ref(task)
        self._code = code
        self._context = context

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended, or not begun."""
        return getattr(self._code, "cr_frame", None) is not None

    def close(self, loop: SimLoop) -> None:
        """Have it leave what it is in; what it awaits meanwhile never comes."""
        task = self._task()
        if task is None or task.done():
            self._code.close()
            return
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own way
        asyncio.tasks._enter_task(loop, task)  # documented for task implementers
        try:
            for _ in range(_CLOSE_TRIES):
                self._context.run(self._code.throw, Dropped())
        except BaseException:  # noqa: BLE001  # it has ended, or what its code raised meanwhile
            return
        finally:
            asyncio.tasks._leave_task(loop, task)
