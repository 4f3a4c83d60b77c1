"""What a store says of its own condition. Any thread may ask; nothing is read for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from outlast.errors import StoreDamaged, StoreError
from outlast.types import RunId


class HealthVerbs(Protocol):
    """Part of the contract of a store; what a store has no notion of stays as it is here."""

    @property
    def fault(self) -> StoreError | None:
        """Why this store serves nothing until it is opened again; None while it works."""
        return None

    def watch_fault(self, hear: Callable[[StoreError], None]) -> None:
        """Call `hear` on the host loop as soon as there is a `fault`, also if nothing is asked."""
        return

    @property
    def is_verifying(self) -> bool:
        """Whether what is stored is still being checked for damage, beside the work."""
        return False

    @property
    def damaged_runs(self) -> Mapping[RunId, StoreDamaged]:
        """Runs whose stored data is damaged, as far as that is known, and what is wrong."""
        return {}

    @property
    def log_bytes(self) -> int:
        """How long the file's write-ahead log is; 0 where there is none."""
        return 0
