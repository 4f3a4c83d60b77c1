"""Deleting closed runs whose retention is over."""

from __future__ import annotations

import logging

from outlast import limits
from outlast._store.contract import Store
from outlast._world import World
from outlast.errors import StoreError

log = logging.getLogger("outlast.engine")


class Retention:
    """Deletes what was closed longer ago than `seconds`, a bounded number at a time.

    None keeps runs for good. The audit has times of its own.
    """

    def __init__(self, store: Store, world: World, seconds: float | None) -> None:
        self._store = store
        self._world = world
        self._seconds = seconds

    async def run(self) -> None:
        """Delete, wait, and again, until cancelled."""
        while True:
            try:
                await self.prune()
                await self._prune_audit()
            except StoreError as error:
                log.warning("cannot delete closed runs, retrying: %s", error)
            await self._world.sleep(limits.RETENTION_SECONDS)

    async def prune(self) -> int:
        """Delete all that is due now; return how many."""
        if self._seconds is None:
            return 0
        before = self._world.now() - int(self._seconds * 1e6)
        total = 0
        while count := await self._store.prune(before, limits.PRUNE_RUNS):
            total += count
            if count < limits.PRUNE_RUNS:
                break
            await self._world.pass_turn()
        return total

    async def _prune_audit(self) -> None:
        now = self._world.now()
        await self._store.prune_audit(
            now - int(limits.AUDIT_SECONDS * 1e6),
            now - int(limits.AUDIT_TRAFFIC_SECONDS * 1e6),
            limits.AUDIT_TRAFFIC_ROWS,
            limits.AUDIT_CALLER_ROWS,
        )
