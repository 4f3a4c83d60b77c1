"""The verbs that keep a store small, and end it."""

from __future__ import annotations

from typing import Protocol


class UpkeepVerbs(Protocol):
    """What keeps the store small, and its end."""

    async def log_size(self) -> int:
        """Return how many records the log's tail holds."""
        ...

    async def truncate_log(self, limit: int) -> int:
        """Drop up to `limit` of the log's oldest records, up to one that is needed; count them."""
        ...

    async def prune(self, closed_before: int, limit: int) -> int:
        """Delete runs closed before this time with all they own; return how many."""
        ...

    async def close(self) -> None:
        """Let go of everything; leases stay until released or expired."""
        ...
