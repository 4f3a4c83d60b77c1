"""An event loop with a virtual clock, where a seed decides who runs next.

Several simulated machines (nodes) share one loop. Within a node callbacks run in the order in
which they were scheduled, as asyncio promises; between nodes the seed chooses. Time moves only
when nothing is runnable, and then straight to the next timer.

A crash drops everything a node has scheduled, without running a `finally`: what SIGKILL does.

Invariants:
  * the same seed and the same code make the same choices, in every process (see `trace`);
  * a handle belongs to the node in whose context it was scheduled.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import zlib
from asyncio import AbstractEventLoop, Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import TypeVar

from typing_extensions import TypeVarTuple, Unpack, override

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

node_of_context: ContextVar[str] = ContextVar("node_of_context", default="client")


def new_sim_loop(seed: int) -> SimLoop:
    """Return a loop for one simulation."""
    # Typeshed calls AbstractEventLoop abstract; at run time its methods merely raise.
    made: Callable[[int], SimLoop] = SimLoop
    return made(seed)


class Deadlock(Exception):
    """Nothing is runnable, nothing is due, and what was waited for has not happened."""


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
        return Task(coro, loop=self, name=name, context=context)

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
        self.unhandled.append(context)

    # --------------------------------------------------------------------------- driving
    def _push(self, node: str, handle: Handle) -> None:
        if node in self._dead:
            self._graveyard.append(handle)
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
        outer = asyncio._get_running_loop()  # documented for loop implementers
        asyncio._set_running_loop(self)
        try:
            while not until():
                if not self._turn(now_max):
                    raise Deadlock("nothing is runnable and nothing is due")
                self.steps += 1
                if self.steps > steps_max:
                    raise Deadlock(f"not done after {steps_max:,} steps of the loop")
        finally:
            asyncio._set_running_loop(outer)

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

    def dispose(self) -> None:
        """Let go of what crashed nodes left, once nothing runs any more."""
        self._graveyard.clear()
        self._ready.clear()
        self._timers.clear()
