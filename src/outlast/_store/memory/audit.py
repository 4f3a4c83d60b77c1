"""The audit of the model in memory."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from outlast._store.auditing import AuditRow
from outlast._store.decisions import outcome_of
from outlast._store.transactions import NO_EFFECTS, CommitResult, Receipt, Transaction
from outlast.types import RunId


class MemoryAudit:
    """Rows by their numbers."""

    def __init__(self) -> None:
        self._rows: list[AuditRow] = []
        self._number = 0

    def noted(self, transaction: Transaction, result: CommitResult) -> CommitResult:
        """Keep what a transaction carries; return what became of it."""
        if not isinstance(result, Receipt):
            return result
        for row in (transaction.effects or NO_EFFECTS).audit:
            self._number += 1
            outcome = row.outcome or outcome_of(result)
            self._rows.append(replace(row, number=self._number, outcome=outcome))
        return result

    def read(
        self, before: int | None, limit: int, *, run: RunId | None, caller: str | None
    ) -> list[AuditRow]:
        """Return a page, newest first."""
        return [
            row
            for row in reversed(self._rows)
            if (before is None or row.number < before)
            and (run is None or row.run == run)
            and (caller is None or row.caller == caller)
        ][:limit]

    def prune(self, before: int, traffic_before: int, traffic_max: int, caller_max: int) -> int:
        """Delete rows whose time is over, or of which their caller has too many."""
        first = self._number - traffic_max if self._rows else 0

        def stays(row: AuditRow) -> bool:
            if row.is_traffic:
                return row.at >= traffic_before and row.number > first
            return row.at >= before

        counts = Counter[str]()
        kept: list[AuditRow] = []
        for row in reversed(self._rows):
            if stays(row) and counts[row.caller] < caller_max:
                counts[row.caller] += 1
                kept.append(row)
        kept.reverse()
        gone = len(self._rows) - len(kept)
        self._rows = kept
        return gone
