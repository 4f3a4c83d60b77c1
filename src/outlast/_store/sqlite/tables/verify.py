"""Looking for damage: what is wrong with a database's structure, and which rows are not whole.

Checksums cannot see a row that an index or a page of a tree has lost: that is for SQLite's own
`integrity_check`, which finds entries without a row, rows without an entry and pages that do not
fit. What it cannot see, a wrong value, is for the checksums.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import apsw
import msgspec

from outlast._store.row_codec import is_whole_blob
from outlast._store.sqlite.connection import Cell, Connection
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables.columns import Table, checksum, fetch, fetch_columns
from outlast.types import RunId

_PAGE_ROWS = 1_000
_ENTRY_TEXTS = frozenset(("run", "name"))
_IDS = frozenset(("id",))
_encode = msgspec.msgpack.Encoder().encode
_RUN_TABLES = ("histories", "mailbox", "dead_letters", "streams", "run_values", "tokens")


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong; without a `run`, it cannot be told whose it is."""

    table: str
    what: str
    run: RunId | None = None

    @property
    def text(self) -> str:
        """What is wrong, in words."""
        return f"{self.what} of run {self.run!r}" if self.run is not None else self.what


def structure_fault(db: Connection) -> str | None:
    """Return the first thing that is wrong with the structure of a database; None for nothing."""
    try:
        found = [f"{row[0]}" for row in db.execute("PRAGMA integrity_check(1)").fetchall()]
    except apsw.InterruptError:
        raise
    except apsw.BusyError:
        raise
    except (apsw.Error, UnicodeDecodeError) as error:
        return f"{error}"
    return None if found == ["ok"] else ", ".join(found)


def faults(db: Connection) -> list[str]:
    """Return all that is damaged in a database, in words."""
    fault = structure_fault(db)
    if fault is not None:
        return [f"structure: {fault}"]  # rows cannot be looked for behind that
    found = [damage.text for damage in damaged_rows(db)]
    lost = [f"run {run!r} has data, and no row of its own" for run in lost_runs(db)]
    return [*found, *lost]


def damaged_rows(db: Connection, stopped: Callable[[], bool] = lambda: False) -> Iterator[Damage]:
    """Look at every row; each page of them is read in a transaction of its own."""
    runs = [RunId(str(run)) for (run,) in _ids(db)]
    known = frozenset(runs)
    for table in tables.ALL:
        for cells in _unfit(db, table, stopped):
            yield _damage_of(table, cells, known)
    yield from _damaged_blobs(db, stopped)
    yield from _unfound(db, stopped)
    yield from _torn(db, stopped)


def lost_runs(db: Connection) -> list[RunId]:
    """Return the runs that own rows, and have no row of their own."""
    parts = " UNION ".join(f"SELECT run FROM {table}" for table in _RUN_TABLES)
    rest = f"FROM ({parts} EXCEPT SELECT id FROM runs)"
    found = fetch_columns(db, "run", tables.HISTORIES.texts, rest)
    return [RunId(str(run)) for (run,) in found]


def _ids(db: Connection) -> Sequence[Sequence[object]]:
    return fetch_columns(db, "id", tables.RUNS_FIXED.texts, "FROM runs")


def _unfit(db: Connection, table: Table, stopped: Callable[[], bool]) -> Iterator[Sequence[object]]:
    for page in _pages(db, table, stopped):
        width = len(table.columns)
        for cells in page:
            # As `is_whole` does it, without a call for each row.
            if crc32(_encode(cells[:width])) != cells[width]:
                yield cells[: width + 1]


def _pages(
    db: Connection, table: Table, stopped: Callable[[], bool]
) -> Iterator[Sequence[Sequence[object]]]:
    key = ", ".join(table.key)
    selected = f"{table.selected}, {key}"
    after: tuple[Cell, ...] = ()
    while not stopped():
        where = f"WHERE ({key}) > ({', '.join('?' * len(after))})" if after else ""
        rest = f"FROM {table.name} {where} ORDER BY {key} LIMIT ?"
        page = fetch_columns(db, selected, table.texts, rest, (*after, _PAGE_ROWS))
        if not page:
            return
        yield page
        last = page[-1][len(table.columns) + 1 :]
        after = tuple(cell for cell in last if isinstance(cell, int | str | bytes))


def _damage_of(table: Table, cells: Sequence[object], known: frozenset[RunId]) -> Damage:
    place = ", ".join(
        f"{name} {cell!r}"
        for name, cell in zip(table.columns, cells, strict=False)
        if isinstance(cell, int | str) and name in _NAMED
    )
    what = f"the row of {table.name} with {place}"
    if table in (tables.SHARDS, tables.SHARERS, tables.AUDIT, tables.CODEC_KEYS):
        return Damage(table.name, what)
    column = table.columns.index("id" if table.name == "runs" else "run")
    run = RunId(str(cells[column]))
    if run in known and table.name != "journal":
        return Damage(table.name, what, run)
    return Damage(table.name, what, _owner(cells, column, known))


