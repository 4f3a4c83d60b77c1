"""The one door to time, chance, ids, tasks and threads.

The engine never asks the operating system for these; it asks a `World` that it was given. The
real one is here. Simulation has another, where a seed decides everything (`outlast.testing`).

Invariants:
  * every task has an owner: `spawn` keeps it referenced until it ends and reports its error;
  * `now` is wall-clock time in microseconds. It jumps ahead with the wall clock and never goes
    back: set back, the wall clock is ignored until it has caught up, so that what waits in this
    process is not delayed by that;
  * `monotonic` never jumps.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import logging
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from typing_extensions import TypeVarTuple, Unpack, override

from outlast.errors import WaitTimeout

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logging.getLogger("outlast")

_CLOCK_LOOK_SECONDS = 2.0  # so late is at most what a jump of the wall clock has made due
_CLOCK_JUMP_SECONDS = 0.5
_urandom = os.urandom  # before `guards` puts its own in place: workflow code starts children, too


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Let it never happen."""
        ...


class Ticker(Protocol):
    """A call that repeats until stopped."""

    def stop(self) -> None:
        """Stop it; returns when it does not run any more."""
        ...


class World(Protocol):
    """What the engine may know of the outside."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The host loop; its futures are what the engine waits on."""
        ...

    @property
    def rng(self) -> random.Random:
        """Chance."""
        ...

    def now(self) -> int:
        """Return the wall-clock time in microseconds since 1970; it never goes back."""
        ...

    def watch_clock(self, jumped: Callable[[float], None]) -> Ticker:
        """Call `jumped` with the seconds by which the wall clock has jumped, soon after it has."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps."""
        ...

    def new_id(self) -> str:
        """Return a new id that sorts by the time it was made."""
        ...

    def new_seed(self) -> bytes:
        """Return 32 bytes of chance that a generator can be seeded with."""
        ...

    def spawn(
        self,
        coro: Coroutine[object, object, T],
        *,
        name: str,
        context: contextvars.Context | None = None,
        then: Callable[[], None] | None = None,
        is_owned: bool = True,
    ) -> asyncio.Task[T]:
        """Run a task that this world owns; `then` is called, outside any task, when it ended.

        One that is not owned keeps itself referenced while it waits, and raises nothing.
        """
        ...

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        """Call from the host loop, outside any task."""
        ...

    def call_soon_threadsafe(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        """The same, from another thread."""
        ...

    def call_later(
        self, seconds: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts
    ) -> Timer:
        """Call from the host loop after `seconds`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...

    async def pass_turn(self) -> None:
        """Let other tasks run."""
        ...

    def run_blocking(
        self, work: Callable[[], T], *, pool: ThreadPoolExecutor | None = None
    ) -> asyncio.Future[T]:
        """Run `work` on a thread."""
        ...

    def every(self, seconds: float, work: Callable[[], None], *, name: str) -> Ticker:
        """Call `work` every `seconds` on a thread of its own."""
        ...


class _ThreadTicker:
    def __init__(self, seconds: float, work: Callable[[], None], name: str) -> None:
        self._stopped = threading.Event()
        self._seconds = seconds
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._work()
            except Exception:  # a ticker must survive one bad round, and say so
                log.exception("a round of %s failed", self._thread.name)

    def stop(self) -> None:
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()


def seeded(seed: bytes) -> random.Random:
    """Return a generator whose draws follow from `seed`, in every process and Python."""
    return random.Random(hashlib.sha256(seed).digest())


def random_of(text: str) -> random.Random:
    """Return the generator of a place in workflow code: what journals say of it follows from it."""
    return random.Random(text)


async def within(work: Awaitable[T], seconds: float, message: str) -> T:
    """Await `work` for at most `seconds`.

    Raises:
        WaitTimeout: with `message`, when the time ran out; what was waited for goes on.
    """
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            return await work
    except TimeoutError:
        if not clock.expired():
            raise
        raise WaitTimeout(message) from None


class _ClockWatch:
    """Looks at both clocks every few seconds: a suspended machine, or a clock that was set."""

    def __init__(self, loop: asyncio.AbstractEventLoop, jumped: Callable[[float], None]) -> None:
        self._loop = loop
        self._jumped = jumped
        self._offset = _clock_offset()
        self._timer = loop.call_later(_CLOCK_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = self._loop.call_later(_CLOCK_LOOK_SECONDS, self._look)
        before, self._offset = self._offset, _clock_offset()
        seconds = (self._offset - before) / 1e6
        if abs(seconds) >= _CLOCK_JUMP_SECONDS:
            self._jumped(seconds)

    def stop(self) -> None:
        self._timer.cancel()


def _clock_offset() -> int:
    # The wall clock first: a pause between the two must not make it look further ahead.
    wall = time.time_ns() // 1000
    return wall - time.monotonic_ns() // 1000


class RealWorld(World):
    """The world of production: the running event loop and the operating system."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random()
        self._tasks: set[asyncio.Task[object]] = set()
        self._last_id = 0
        self._offset = _clock_offset()  # the largest so far of the wall clock to the monotonic one

    @property
    @override
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @property
    @override
    def rng(self) -> random.Random:
        return self._rng

    @override
    def now(self) -> int:
        wall = time.time_ns() // 1000
        elapsed = time.monotonic_ns() // 1000
        if wall - elapsed > self._offset:
            self._offset = wall - elapsed
        return elapsed + self._offset

    @override
    def watch_clock(self, jumped: Callable[[float], None]) -> Ticker:
        return _ClockWatch(self._loop, jumped)

    @override
    def monotonic(self) -> float:
        return time.monotonic()

    @override
    def new_id(self) -> str:
        return format_uuid7(self._next_id_time(), self._rng.getrandbits(74))

    @override
    def new_seed(self) -> bytes:
        return _urandom(32)

    def _next_id_time(self) -> int:
        # Ids of one process ascend even when the clock stands still or steps back.
        self._last_id = max(self._last_id, time.time_ns() // 1_000_000)
        return self._last_id

    @override
    def spawn(
        self,
        coro: Coroutine[object, object, T],
        *,
        name: str,
        context: contextvars.Context | None = None,
        then: Callable[[], None] | None = None,
        is_owned: bool = True,
    ) -> asyncio.Task[T]:
        if not is_owned:
            # Not by the loop's factory: an eager one would run it here and now.
            return asyncio.Task(coro, loop=self._loop, name=name, context=context)
        task = self._loop.create_task(coro, name=name, context=context)
        self._tasks.add(task)

        def ended(_: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            report_task_error(task)
            if then is not None:
                then()

        task.add_done_callback(ended)
        return task

    @override
    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        self._loop.call_soon(callback, *args)

    @override
    def call_soon_threadsafe(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        self._loop.call_soon_threadsafe(callback, *args)

    @override
    def call_later(
        self, seconds: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts
    ) -> Timer:
        return self._loop.call_later(max(0.0, seconds), callback, *args)

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @override
    async def pass_turn(self) -> None:
        await asyncio.sleep(0)

    @override
    def run_blocking(
        self, work: Callable[[], T], *, pool: ThreadPoolExecutor | None = None
    ) -> asyncio.Future[T]:
        return self._loop.run_in_executor(pool, work)

    @override
    def every(self, seconds: float, work: Callable[[], None], *, name: str) -> Ticker:
        return _ThreadTicker(seconds, work, name)


def report_task_error(task: asyncio.Task[T]) -> None:
    """Log the error of a task that ended by one; retrieving it keeps asyncio from logging twice."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.debug("task %s ended with %r", task.get_name(), error)


def format_uuid7(milliseconds: int, chance: int) -> str:
    """Return a UUID of version 7 (RFC 9562): 48 bits of time, 74 of chance."""
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    value = (
        (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def memory_bytes(pid: int | None = None) -> int:
    """Return how much memory a process, ours, has in use; 0 where the system does not say."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def process_id() -> int:
    """Return this process's id: an engine used after a fork must notice."""
    return os.getpid()


def entropy(bits: int) -> int:
    """Return unguessable bits."""
    return int.from_bytes(os.urandom((bits + 7) // 8), "big") >> (-bits % 8)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop of uvloop, None without it."""
    try:
        import uvloop
    except ImportError:  # nothing is run here: it would be the context of all that is raised
        return None
    return uvloop.new_event_loop
