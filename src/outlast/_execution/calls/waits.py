"""What the code of a run waits for without asking anybody: the clock, and a condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from outlast._execution.calls.run_calls import RunCalls
from outlast._execution.loop.event_loop import RunLoop
from outlast._wording.durations import text_of
from outlast._wording.source_lines import calling_place
from outlast._world import within


class Waits:
    """The waits of one run."""

    __slots__ = ("_calls", "_loop")

    def __init__(self, loop: RunLoop, calls: RunCalls) -> None:
        self._loop = loop
        self._calls = calls

    async def sleep(self, seconds: float) -> None:
        """Sleep durably; always one record, also for zero."""
        future: asyncio.Future[None] = self._loop.create_future()
        when = self._loop.now + max(0.0, seconds)
        handle = asyncio.TimerHandle(when, _finish, (future,), self._loop)
        self._loop.add_timer(handle, "sleep", place=calling_place())
        try:
            await future
        finally:
            handle.cancel()

    async def until(self, condition: Callable[[], object], seconds: float | None) -> None:
        """Wait until `condition()` is true; it is looked at after every record of the run.

        Raises:
            WaitTimeout: it did not become true in time.
        """
        conditions = self._calls.conditions
        if seconds is None:
            await conditions.wait(condition)
            return
        message = f"the condition was not true within {text_of(seconds)}"
        await within(conditions.wait(condition), seconds, message)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
