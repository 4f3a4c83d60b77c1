"""What a client that has hung up no longer waits for is ended, with all that it has looked up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.types import Receive

from outlast._world import World

_LOOK_SECONDS = 0.05  # most are answered sooner, and cost no task more


class ClientGone(Exception):
    """The client has gone; no answer can reach it."""


@asynccontextmanager
async def while_connected(receive: Receive, world: World) -> AsyncGenerator[None]:
    """Do what is in this block as long as the client is there; its request is read already.

    Raises:
        ClientGone: it has hung up.
    """
    watching: list[asyncio.Task[None]] = []
    scope = asyncio.timeout(None)

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.reschedule(world.loop.time())

    def begin() -> None:
        watching.append(world.spawn(watch(), name="outlast-client"))

    timer = world.call_later(_LOOK_SECONDS, begin)
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise ClientGone from None
    finally:
        timer.cancel()
        for task in watching:
            task.cancel()
        if watching:
            await asyncio.wait(watching)
