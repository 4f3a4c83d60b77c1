"""What a store says of its own condition. Any thread may ask; nothing is read for it."""

from __future__ import annotations

from typing import Protocol

from outlast.errors import StoreError


class HealthVerbs(Protocol):
    """Part of the contract of a store; what a store has no notion of stays as it is here."""

    @property
    def fault(self) -> StoreError | None:
        """Why this store serves nothing until it is opened again; None while it works."""
        return None

    @property
    def log_bytes(self) -> int:
        """How long the file's write-ahead log is; 0 where there is none."""
        return 0
