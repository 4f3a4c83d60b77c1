"""In which order requests that wait get their turns.

Each tenant has a virtual clock: a turn sets it forward by the time that the turn takes of a shared
minute, times the tenants that wait. Next is the request whose tenant's clock is furthest behind; a
request that came later than the clock says counts from when it came. So tenants that wait share
alike, however many requests each of them has. It is self-clocked fair queueing (Golestani, 1994),
with the clock in seconds instead of bits.

A request that is ahead counts as if it had come that many seconds earlier. Since clocks only go
forward, a request that waits is overtaken for a bounded time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that waits: since when, in seconds, and what it costs its tenant.

    `clock_before` is the clock of its tenant before its turn.
    """

    tenant: str
    at: float
    ahead: float
    seconds: float
    number: int = 0
    is_in_order: bool = False
    clock_before: float = 0.0

    def key(self) -> tuple[float, int]:
        """Return what orders requests of one tenant."""
        return self.at - self.ahead, self.number


@dataclass(slots=True)
class _Tenant:
    clock: float = 0.0
    requests: list[tuple[float, int, Waiting]] = field(
        default_factory=list[tuple[float, int, Waiting]]
    )
    count: int = 0
    version: int = 0

    def head(self) -> Waiting | None:
        """Return the first that waits still."""
        while self.requests and not self.requests[0][2].is_in_order:
            heapq.heappop(self.requests)
        return self.requests[0][2] if self.requests else None


class Order:
    """The requests that wait at one queue."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}
        self._ranks: list[tuple[float, int, str, int]] = []  # rank, number, tenant, version
        self._numbers = count(1)
        self._active = 0

    def __len__(self) -> int:
        return sum(tenant.count for tenant in self._tenants.values())

    def __bool__(self) -> bool:
        return self._active > 0

    def add(self, waiting: Waiting) -> None:
        """Let a request wait; one that is put back keeps its number."""
        waiting.number = waiting.number or next(self._numbers)
        waiting.is_in_order = True
        tenant = self._tenants.setdefault(waiting.tenant, _Tenant())
        heapq.heappush(tenant.requests, (*waiting.key(), waiting))
        self._active += not tenant.count
        tenant.count += 1
        self._rank(waiting.tenant, tenant)

    def remove(self, waiting: Waiting) -> None:
        """Forget a request, if it waits."""
        if waiting.is_in_order:
            waiting.is_in_order = False
            self._left(waiting.tenant, self._tenants[waiting.tenant])

    def take(self) -> Waiting | None:
        """Return whose turn it is, and set its tenant's clock forward."""
        found = self._next()
        if found is None:
            return None
        waiting, clock_before = found
        waiting.clock_before = clock_before
        waiting.is_in_order = False
        return waiting

    def put_back(self, taken: Waiting) -> None:
        """Take back the turn of a request, of the one first that was taken last."""
        self.add(taken)
        tenant = self._tenants[taken.tenant]
        tenant.clock = taken.clock_before
        self._rank(taken.tenant, tenant)

    def before(self, waiting: Waiting, *, most: int) -> Iterator[Waiting]:
        """Yield those whose turn comes before that of one that waits: `most` of them at most."""
        others = Order()
        others._active = self._active
        for name, tenant in self._tenants.items():
            if tenant.count:
                copy = _Tenant(tenant.clock, list(tenant.requests), tenant.count)
                others._tenants[name] = copy
                others._rank(name, copy)
        for _ in range(most):
            found = others._next()
            if found is None or found[0] is waiting:
                return
            yield found[0]

    def forget_idle(self, now: float) -> None:
        """Forget tenants that nothing is known of any more."""
        idle = [n for n, t in self._tenants.items() if not t.count and t.clock <= now]
        for name in idle:
            del self._tenants[name]

    def _next(self) -> tuple[Waiting, float] | None:
        """Return whose turn it is, and the clock of its tenant before that."""
        while self._ranks:
            _, _, name, version = heapq.heappop(self._ranks)
            tenant = self._tenants.get(name)
            if tenant is None or tenant.version != version or (head := tenant.head()) is None:
                continue
            heapq.heappop(tenant.requests)
            before = tenant.clock
            tenant.clock = max(before, head.at) + head.seconds * self._active
            self._left(name, tenant)
            return head, before
        return None

    def _left(self, name: str, tenant: _Tenant) -> None:
        tenant.count -= 1
        self._active -= not tenant.count
        self._rank(name, tenant)

    def _rank(self, name: str, tenant: _Tenant) -> None:
        """Say anew when it is the tenant's turn; what was said before does not count any more."""
        tenant.version += 1
        head = tenant.head()
        if head is not None:
            rank = max(head.at, tenant.clock) - head.ahead
            heapq.heappush(self._ranks, (rank, head.number, name, tenant.version))
