"""One at a time for each run that is not in memory.

Bringing a run in, closing it, parking it and waking it all read the store before they write. While
one of them is at it, the others wait. A run in memory needs no such care: it has one owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from outlast.types import RunId


class Exclusion:
    """Locks by run, there only while somebody holds or wants them."""

    def __init__(self) -> None:
        self._locks: dict[RunId, asyncio.Lock] = {}
        self._wanted: dict[RunId, int] = {}

    @asynccontextmanager
    async def alone_with(self, run: RunId) -> AsyncGenerator[None]:
        """Keep others from touching this run while it is not in memory."""
        lock = self._locks.setdefault(run, asyncio.Lock())
        self._wanted[run] = self._wanted.get(run, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._wanted[run] -= 1
            if not self._wanted[run]:
                del self._wanted[run]
                del self._locks[run]
