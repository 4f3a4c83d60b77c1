"""Tokens in a database: how they are written and read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlast import limits
from outlast._store.rows import TokenRow
from outlast._store.sqlite.connection import Cell, Connection, texts
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables import rows
from outlast._store.sqlite.tables.columns import fetch, is_whole, seals_of
from outlast.types import RunId


def write_tokens(db: Connection, changed: Sequence[TokenRow]) -> None:
    """Write rows of tokens, new ones and others."""
    cells: list[Cell] = []
    seal = seals_of(db).tokens
    for row in changed:
        cells += seal(msgspec.structs.astuple(row))
    rows.TOKENS.write(db, cells)


def close_open(db: Connection, runs: Sequence[RunId]) -> None:
    """Close what ended runs still ask."""
    rest = "WHERE run IN carray(?) AND status = 'open'"
    cells: list[Cell] = []
    seal = seals_of(db).tokens
    for found in fetch(db, tables.TOKENS, rest, (texts(runs),)):
        if is_whole(found):
            closed = msgspec.structs.replace(rows.token(found), status="closed")
            cells += seal(msgspec.structs.astuple(closed))
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
