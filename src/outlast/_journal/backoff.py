"""The pauses between tries of a store that takes no writes now."""

from __future__ import annotations

from asyncio import Future

from outlast import limits
from outlast._world import World


class Backoff:
    """Pauses that get longer with each try; one at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pause: Future[None] | None = None

    @property
    def is_pausing(self) -> bool:
        """Whether a pause has not ended yet."""
        return self._pause is not None and not self._pause.done()

    async def pause(self, tries: int) -> None:
        """Wait as long as is fit after so many tries, or until `end`."""
        pauses = limits.STORE_RETRY_SECONDS
        self._pause = self._world.loop.create_future()
        timer = self._world.call_later(pauses[min(tries, len(pauses) - 1)], self.end)
        await self._pause
        timer.cancel()

    def end(self) -> None:
        """End the pause at once."""
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)
