"""Conditions that workflow code waits for: looked at again at every quiet moment of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.executing import run_inside


class Conditions:
    """The conditions of `wf.until` that are not true yet, in the order they were asked for."""

    __slots__ = ("_loop", "waiting")

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self.waiting: list[tuple[Callable[[], object], asyncio.Future[None]]] = []

    async def wait(self, condition: Callable[[], object]) -> None:
        """Return when `condition()` is true; it is called again after each delivered record."""
        if condition():
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self.waiting.append((condition, future))
        await future

    def __len__(self) -> int:
        return len(self.waiting)

    def check(self) -> bool:
        """Wake who waits for what is true now; say whether somebody was woken."""
        woken = False
        still: list[tuple[Callable[[], object], asyncio.Future[None]]] = []
        for condition, future in self.waiting:
            if future.done():
                continue
            if self._is_true(condition, future):
                woken = True
            else:
                still.append((condition, future))
        self.waiting = still
        return woken

    def _is_true(self, condition: Callable[[], object], future: asyncio.Future[None]) -> bool:
        try:
            if not run_inside(self._loop, condition):
                return False
        except Exception as error:  # noqa: BLE001  # raised where the code waits
            future.set_exception(error)
        else:
            future.set_result(None)
        return True
