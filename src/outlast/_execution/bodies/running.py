"""Running the bodies of steps: on the host loop, on a thread, or in a worker process.

Invariants:
  * whatever a body raises, up to SystemExit, is an outcome; nothing of it reaches the host loop;
  * the outcome is reported once, from a callback of the host loop, unless the body was stopped
    because it was no longer awaited;
  * a thread cannot be killed: it loses its slot only when it returns.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context, copy_context
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from types import CoroutineType
from typing import Protocol

from typing_extensions import TypeVarTuple

from outlast._execution.bodies.body import Body, BodySink
from outlast._execution.bodies.contained import Raised, contained
from outlast._execution.bodies.context import (
    MadeOnce,
    executing_step,
)
from outlast._execution.bodies.held import HeldOpen
from outlast._execution.bodies.starts import Starts
from outlast._execution.bodies.threads import Threads
from outlast._execution.bodies.time_limits import TimeLimits
from outlast._execution.calls.operations import StepOperation
from outlast._registry import NO_TIMEOUT, Function
from outlast._shapes import is_awaitable
from outlast._world import World
from outlast.errors import Shutdown, UsageError
from outlast.types import RunId

log = logging.getLogger("outlast.steps")
Ts = TypeVarTuple("Ts")


class ProcessRunner(Protocol):
    """Runs bodies in worker processes."""

    async def run(self, body: Body, began: Callable[[Body], None]) -> object:
        """Run the body in a worker; cancelling the call tells it, then kills that worker."""
        ...

    def shut_down(self) -> None:
        """Let the bodies at work know that the engine drains."""
        ...

    async def close(self) -> None:
        """End the workers."""
        ...


class Bodies:
    """All bodies at work in one engine."""

    def __init__(
        self,
        world: World,
        sink: BodySink,
        *,
        resources: Mapping[type[object], Callable[[], object]],
        processes: ProcessRunner | None,
        prepare: Callable[[], object],
        fakes: Mapping[str, Function],
    ) -> None:
        self._world = world
        self.sink = sink
        self._fakes = fakes  # by name: tests put other bodies in the place of real ones
        self.held: HeldOpen = HeldOpen(world)
        self.resources: MadeOnce = MadeOnce(dict(resources), self.held)
        self._processes = processes
        self._starts = Starts(world)
        self.limits: TimeLimits = TimeLimits(world, self._is_counted, self._finish)
        self._loop = world.loop
        self._abandoned: set[Body] = set()  # at work still: nothing else may hold their tasks
        self._over: list[Body] = []  # those of them whose end was not told
        self._outside = copy_context()  # of the engine: ends are told in none of a body's
        self._ambient = Context()  # what every body finds around it, copied for each
        self._ambient.run(prepare)
        self._prepare = prepare
        self._bodies: dict[tuple[RunId, str], Body] = {}
        self.threads: Threads = Threads(world)
        self._thread = threading.get_ident()
        self._is_closed = False
        self.around: list[Callable[[Body], None]] = []  # called in a body's context, before it

    def __len__(self) -> int:
        return len(self._bodies)

    # --------------------------------------------------------------------- starting
    def start(
        self, run: RunId, operation: StepOperation, *, fence: int, last_heartbeat: bytes | None
    ) -> None:
        """Begin an attempt; the sink is told when it is over."""
        definition = operation.definition
        attempt = operation.attempt + 1
        where = definition.where
        if where == "auto":
            where = "loop" if definition.is_async else "thread"
        fake = self._fakes.get(definition.name) if self._fakes else None
        if fake is not None:
            definition = replace(definition, fn=fake, is_async=iscoroutinefunction(fake))
        body = Body(
            run,
            operation.key,
            definition,
            operation.args,
            operation.kwargs,
            attempt,
            fence,
            operation.first_at,
            operation.queued_at,
            last_heartbeat,
            self,
            shutting_down=self._is_closed,
            operation=operation,
        )
        operation.ran_at = 0
        self._bodies[run, operation.key] = body
        around = operation.context
        ambient = self._ambient.copy() if around is None else _prepared(around, self._prepare)
        ambient.run(executing_step.set, body)
        for enter in self.around:
            ambient.run(enter, body)
        if where == "loop":
            operation.ran_at = body.began_at
            spawn = partial(self._world.spawn, name=body.key, context=ambient, is_owned=False)
            self._starts.add(lambda: spawn(self._run_on_loop(body)))
        else:
            self._start_elsewhere(body, ambient, is_thread=where == "thread" or fake is not None)
        if definition.timeout is not NO_TIMEOUT:
            self.limits.arm(body, is_at_work=where == "loop")

    def _start_elsewhere(self, body: Body, ambient: Context, *, is_thread: bool) -> None:
        # Begun by the task itself: one that is cancelled before has begun nothing.
        if is_thread or self._processes is None:
            begin = partial(self._call_on_thread, body, ambient)
        else:
            begin = partial(self._call_in_process, body, self._processes)
        body.task = self._world.spawn(
            self._report(body, begin),
            name=body.key,
            context=ambient,
            then=lambda: self._finish(body),
        )

    def _is_counted(self, body: Body) -> bool:
        """Whether this very attempt is waited for."""
        return self._bodies.get((body.run, body.key)) is body

    # --------------------------------------------------------------------- running
    async def _run_on_loop(self, body: Body) -> None:
        if body.is_over:
            return  # no longer awaited
        body.task = asyncio.current_task(self._loop)
        try:
            result = body.definition.fn(*body.args, **body.kwargs)
            if type(result) is CoroutineType or isinstance(result, Awaitable):
                body.value = await result
            else:
                body.value = result
        except BaseException as error:  # noqa: BLE001  # any exception of a body is its outcome
            body.error = self._error_of(body, error)
        self._over.append(body)
        if len(self._over) == 1:
            self._outside.run(self._world.call_soon, self._tell)

    def _tell(self) -> None:
        """Report those that have ended in this turn, outside of any task."""
        over, self._over = self._over, []
        now = self._world.now()
        for body in over:
            try:
                self._finish(body, now)
            except Exception:  # the others are over too, and must be heard of
                log.exception("what came of %s was not taken", body)
        self.sink.steps_ended()

    async def _report(self, body: Body, begin: Callable[[], Awaitable[object]]) -> None:
        try:
            body.value = await begin()
            if isinstance(body.value, Raised):
                body.error = body.value.error
        except BaseException as error:  # noqa: BLE001  # any exception of a body is its outcome
            body.error = self._error_of(body, error)

    def _error_of(self, body: Body, error: BaseException) -> BaseException:
        """A cancellation is ours after a timeout or in a shutdown, else the user's own failure."""
        if body.timed_out is not None:
            return body.timed_out
        if isinstance(error, asyncio.CancelledError) and self._is_closed:
            return Shutdown("the engine shut down")
        if isinstance(error, Shutdown) and not self._is_closed:
            return UsageError(f"the step raised Shutdown, which only the engine may raise: {error}")
        return error

    def _finish(self, body: Body, now: int | None = None) -> None:
        if body.is_abandoned:
            self._tell_late(body)
            self._abandoned.discard(body)
            body.task = body.error = body.made = None
            return
        body.is_over = True
        if body.task is not None:
            if body.task.done():
                body.task = None  # it holds the body in its context: a cycle
            else:
                self._abandoned.add(body)
        key = body.run, body.key
        if self._bodies.get(key) is body:
            del self._bodies[key]
        if body.definition.timeout is not NO_TIMEOUT:
            self.limits.disarm(body)
        self.sink.step_ended(body, self._world.now() if now is None else now)
        if body.timed_out is not None and body.error is body.timed_out and body.returned:
            self._tell_late(body)  # its thread returned between the timeout and this
        body.error = body.made = None  # a traceback, or `this_step()`, holds the body

    async def _call_on_thread(self, body: Body, ambient: Context) -> object:
        begun: asyncio.Future[None] = self._world.loop.create_future()
        body.begun = begun

        def call() -> object:
            self.on_loop(self._thread_began, body, begun)
            if body.definition.is_async:
                return asyncio.run(_as_coroutine(body))
            return body.definition.fn(*body.args, **body.kwargs)

        copy = ambient.copy()

        def work() -> object:
            returned = contained(copy, call)
            body.returned = [returned]
            if body.is_over:
                self.on_loop(self._tell_late, body)
            return returned

        returned = await self.threads.run(body, work)
        if not body.definition.is_async and is_awaitable(returned):
            return await returned  # of a lambda that calls a coroutine function, for one
        return returned

    def _tell_late(self, body: Body) -> None:
        """Report once the outcome of an abandoned body, unless it was only cut off."""
        outcome = body.take_late()
        if outcome is not None and not self._is_closed:
            self.sink.step_late(body, *outcome)

    async def _call_in_process(self, body: Body, processes: ProcessRunner) -> object:
        body.begun = self._world.loop.create_future()
        return await processes.run(body, self.process_began)

    def _thread_began(self, body: Body, begun: asyncio.Future[None]) -> None:
        if not begun.done():
            begun.set_result(None)
            self.limits.began(body)

    def process_began(self, body: Body) -> None:
        """A worker has taken the body."""
        if body.begun is not None and not body.begun.done():
            body.begun.set_result(None)
            self.limits.began(body)

    # -------------------------------------------------------------------- messages
    def is_at_work(self, run: RunId, key: str, attempt: int) -> bool:
        """Whether this very attempt is still the one that counts."""
        body = self._bodies.get((run, key))
        return body is not None and body.attempt == attempt and body.timed_out is None

    def on_loop(self, call: Callable[[*Ts], None], *args: *Ts) -> None:
        """Call on the host loop's thread: at once when we are on it."""
        if threading.get_ident() == self._thread:
            call(*args)
        else:
            self._world.call_soon_threadsafe(call, *args)

    def wait_for_room(self) -> None:
        """Block a step's thread while the writer's queue is full."""
        if threading.get_ident() == self._thread or not self.sink.is_full:
            return
        done = threading.Event()

        async def wait() -> None:
            await self.sink.room()
            done.set()

        self._world.call_soon_threadsafe(lambda: self._world.spawn(wait(), name="room"))
        done.wait()

    def beat(self, run: RunId, key: str, data: bytes) -> None:
        """A step is alive."""
        body = self._bodies.get((run, key))
        if body is not None:
            self.limits.heard(body)
            self.sink.step_heartbeat(run, key, data)

    # -------------------------------------------------------------------- stopping
    def stop(self, run: RunId, key: str) -> None:
        """Stop a body that is no longer awaited, and forget it."""
        body = self._bodies.pop((run, key), None)
        if body is None:
            return
        body.is_abandoned = body.is_over = body.cancelled = True
        if body.task is not None:
            self._abandoned.add(body)
            body.task.cancel()

    def stop_run(self, run: RunId) -> None:
        """The same for every body of a run."""
        for owner, key in [k for k in self._bodies if k[0] == run]:
            self.stop(owner, key)

    async def drain(self, grace: float) -> None:
        """Let bodies that do more than wait finish for `grace` seconds; `Shutdown` ends others."""
        for body in self._bodies.values():
            body.shutting_down = True
        if self._processes is not None:
            self._processes.shut_down()
        ends = self._world.monotonic() + grace
        while self.are_working and (left := ends - self._world.monotonic()) > 0:
            if self._over or any(body.task is None for body in self._bodies.values()):
                await self._world.pass_turn()
                continue
            tasks = [b.task for b in self._bodies.values() if b.task is not None]
            timer: asyncio.Future[None] = self._world.loop.create_future()
            handle = self._world.call_later(left, _wake, timer)
            await asyncio.wait([*tasks, timer], return_when=asyncio.FIRST_COMPLETED)
            handle.cancel()
        self._is_closed = True
        tasks = [b.task for b in self._bodies.values() if b.task is not None]
        for body in list(self._bodies.values()):
            body.cancelled = True
            if body.task is not None:
                body.task.cancel()
            else:
                body.error = Shutdown("the engine shut down")
                self._finish(body)  # it had not begun
        if tasks:
            await asyncio.wait(tasks)

    @property
    def are_working(self) -> bool:
        """Whether one does more than wait for another run, or for the engine."""
        return any(not (b.definition.is_wait or b.only_waits) for b in self._bodies.values())

    async def close(self) -> None:
        """End workers, and close what steps have opened; threads die with the process."""
        self._is_closed = True
        await self.held.close()
        if self._processes is not None:
            await self._processes.close()
        self.threads.close()


def _prepared(context: Context, prepare: Callable[[], object]) -> Context:
    copy = context.copy()
    copy.run(prepare)
    return copy


async def _as_coroutine(body: Body) -> object:
    return await body.definition.fn(*body.args, **body.kwargs)  # type: ignore[misc]  # is_async


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
