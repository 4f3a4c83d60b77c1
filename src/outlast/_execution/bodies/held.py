"""What steps have open: connections and processes that live on the host loop.

Each is opened by the first step that asks for it, and held by a task of its own, which also closes
it: what is entered in one task cannot be left in another. It is of a run, and closed when the run
ends or leaves memory, or of the engine.

Invariants:
  * a run that only replays opens nothing;
  * one opening serves all who ask meanwhile; one that fails is tried again by who asks next;
  * nothing is left open when the engine has closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from typing import TypeVar

from outlast import limits
from outlast._world import World
from outlast.errors import EngineClosed

log = logging.getLogger("outlast.steps")
T = TypeVar("T")

Open = Callable[[], AbstractAsyncContextManager[T]]


class _Held:
    """One that is open, or about to be."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready: asyncio.Future[object] = loop.create_future()
        self.stop: asyncio.Future[None] = loop.create_future()
        self.task: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Have its task close it."""
        if not self.stop.done():
            self.stop.set_result(None)


class HeldOpen:
    """All that the steps of one engine have open, by owner (a run's id, or "" for the engine)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._owned: dict[str, dict[str, _Held]] = {}
        self._closing: set[_Held] = set()
        self._is_closed = False

    async def get(self, owner: str, key: str, opened: Open[T]) -> T:
        """Return what is open under a key, opening it first if need be.

        Raises:
            EngineClosed: the engine is closing.
            Exception: what opening it raised.
        """
        if self._is_closed:
            raise EngineClosed("the engine is closing: nothing more is opened")
        held = self._owned.setdefault(owner, {}).get(key)
        if held is None:
            held = self._owned[owner][key] = _Held(self._world.loop)
            # In a context of its own: it outlives the step that asked first.
            held.task = self._world.spawn(
                self._hold(owner, key, held, opened), name=f"outlast-open {key}", context=Context()
            )
        value: object = await asyncio.shield(held.ready)
        return value  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # of key

    def release(self, owner: str) -> None:
        """Close what an owner has open; the tasks that hold it do so in the background."""
        for held in self._owned.pop(owner, {}).values():
            self._closing.add(held)
            held.close()

    async def close(self) -> None:
        """Close everything, and wait until it is closed."""
        self._is_closed = True
        for owner in list(self._owned):
            self.release(owner)
        tasks = [held.task for held in self._closing if held.task is not None]
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=limits.DRAIN_FLUSH_SECONDS)
        for task in left:
            log.warning("%s did not close within %s s", task.get_name(), limits.DRAIN_FLUSH_SECONDS)
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _hold(self, owner: str, key: str, held: _Held, opened: Open[T]) -> None:
        try:
            async with opened() as value:
                held.ready.set_result(value)
                await held.stop
        except Exception as error:
            if not held.ready.done():
                held.ready.set_exception(error)
                held.ready.exception()  # looked at: whoever asked may have gone
            elif held.stop.done():
                log.exception("closing %s failed", key)
        finally:
            if not held.ready.done():
                held.ready.cancel()
            self._closing.discard(held)
            mine = self._owned.get(owner, {})
            if mine.get(key) is held:
                del mine[key]
            if owner in self._owned and not mine:
                del self._owned[owner]
