"""What is said of a run whose row is damaged."""

from __future__ import annotations

from outlast._store.rows import RunRow
from outlast.errors import StoreDamaged

UNKNOWN = "?"
"""Stands for the workflow of a run when what its start fixed is damaged."""


class RowDamaged(StoreDamaged):
    """A run's row is damaged; `row` says what is known of it: parked, unless it has ended."""

    def __init__(self, message: str, row: RunRow) -> None:
        super().__init__(message)
        self.row = row
