"""Migration 0006: checksums for the rows that an older outlast wrote.

It is made in one transaction with the number that says it was made: a process that is killed
meanwhile leaves the database as it was. What the older checksums of the log and of histories
did not fit before does not fit after either.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from outlast._records import Record
from outlast._store.sqlite.connection import Cell, Connection
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables.columns import Table, checksum, fetch_columns

CHECKSUMS_SCHEMA = 6  # the first one whose rows have checksums
_PAGE_ROWS = 1_000
_encode = msgspec.msgpack.Encoder().encode


def seal(db: Connection) -> None:
    """Give every row its checksum, inside a transaction of the caller's."""
    for table in tables.ALL:
        if table.since < CHECKSUMS_SCHEMA:
            _seal(db, table)


def mark_as_copy(db: Connection) -> None:
    """Say in a database of schema 5 or later that it is a copy, which has no mark of its own."""
    db.execute("UPDATE shards SET is_copy = 1").fetchall()
    if db.pragma("user_version") != CHECKSUMS_SCHEMA - 1:
        _seal(db, tables.SHARDS)


def _seal(db: Connection, table: Table) -> None:
    key = ", ".join(table.key)
    update = (
        f"UPDATE {table.name} SET {table.checksum} = ? "
        f"WHERE ({key}) = ({', '.join('?' * len(table.key))})"
    )
    selected = f"{table.selected}, {key}"
    after: tuple[Cell, ...] = ()
    while True:
        where = f"WHERE ({key}) > ({', '.join('?' * len(after))})" if after else ""
        rest = f"FROM {table.name} {where} ORDER BY {key} LIMIT ?"
        page = fetch_columns(db, selected, table.texts, rest, (*after, _PAGE_ROWS))
        if not page:
            return
        width = len(table.columns)
        changes: list[tuple[Cell, ...]] = []
        for cells in page:
            covered, before, place = cells[:width], cells[width], cells[width + 1 :]
            found = checksum(covered)
            if not _was_whole(table, covered, before):
                found ^= 1
            changes.append((found, *_place(place)))
        db.executemany(update, changes)
        after = changes[-1][1:]


def _place(cells: Sequence[object]) -> tuple[Cell, ...]:
    return tuple(cell for cell in cells if isinstance(cell, int | str | bytes))


def _was_whole(table: Table, covered: Sequence[object], before: object) -> bool:
    """Say whether a row fits the checksum that it had, if it had one."""
    if table is tables.HISTORIES:
        body = covered[3]
        return isinstance(body, bytes) and crc32(body) == before
    if table is tables.JOURNAL:
        try:
            found = msgspec.convert(covered[2:-1], Record)
        except msgspec.ValidationError:
            return False
        data = _encode(found)
        if not found.waited and not found.took:
            # As it was before records had times: an array of nine, without the two last zeros.
            data = b"\x99" + data[1:-2]
        return crc32(data) == before
    return True
