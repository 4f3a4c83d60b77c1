"""Tokens in a database: what a batch does to them, and how they are read.

Invariant: a token leaves the status "open" once. The batch reads each token that it touches before
it judges, and keeps what it knows up to date while it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from outlast import limits
from outlast._store.contract import Answer, Answered, TokenRow, Transaction
from outlast._store.decisions import answered_row, judge_answer
from outlast._store.sqlite.connection import Cell, Connection, texts
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables import rows
from outlast._store.sqlite.tables.columns import fetch, is_whole, sealed
from outlast.types import RunId


class TokenBatch:
    """The tokens that one batch asks or answers."""

    def __init__(self) -> None:
        self._known: dict[str, TokenRow] = {}
        self._changed: dict[str, None] = {}
        self._damaged: set[str] = set()  # they stay as they are

    def load(self, db: Connection, batch: Sequence[Transaction]) -> None:
        """Read the tokens that the batch touches."""
        ids = {token.id: None for t in batch if t.tokens for token in t.tokens}
        ids.update((answer.token, None) for t in batch if t.answers for answer in t.answers)
        ids.update((gone, None) for t in batch if t.withdrawn for gone in t.withdrawn)
        ids.update((x.id, None) for t in batch if t.starts for s in t.starts for x in s.tokens)
        if ids:
            rest = "WHERE id IN carray(?)"
            for cells in fetch(db, tables.TOKENS, rest, (texts(ids),)):
                if is_whole(cells):
                    self._known[str(cells[0])] = rows.token(cells)
                else:
                    self._damaged.add(str(cells[0]))

    def take(self, transaction: Transaction) -> None:
        """Note what a run asks, and what it asks no more."""
        for token in transaction.tokens:
            self.ask(token)
        for gone in transaction.withdrawn:
            self.withdraw(gone)

    def ask(self, token: TokenRow) -> None:
        """A run asks; a token that is there already stays as it is."""
        if token.id not in self._known and token.id not in self._damaged:
            self._put(token)

    def answer(self, answer: Answer) -> Answered:
        """Judge an answer, and take it if nobody was first."""
        row = self._known.get(answer.token)
        result = judge_answer(answer, row)
        if row is not None and result == "accepted":
            row = answered_row(row, answer)
            self._put(row)
        return Answered(result, row)

    def withdraw(self, token: str) -> None:
        """Who asked waits no more: nobody needs to answer."""
        row = self._known.get(token)
        if row is not None and row.status == "open":
            self._put(msgspec.structs.replace(row, status="closed"))

    def _put(self, row: TokenRow) -> None:
        self._known[row.id] = row
        self._changed[row.id] = None

    def close_run(self, run: RunId) -> None:
        """A run has ended: what it still asks, nobody needs to answer."""
        for row in list(self._known.values()):
            if row.run == run and row.status == "open":
                self._known[row.id] = msgspec.structs.replace(row, status="closed")

    def forget_run(self, run: RunId) -> None:
        """A run is deleted with all it owns."""
        self._known = {key: row for key, row in self._known.items() if row.run != run}

    def write(self, db: Connection, closed: Iterable[RunId]) -> None:
        """Write what has changed; runs in `closed` have ended."""
        cells: list[Cell] = []
        for key in self._changed:
            row = self._known.get(key)
            if row is not None:
                cells += sealed(msgspec.structs.astuple(row))
        rows.TOKENS.write(db, cells)
        self._changed.clear()
        gone = tuple(closed)
        if gone:
            _close_open(db, gone)


def _close_open(db: Connection, runs: Sequence[RunId]) -> None:
    """Close what ended runs still ask."""
    rest = "WHERE run IN carray(?) AND status = 'open'"
    cells: list[Cell] = []
    for found in fetch(db, tables.TOKENS, rest, (texts(runs),)):
        if is_whole(found):
            closed = msgspec.structs.replace(rows.token(found), status="closed")
            cells += sealed(msgspec.structs.astuple(closed))
    rows.TOKENS.write(db, cells)


def read_token(db: Connection, token: str) -> TokenRow | None:
    """Return a token's row."""
    found = fetch(db, tables.TOKENS, "WHERE id = ?", (token,))
    return rows.token(found[0]) if found else None


def list_tokens(
    db: Connection,
    after: tuple[int, str] | None,
    limit: int,
    *,
    open_only: bool,
    run: RunId | None,
) -> list[TokenRow]:
    """Return a page of tokens, oldest first."""
    terms: list[str] = ["(created_at, id) > (?, ?)"]
    cells: list[Cell] = [*(after or (-1, ""))]
    if open_only:
        terms.append("status = 'open'")
    if run is not None:
        terms.append("run = ?")
        cells.append(run)
    rest = f"WHERE {' AND '.join(terms)} ORDER BY created_at, id LIMIT ?"
    size = limits.PAGE_READ_BYTES
    found = fetch(db, tables.TOKENS, rest, (*cells, limit), bytes_max=size)
    return [rows.any_token(one) for one in found]


def count_open(db: Connection, limit: int) -> int:
    """Return how many tokens wait for an answer, `limit` at most."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM tokens WHERE status = 'open' LIMIT ?)"
    count = db.execute(sql, (limit,)).fetchall()[0][0]
    return count if isinstance(count, int) else 0
