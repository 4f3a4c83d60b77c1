"""A world whose time, chance and threads are decided by a seed."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import TypeVar

from typing_extensions import TypeVarTuple, Unpack, override

from outlast._world import Ticker, Timer, World, format_uuid7
from outlast.testing.loop import SimLoop, node_of_context

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _SimTicker:
    def __init__(self, world: SimWorld, seconds: float, work: Callable[[], None]) -> None:
        self._world = world
        self._seconds = seconds
        self._work = work
        self._is_stopped = False
        self._timer: Timer = world.call_later(seconds, self._tick)

    def _tick(self) -> None:
        if not self._is_stopped:
            self._work()
            self._timer = self._world.call_later(self._seconds, self._tick)

    def stop(self) -> None:
        self._is_stopped = True
        self._timer.cancel()


class _SimWatch:
    def __init__(
        self, watching: list[Callable[[float], None]], jumped: Callable[[float], None]
    ) -> None:
        self._watching = watching
        self._jumped = jumped

    def stop(self) -> None:
        if self._jumped in self._watching:
            self._watching.remove(self._jumped)


class SimWorld(World):
    """The world as one simulated machine sees it; `skew` is what its wall clock is wrong by.

    `jump` sets the wall clock ahead or back while the machine runs.
    """

    def __init__(self, loop: SimLoop, node: str, *, skew: float = 0.0) -> None:
        self._loop = loop
        self.node = node
        self.skew: float = skew
        self._steady: float = skew  # the largest so far: `now` never goes back
        self._watching: list[Callable[[float], None]] = []
        self.tasks: set[asyncio.Task[object]] = set()
        self._seeds = 0
        self._context = Context()
        self._context.run(node_of_context.set, node)

    @property
    @override
    def loop(self) -> SimLoop:
        return self._loop

    @property
    @override
    def rng(self) -> random.Random:
        return self._loop.rng

    @override
    def now(self) -> int:
        return int((self._loop.time() + self._steady) * 1e6)

    @override
    def watch_clock(self, jumped: Callable[[float], None]) -> Ticker:
        self._watching.append(jumped)
        return _SimWatch(self._watching, jumped)

    def jump(self, seconds: float) -> None:
        """Set the wall clock ahead, or back; the engine notices within two seconds."""
        self.skew += seconds
        self._steady = max(self._steady, self.skew)
        for jumped in list(self._watching):
            self.call_later(self.rng.random() * 2.0, jumped, seconds)

    @override
    def monotonic(self) -> float:
        return self._loop.time()

    @override
    def new_id(self) -> str:
        return format_uuid7(int(self._loop.time() * 1000), self._loop.rng.getrandbits(74))

    @override
    def new_seed(self) -> bytes:
        # Not from `rng`: what a seed explores must not change with how much chance is drawn.
        self._seeds += 1
        return hashlib.sha256(f"{self._loop.seed}/{self.node}/{self._seeds}".encode()).digest()

    @override
    def spawn(
        self,
        coro: Coroutine[object, object, T],
        *,
        name: str,
        context: Context | None = None,
        then: Callable[[], None] | None = None,
        is_owned: bool = True,
    ) -> asyncio.Task[T]:
        context = copy_context() if context is None else context
        context.run(node_of_context.set, self.node)
        task = self._loop.create_task(coro, name=name, context=context)
        self.tasks.add(task)

        def ended(_: asyncio.Task[T]) -> None:
            self.tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._loop.unhandled.append({"task": task.get_name(), "exception": error})
            if then is not None:
                then()

        task.add_done_callback(ended, context=self._context)
        return task

    @override
    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        self._loop.call_soon(callback, *args, context=self._context)

    @override
    def call_soon_threadsafe(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        self._loop.call_soon(callback, *args, context=self._context)

    @override
    def call_later(
        self, seconds: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts
    ) -> Timer:
        return self._loop.call_later(max(0.0, seconds), callback, *args, context=self._context)

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
        """Run `work` inline, after the time that a thread might have taken."""
        future: asyncio.Future[T] = self._loop.create_future()

        def finish() -> None:
            if future.done():
                return
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001  # raised at the caller's await
                future.set_exception(error)

        self._loop.call_later(self.rng.random() * 0.01, finish, context=self._context)
        return future

    @override
    def every(self, seconds: float, work: Callable[[], None], *, name: str) -> Ticker:
        return _SimTicker(self, seconds, work)