_NAMED = ("position", "seq", "first_seq", "number", "name", "offset", "id", "key")


def _owner(cells: Sequence[object], column: int, known: frozenset[RunId]) -> RunId | None:
    """Return whose a row is: perhaps only the name of its run is damaged, then one other fits."""
    fits = [
        run
        for run in known
        if checksum((*cells[:column], run, *cells[column + 1 : -1])) == cells[-1]
    ]
    if len(fits) == 1:
        return fits[0]
    run = RunId(str(cells[column]))
    return run if run in known else None


def _damaged_blobs(db: Connection, stopped: Callable[[], bool]) -> Iterator[Damage]:
    after = 0
    while not stopped():
        page = db.execute(
            "SELECT rowid, digest, body FROM blobs WHERE rowid > ? ORDER BY rowid LIMIT 20",
            (after,),
        ).fetchall()
        for rowid, digest, body in page:
            after = rowid if isinstance(rowid, int) else after
            is_good = isinstance(body, bytes) and (
                hashlib.sha256(body).digest() == digest or is_whole_blob(body)
            )
            if not is_good:
                name = digest.hex() if isinstance(digest, bytes) else repr(digest)
                owners = fetch(db, tables.BLOB_REFS, "WHERE digest = ?", (_cell(digest),))
                yield from (
                    Damage("blobs", f"blob {name}", RunId(str(cells[0]))) for cells in owners
                )
        if not page:
            return


def _run_pages(db: Connection, stopped: Callable[[], bool]) -> Iterator[tuple[int, int]]:
    """Iterate over the runs, some at once, as the rowids that they lie between."""
    after = 0
    while not stopped():
        [[last]] = db.execute(
            "SELECT max(id) FROM "
            "(SELECT rowid AS id FROM runs WHERE rowid > ? ORDER BY rowid LIMIT ?)",
            (after, _PAGE_ROWS),
        ).fetchall()
        if not isinstance(last, int):
            return
        yield after, last
        after = last


# The packed parts of a journal follow one another, up to where its row says that it is packed.
_TORN = """FROM runs LEFT JOIN (
    SELECT run, first_seq, last_seq,
        lag(last_seq) OVER parts AS before, lead(first_seq) OVER parts AS behind
    FROM histories
    WHERE run IN (SELECT id FROM runs WHERE rowid > ?1 AND rowid <= ?2)
    WINDOW parts AS (PARTITION BY run ORDER BY first_seq, last_seq)
) AS part ON part.run = runs.id
WHERE runs.rowid > ?1 AND runs.rowid <= ?2 AND CASE
    WHEN part.run IS NULL THEN runs.packed_seq > runs.folded_seq
    ELSE part.first_seq <> ifnull(part.before, runs.folded_seq) + 1
        OR (part.behind IS NULL AND part.last_seq <> runs.packed_seq)
END"""


def _torn(db: Connection, stopped: Callable[[], bool]) -> Iterator[Damage]:
    """Look for journals whose packed parts overlap, leave gaps, or end too early."""
    for after, last in _run_pages(db, stopped):
        selected = "runs.id, part.first_seq, part.last_seq, runs.packed_seq"
        for run, first, end, packed in fetch_columns(db, selected, _IDS, _TORN, (after, last)):
            records = f"records {first} to {end}, out of place"
            what = records if first is not None else f"records up to {packed}, missing"
            yield Damage("histories", f"what is packed of the journal, {what},", RunId(str(run)))


def _unfound(db: Connection, stopped: Callable[[], bool]) -> Iterator[Damage]:
    """Look for runs that the index of attributes does not lead to; too much in it does no harm."""
    for after, last in _run_pages(db, stopped):
        rest = (
            "FROM attributes_of_runs AS a WHERE a.run IN "
            "(SELECT id FROM runs WHERE rowid > ? AND rowid <= ? AND attributes <> '{}') "
            "AND NOT EXISTS (SELECT 1 FROM run_attributes AS i WHERE "
            "(i.name, i.value, i.at, i.run) = (a.name, a.value, a.at, a.run))"
        )
        found = fetch_columns(db, "a.run, a.name", _ENTRY_TEXTS, rest, (after, last))
        for run, name in found:
            what = f"the entry of attribute {name!r} in the index"
            yield Damage("run_attributes", what, RunId(str(run)))


def _cell(value: object) -> Cell:
    return value if isinstance(value, int | str | bytes) else None
