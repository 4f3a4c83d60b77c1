"""Bodies on the host loop, one after another in one task for as long as none of them suspends.

Most bodies that are at hand when a turn begins return without waiting for anything, and a task
for each would cost more than what they do. One that suspends keeps the task that it is in, as
though it had been made for it, and another task drives the rest. So `asyncio.current_task()`,
`asyncio.timeout` and everything else that goes by the task are right while a body waits; context
variables are each body's own from its first line on.

Invariants:
  * bodies begin in the order in which they were added;
  * what waits in a task is one body, and nothing else is in that task until it has ended;
  * a task that a body has cancelled is used for no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine

from outlast._execution.bodies.body import Body
from outlast._world import World

log = logging.getLogger("outlast.steps")
Work = Callable[[Body], Coroutine[object, object, None]]


class BodyDriver:
    """Drives bodies with `work`; `ended` is told of those that are over, in a plain callback."""

    def __init__(self, world: World, work: Work, ended: Callable[[Body], None]) -> None:
        self._world = world
        self._work = work
        self._ended = ended
        self._waiting: deque[tuple[Body, Context]] = deque()
        self._over: list[Body] = []
        self._idle: asyncio.Future[None] | None = None  # of a task that has nothing to drive
        self._task: asyncio.Task[None] | None = None  # the one that drives what is added
        self._is_awake = False  # a task drives, or is about to
        self._is_closed = False

    def add(self, body: Body, context: Context) -> None:
        """Have a body begin in the next turn of the loop."""
        self._waiting.append((body, context))
        if not self._is_awake:
            self._wake()

    @property
    def is_behind(self) -> bool:
        """Whether a body has not begun, or its end was not told."""
        return bool(self._waiting or self._over)

    async def close(self) -> None:
        """End the task that has nothing to drive."""
        self._is_closed = True
        task, self._task = self._task, None
        if task is not None and self._idle is not None:
            task.cancel()
            await asyncio.wait([task])

    def _wake(self) -> None:
        self._is_awake = True
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        else:
            self._world.spawn(self._drive(), name="outlast-steps")

    async def _drive(self) -> None:
        # Not where it is spawned: with an eager task factory it is driving by then, or is taken.
        self._task = task = asyncio.current_task()
        while True:
            while self._waiting:
                body, context = self._waiting.popleft()
                if body.is_over:
                    continue  # nobody waits for it any more
                body.task = task
                work = self._work(body)
                try:
                    awaited = context.run(work.send, None)
                except StopIteration:
                    pass  # it has waited for nothing
                else:
                    self._suspended(body)
                    await _rest_of(work, awaited, context)
                self._over.append(body)
                if len(self._over) == 1:
                    self._world.call_soon(self._tell)
                if self._task is not task:
                    return  # it suspended, and another task drives the rest
                if task is not None and task.cancelling():
                    self._give_up()
                    return
            self._is_awake = False
            if self._is_closed:
                return
            self._idle = self._world.loop.create_future()
            try:
                await self._idle
            except asyncio.CancelledError:
                # By code that has kept the task of a body which has ended: others go on.
                self._idle = None
                if self._task is task:
                    self._give_up()
                raise
            self._idle = None

    def _suspended(self, body: Body) -> None:
        if body.task is not None:
            body.task.set_name(body.key)
        self._give_up()

    def _give_up(self) -> None:
        """The present task is taken; another one drives what waits, now or later."""
        self._task = None
        self._is_awake = False
        if self._waiting:
            self._wake()

    def _tell(self) -> None:
        over, self._over = self._over, []
        for body in over:
            try:
                self._ended(body)
            except Exception:  # the others are over too, and must be heard of
                log.exception("what came of %s was not taken", body)


@coroutine
def _rest_of(
    work: Coroutine[object, object, None], awaited: object, context: Context
) -> Generator[object, object, None]:
    """Run a body that waits to its end, in its own context."""
    try:
        while True:
            try:
                value = yield awaited
            except GeneratorExit:
                context.run(work.close)
                raise
            except BaseException as error:  # noqa: BLE001  # it is the body's to handle
                awaited = context.run(work.throw, error)
            else:
                awaited = context.run(work.send, value)
    except StopIteration:
        return
