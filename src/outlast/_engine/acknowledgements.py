"""Who waits until a run's transaction is durable."""

from __future__ import annotations

from asyncio import Future

from outlast._store.contract import Transaction
from outlast._world import World


class Acknowledgements:
    """Waiters by transaction."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[int, list[Future[None]]] = {}

    async def wait_for(self, transaction: Transaction) -> None:
        """Return when the transaction is durable; raise what `refused` or `fail_all` is given."""
        future: Future[None] = self._world.loop.create_future()
        self._waiting.setdefault(id(transaction), []).append(future)
        await future

    def made(self, transaction: Transaction) -> None:
        """It is durable."""
        if self._waiting:
            for future in self._waiting.pop(id(transaction), ()):
                if not future.done():
                    future.set_result(None)

    def refused(self, transaction: Transaction, error: Exception) -> None:
        """Nothing of it was written."""
        for future in self._waiting.pop(id(transaction), ()):
            if not future.done():
                future.set_exception(error)

    def fail_all(self, error: Exception) -> None:
        """Nothing more is written at all."""
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self._waiting.clear()
