"""Leases of the store in memory: who holds which shard, under which epoch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from outlast.types import Lease


@dataclass(slots=True)
class _Held:
    owner: str = ""
    epoch: int = 0
    expires_at: int = 0


class MemoryLeases:
    """Who holds which shard."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        shards_count: int,
        lease_seconds: float,
        is_exclusive: bool,
    ) -> None:
        self._is_exclusive = is_exclusive
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._held = [_Held() for _ in range(shards_count)]
        self._lock = threading.Lock()  # the lease thread renews while the loop acquires

    def acquire(self, owner: str, shards: Collection[int]) -> list[Lease]:
        taken: list[Lease] = []
        now = self._clock()
        with self._lock:
            for shard in sorted(shards):
                held = self._held[shard]
                is_taken = held.owner and held.owner != owner and held.expires_at > now
                if is_taken and not self._is_exclusive:
                    continue
                was_left = bool(held.owner)
                held.owner, held.epoch = owner, held.epoch + 1
                held.expires_at = now + int(self._lease_seconds * 1e6)
                taken.append(Lease(shard, owner, held.epoch, was_left))
        return taken

    def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        kept: list[Lease] = []
        now = self._clock()
        with self._lock:
            for lease in leases:
                held = self._held[lease.shard]
                # An expired lease that no other engine took is still ours: no later epoch exists.
                if self.holds(lease):
                    held.expires_at = now + int(self._lease_seconds * 1e6)
                    kept.append(lease)
        return kept

    def release(self, leases: Sequence[Lease]) -> None:
        with self._lock:
            for lease in leases:
                held = self._held[lease.shard]
                if self.holds(lease):
                    held.owner, held.expires_at = "", 0

    def epoch_of(self, shard: int) -> int:
        """Return the shard's present epoch."""
        return self._held[shard].epoch

    def holds(self, lease: Lease) -> bool:
        """Say whether no later epoch of the lease's shard exists, nor was it given back."""
        held = self._held[lease.shard]
        return held.owner == lease.owner and held.epoch == lease.epoch
