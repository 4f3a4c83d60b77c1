"""The tokens of a store in memory."""

from __future__ import annotations

import msgspec

from outlast._store.decisions import answered_row, judge_answer
from outlast._store.rows import Answer, Answered, TokenRow
from outlast.types import RunId


class MemoryTokens:
    """Tokens by id."""

    def __init__(self) -> None:
        self._rows: dict[str, TokenRow] = {}
        self._by_run: dict[RunId, list[str]] = {}

    def find(self, token: str) -> TokenRow | None:
        """Return a token's row."""
        return self._rows.get(token)

    def page(
        self, after: tuple[int, str] | None, limit: int, *, open_only: bool, run: RunId | None
    ) -> list[TokenRow]:
        """Return a page of tokens, oldest first."""
        found = [
            row
            for row in self._rows.values()
            if (after is None or (row.created_at, row.id) > after)
            and (row.status == "open" or not open_only)
            and run in (None, row.run)
        ]
        return sorted(found, key=lambda row: (row.created_at, row.id))[:limit]

    def ask(self, row: TokenRow) -> None:
        """A run asks; a token that is there already stays as it is."""
        if row.id not in self._rows:
            self._rows[row.id] = row
            self._by_run.setdefault(row.run, []).append(row.id)

    def answer(self, answer: Answer) -> Answered:
        """Judge an answer, and take it if it is the first."""
        row = self._rows.get(answer.token)
        result = judge_answer(answer, row)
        if row is not None and result == "accepted":
            row = self._rows[row.id] = answered_row(row, answer)
        return Answered(result, row)

    def withdraw(self, token: str) -> None:
        """The asker no longer waits: no answer is needed."""
        row = self._rows.get(token)
        if row is not None and row.status == "open":
            self._rows[token] = msgspec.structs.replace(row, status="closed")

    def close_run(self, run: RunId) -> None:
        """A run has ended: its open tokens need no answer."""
        for token in self._by_run.get(run, ()):
            row = self._rows[token]
            if row.status == "open":
                self._rows[token] = msgspec.structs.replace(row, status="closed")

    def forget_run(self, run: RunId) -> None:
        """A run is deleted with all it owns."""
        for token in self._by_run.pop(run, ()):
            del self._rows[token]
