"""Runs by what a query wants of them, newest first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass

import msgspec

from outlast._store.contract import Cursor, RunFilter
from outlast._store.decisions import glance_of, lowered, spellings
from outlast._store.glimpses import GLANCE_ERROR_CHARS, RunGlance
from outlast._store.row_codec import RowCodec
from outlast._store.rows import RunRow
from outlast._store.sqlite.connection import Cell, Connection
from outlast._store.sqlite.tables import rows
from outlast._store.sqlite.tables.checks import Reading
from outlast.types import RunId

# An attribute's text as `decide.attribute_text` writes it; the index has the same.
_IS_ATTRIBUTE = (
    "ifnull(a.key = ? AND a.type <> 'null' "
    "AND iif(a.type = 'text', a.value, attributes -> a.fullkey) {}, 0)"
)
_PLAIN = re.compile(r"[\w .:@/+-]+", re.ASCII)  # JSON writes it as it is
_LOOK = 1_000  # entries of an index


def list_runs(reading: Reading, which: RunFilter, after: Cursor | None, limit: int) -> list[RunRow]:
    """Return one page of runs, newest first; those whose rows are damaged are in every listing."""
    db, checks = reading.db, reading.checks
    damaged = {*checks.damaged_in("runs"), *checks.damaged_in("run_attributes")}
    found, cells = _wanted(db, which, after, damaged)
    return rows.run_page(db, f"{found} LIMIT ?", (*cells, limit))


def count_runs(db: Connection, which: RunFilter, limit: int) -> int:
    """Return how many runs a filter wants, `limit` at most."""
    found, cells = _wanted(db, which, None, ())
    sql = f"SELECT count(*) FROM (SELECT 1 {found} LIMIT ?)"
    return rows.integer(db.execute(sql, (*cells, limit)).fetchall()[0][0])


def glance_at_runs(db: Connection, which: RunFilter, limit: int) -> list[RunGlance]:
    """Return the newest runs that a filter wants without their values, `limit` at most."""
    found, cells = _wanted(db, which, None, ())
    if db.codec is not None:
        return _decoded_glances(db, db.codec, f"{found} LIMIT ?", (*cells, limit))
    sql = (
        "SELECT id, workflow, version, status, created_at, started_at, closed_at, "
        f"substr(error, 1, {GLANCE_ERROR_CHARS}) {found} LIMIT ?"
    )
    return msgspec.convert(db.execute(sql, (*cells, limit)).fetchall(), list[RunGlance])


def _decoded_glances(
    db: Connection, codec: RowCodec, rest: str, cells: Sequence[Cell]
) -> list[RunGlance]:
    """Return the same: the beginning of an encoded error cannot be read alone."""
    glances: list[RunGlance] = []
    with closing(db.execute(f"SELECT {rows.RUN_COLUMNS} {rest}", cells)) as found:
        while (row := found.fetchone()) is not None:
            glances.append(glance_of(rows.any_run_row(rows.decoded_run(codec, row))))
    return glances


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a listing takes its runs from, and what it calls there when they began and their id."""

    tables: str
    at: str
    run: str


_ALL_RUNS = _Source("runs", "created_at", "id")
# In this order: CROSS JOIN has SQLite take it as it stands.
_BY_ATTRIBUTE = _Source(
    "run_attributes CROSS JOIN runs ON id = run AND created_at = at", "at", "run"
)


# As `decide.searched`; SQLite lowers ASCII letters only.
_SEARCHED = (
    "id || char(10) || workflow || char(10) || "
    "ifnull(CASE status WHEN 'parked' THEN waiting_for ELSE error END, '')"
)


def _wanted(
    db: Connection, which: RunFilter, after: Cursor | None, damaged: Collection[RunId]
) -> tuple[str, list[Cell]]:
    """Return the clauses that a filter means, from FROM on, newest runs first, and their cells."""
    # The index does not lead to those that are damaged.
    source = _BY_ATTRIBUTE if which.attributes and not damaged else _ALL_RUNS
    terms: list[str] = ["kind = ?"]
    cells: list[Cell] = [which.kind]

    def want(term: str, *values: Cell) -> None:
        terms.append(term)
        cells.extend(values)

    if source is _BY_ATTRIBUTE:
        name, text = _rarest(db, which.attributes)
        texts = spellings(text)
        want(f"name = ? AND value {_one_of(texts)}", name, *texts)
    if which.statuses is not None:
        marks = ",".join("?" * len(which.statuses))
        want(f"status IN ({marks})", *sorted(which.statuses))
    if which.workflow is not None:
        end = "." + which.workflow
        want("(workflow = ? OR substr(workflow, -length(?)) = ?)", which.workflow, end, end)
    if which.created_from is not None:
        want(f"{source.at} >= ?", which.created_from)
    if which.created_to is not None:
        want(f"{source.at} <= ?", which.created_to)
    if which.id_prefix is not None:
        # The last code point is no character, so no id has it.
        want("id >= ? AND id < ?", which.id_prefix, which.id_prefix + "\U0010ffff")
    if which.parent is not None:
        want("parent = ?", which.parent)
    _want_attributes(which.attributes, want)
    for word in which.words:
        want(f"instr(lower({_SEARCHED}), ?) > 0", lowered(word))
    if damaged:
        # What they are filtered by may be what is damaged.
        text = f"({' AND '.join(terms)} OR id IN (SELECT value FROM json_each(?)))"
        terms = [text]
        cells.append(json.dumps(list(damaged), ensure_ascii=False))
    if after is not None:
        want(f"({source.at}, {source.run}) < (?, ?)", after.created_at, after.id)
    order = f"ORDER BY {source.at} DESC, {source.run} DESC"
    return f"FROM {source.tables} WHERE {' AND '.join(terms)} {order}", cells


def _rarest(db: Connection, wanted: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return the attribute that the fewest runs have, as far as a short look tells."""
    if len(wanted) == 1:
        return wanted[0]

    def entries(pair: tuple[str, str]) -> int:
        texts = spellings(pair[1])
        some = f"SELECT 1 FROM run_attributes WHERE name = ? AND value {_one_of(texts)} LIMIT ?"
        found = db.execute(f"SELECT count(*) FROM ({some})", (pair[0], *texts, _LOOK))
        return rows.integer(found.fetchall()[0][0])

    return min(wanted, key=entries)


def _want_attributes(wanted: Sequence[tuple[str, str]], want: Callable[..., None]) -> None:
    """Want all of these: the attributes of a run are gone through once, however many there are."""
    pairs = tuple(dict.fromkeys(wanted))
    if not pairs:
        return
    want("attributes <> '{}'")
    for key, text in pairs:  # most rows are told apart by their bytes
        if _PLAIN.fullmatch(key):
            want("instr(attributes, ?) > 0", f'"{key}"')
        if _PLAIN.fullmatch(text) and len(spellings(text)) == 1:
            want("instr(attributes, ?) > 0", text)
    # Each of these is true of one attribute at most.
    each = " + ".join(_IS_ATTRIBUTE.format(_one_of(spellings(text))) for _, text in pairs)
    want(
        f"json_valid(attributes) AND (SELECT sum({each}) FROM json_each(attributes) AS a)"
        f" = {len(pairs)}",
        *[cell for key, text in pairs for cell in (key, *spellings(text))],
    )


def _one_of(texts: Sequence[str]) -> str:
    return "= ?" if len(texts) == 1 else f"IN ({','.join('?' * len(texts))})"
