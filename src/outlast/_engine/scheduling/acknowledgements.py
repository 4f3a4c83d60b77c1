"""Who waits until a run's transaction is durable."""

from __future__ import annotations

from asyncio import Future

from outlast._store.transactions import Transaction
from outlast._world import World
from outlast.errors import StoreError, StoreFull, StoreUnavailable


class Acknowledgements:
    """Waiters by transaction."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting: dict[int, list[Future[None]]] = {}
        self._kept: dict[Future[None], str] = {}
        self._later: dict[Future[None], Future[None]] = {}

    async def wait_for(self, transaction: Transaction, *, kept: str = "") -> None:
        """Return when the transaction is durable; raise what `refused` or `fail_all` is given.

        With `kept`, what the caller asked for in words, it also raises as soon as the store does
        not take the transaction, which is kept and tried again.
        """
        future: Future[None] = self._world.loop.create_future()
        self.waiting.setdefault(id(transaction), []).append(future)
        if kept:
            self._kept[future] = kept
        try:
            await future
        finally:
            self._kept.pop(future, None)

    async def made_or_stuck(self, transaction: Transaction) -> Future[None] | None:
        """Wait for a transaction as `wait_for`, but not for a store that takes no writes now.

        Returns None when it is durable, else a future that is done when it has become durable.
        """
        future: Future[None] = self._world.loop.create_future()
        later = self._later[future] = self._world.loop.create_future()
        self.waiting.setdefault(id(transaction), []).append(future)
        try:
            await future
        finally:
            is_stuck = self._later.pop(future, None) is None
        return later if is_stuck else None

    def stuck(self, transaction: Transaction, error: StoreError) -> None:
        """The store does not take it now; it is tried again until it does."""
        waiting = self.waiting.get(id(transaction), [])
        for future in list(waiting):
            later = self._later.pop(future, None)
            if later is not None and not future.done():
                waiting.append(later)
                future.set_result(None)
            kept = self._kept.get(future)
            if kept is not None and not future.done():
                future.set_exception(_kept_error(error, kept))

    def made(self, transaction: Transaction) -> None:
        """It is durable."""
        for future in self.waiting.pop(id(transaction), ()):
            if not future.done():
                future.set_result(None)

    def refused(self, transaction: Transaction, error: Exception) -> None:
        """Nothing of it was written."""
        for future in self.waiting.pop(id(transaction), ()):
            if not future.done():
                future.set_exception(error)

    def fail_all(self, error: Exception) -> None:
        """Nothing more is written at all."""
        for futures in self.waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self.waiting.clear()


def _kept_error(error: StoreError, kept: str) -> StoreError:
    kind = StoreFull if isinstance(error, StoreFull) else StoreUnavailable
    return kind(
        f"{error}. {kept} is kept in memory and takes effect when the store accepts writes "
        "again, unless this process ends first"
    )
