"""Whether the owner of a database still answers: one that is stopped accepts, and says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from outlast import limits
from outlast._wording.plurals import counted
from outlast._world import World
from outlast.client.connection import Connections
from outlast.errors import OutlastError


class Pulse:
    """Asks the owner whether it lives, once for all who have waited for it for a while."""

    def __init__(self, owner: Connections, world: World) -> None:
        self._owner = owner
        self._world = world
        self._asking: asyncio.Task[bool] | None = None

    @asynccontextmanager
    async def while_alive(self) -> AsyncGenerator[None]:
        """Do what is in this block as long as the owner answers, be it that it lives and no more.

        Raises:
            StoreUnavailable: it has not for `SOCKET_SILENCE_SECONDS`.
        """
        pause = limits.SOCKET_SILENCE_SECONDS / 2
        watching: list[asyncio.Task[None]] = []
        scope = asyncio.timeout(None)

        async def watch() -> None:
            while await self._is_alive():
                await self._world.sleep(pause)
            scope.reschedule(self._world.loop.time())

        def begin() -> None:
            watching.append(self._world.spawn(watch(), name="outlast-owner"))

        timer = self._world.call_later(pause, begin)
        try:
            async with scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            silence = counted(limits.SOCKET_SILENCE_SECONDS, "second")
            error = TimeoutError(f"the event loop has not responded for {silence}")
            raise self._owner.unreachable(error) from None
        finally:
            timer.cancel()
            for task in watching:
                task.cancel()
            if watching:
                await asyncio.wait(watching)

    async def _is_alive(self) -> bool:
        if self._asking is None:
            self._asking = self._world.spawn(self._ask(), name="outlast-pulse")
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        try:
            async with (
                asyncio.timeout(limits.SOCKET_SILENCE_SECONDS / 2),
                self._owner.pass_on("GET", "/healthz", {}, b""),
            ):
                return True
        except (TimeoutError, OutlastError):
            return False
        finally:
            self._asking = None
