"""Rows: how the engine's structs lie in tables, and how many of them are written at once.

Invariants:
  * one statement writes many rows: the interpreter's lock is let go once per statement, not once
    per row (measured: 39 % less CPU per step);
  * statements come in powers of two rows, so that a few texts stay prepared;
  * a row whose checksum does not fit is never returned as what it says.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import msgspec

from outlast import limits
from outlast._codec.chain import Chain, Zlib
from outlast._records import Record
from outlast._store.damaged import UNKNOWN, RowDamaged
from outlast._store.row_codec import RowCodec
from outlast._store.rows import DeadLetter, Message, RunRow, StreamRow, TokenRow
from outlast._store.sqlite.connection import Cell, Cells, Connection, texts
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables.columns import (
    NOT_AUTHENTIC,
    RUNS_FIXED,
    RUNS_SUMMARY,
    Seal,
    Seals,
    Table,
    checksum,
    decoded,
    fetch_columns,
    is_whole,
)
from outlast._store.transactions import Segment
from outlast.errors import DecodingError, StoreDamaged
from outlast.types import CLOSED_STATUSES, RunId

log = logging.getLogger("outlast.store")

S = TypeVar("S", bound=msgspec.Struct)

# apsw does not keep longer texts prepared.
_SQL_CHARS_MAX = 16_000

# A segment holds a run's records since it was packed last; SQLite refuses larger values anyway.
_SEGMENT_BYTES_MAX = 1_000_000_000
segment_codec = Chain((Zlib(output_bytes_max=_SEGMENT_BYTES_MAX),))

CLOSED = "('completed', 'failed', 'cancelled', 'terminated', 'timed_out')"
OPEN = "status IN ('pending', 'running', 'waiting', 'paused', 'parked')"


class RowWriter:
    """Writes rows into one table with as few statements as it takes."""

    __slots__ = ("_columns", "_largest", "_texts")

    def __init__(self, before: str, *, columns: int, after: str = "") -> None:
        self._columns = columns
        row = f"({','.join('?' * columns)})"
        self._texts: list[str] = []
        count = 1
        while len(text := f"{before} {','.join([row] * count)} {after}") <= _SQL_CHARS_MAX:
            self._texts.append(text)
            count *= 2
        self._largest = len(self._texts) - 1

    def write(self, db: Connection, cells: Sequence[Cell]) -> None:
        """Write rows whose cells follow each other."""
        columns = self._columns
        rows = len(cells) // columns
        if rows == 1:
            db.execute(self._texts[0], cells)
            return
        done = 0
        while done < rows:
            power = min((rows - done).bit_length() - 1, self._largest)
            end = done + (1 << power)
            db.execute(self._texts[power], cells[done * columns : end * columns])
            done = end


def _insert(table: Table, after: str = "") -> RowWriter:
    before = f"INSERT INTO {table.name} ({table.selected}) VALUES"
    return RowWriter(before, columns=len(table.columns) + 1, after=after)


# The id is in both parts, and once in the table.
_FIXED_CELLS = len(RUNS_FIXED.columns)
RUN_COLUMNS = ", ".join((RUNS_FIXED.selected, *RUNS_SUMMARY.selected.split(", ")[1:]))
_RUN_FIELDS = (*RUNS_FIXED.columns, *RUNS_SUMMARY.columns[1:])
_RUN_TEXTS = RUNS_FIXED.texts | RUNS_SUMMARY.texts

JOURNAL = _insert(tables.JOURNAL)
RUNS = RowWriter(f"INSERT INTO runs ({RUN_COLUMNS}) VALUES", columns=len(_RUN_FIELDS) + 2)
_SUMMARY = RUNS_SUMMARY.selected.partition(", ")[2]
SUMMARIES = RowWriter(
    f"UPDATE runs SET ({_SUMMARY}) = "
    f"({', '.join(f'v.column{n}' for n in range(2, len(RUNS_SUMMARY.columns) + 2))}) FROM (VALUES",
    columns=len(RUNS_SUMMARY.columns) + 1,
    after=") AS v WHERE runs.id = v.column1",
)
HISTORIES = _insert(tables.HISTORIES)
MAILBOX = _insert(tables.MAILBOX)
CONSUMED = RowWriter("DELETE FROM mailbox WHERE (number, run) IN (VALUES", columns=2, after=")")
STREAMS = _insert(tables.STREAMS)
VALUES = _insert(
    tables.VALUES,
    "ON CONFLICT (run, name) DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
)
FORGOTTEN_VALUES = RowWriter(
    "DELETE FROM run_values WHERE (run, name) IN (VALUES", columns=2, after=")"
)
DEAD = _insert(tables.DEAD_LETTERS)
TOKENS = _insert(
    tables.TOKENS,
    "ON CONFLICT (id) DO UPDATE SET status = excluded.status, value = excluded.value, "
    '"by" = excluded."by", reason = excluded.reason, answered_at = excluded.answered_at, '
    "checksum = excluded.checksum",
)
BLOBS = RowWriter(
    "INSERT INTO blobs (digest, body) VALUES", columns=2, after="ON CONFLICT DO NOTHING"
)
BLOB_REFS = _insert(tables.BLOB_REFS, "ON CONFLICT DO NOTHING")


def summary_cells(row: RunRow, seal: Seal) -> tuple[Cell, ...]:
    """Return what `SUMMARIES` writes of a row."""
    return seal(
        (
            row.id,
            row.version,
            row.status,
            row.started_at,
            row.closed_at,
            row.wake_at,
            row.timeout_at,
            row.attributes,
            row.steps,
            row.crash_count,
            int(row.is_alone),  # as it is read back: SQLite has no booleans
            row.parked_as,
            int(row.resident),
            row.last_seq,
            row.packed_seq,
            row.output,
            row.error,
            row.waiting_for,
            row.folded_seq,
        )
    )


def run_cells(row: RunRow, seals: Seals) -> tuple[Cell, ...]:
    """Return what `RUNS` writes of a row."""
    fixed = (
        row.id,
        row.shard,
        row.workflow,
        row.created_at,
        row.parent,
        row.parent_key,
        row.on_parent_close,
        row.started_position,
        row.request,
        row.digest,
        row.kind,
    )
    return (*seals.runs_fixed(fixed), *summary_cells(row, seals.runs_summary)[1:])


def segment_cells(segment: Segment, seal: Seal) -> tuple[Cell, ...]:
    """Return what `HISTORIES` writes of a segment."""
    body = segment_codec.pack(segment.body)
    return seal((segment.run, segment.first_seq, segment.last_seq, body))


def segment_body(cells: Sequence[object], run: RunId) -> bytes:
    """Return what was packed; the cells are those of `tables.HISTORIES`.

    Raises:
        StoreDamaged: they are not those that were written.
    """
    what = f"the history of run {run!r} up to record {cells[2]!r}"
    body = cells[3]
    if not is_whole(cells) or not isinstance(body, bytes) or cells[0] != run:
        raise damaged(what, _fault_of(cells))
    try:
        return segment_codec.unpack(body)
    except DecodingError as error:
        raise damaged(what, f"{error}") from error


def damaged(what: str, fault: str) -> StoreDamaged:
    """Return the error for a row that is not what was written."""
    return StoreDamaged(
        f"{what} is damaged: {fault}. Restore a backup with `outlast db restore`, or look at all "
        f"damage with `outlast db verify`"
    )


def _fault_of(cells: Sequence[object]) -> str:
    return NOT_AUTHENTIC if cells[-1] == NOT_AUTHENTIC else "its checksum does not fit"


def run_row(cells: Sequence[object]) -> RunRow:
    """Return a row of `runs`, its cells in the order of `RUN_COLUMNS`.

    Raises:
        RowDamaged: it is not what was written.
    """
    fixed, summary = cells[: _FIXED_CELLS + 1], (cells[0], *cells[_FIXED_CELLS + 1 :])
    faults = [
        name
        for name, part in (("what its start fixed", fixed), ("its summary", summary))
        if not is_whole(part)
    ]
    if not faults:
        values = (*fixed[:-1], *summary[1:-1])
        return _converted(values, _RUN_FIELDS, RunRow, f"the row of run {cells[0]!r}")
    fault = f"the checksum of {' and of '.join(faults)} does not fit"
    if NOT_AUTHENTIC in (fixed[-1], summary[-1]):
        fault = f"{' and '.join(faults)}: {NOT_AUTHENTIC}"
    error = damaged(f"the row of run {cells[0]!r}", fault)
    raise RowDamaged(f"{error}", _stand_in(fixed, summary, f"{error}"))


def _stand_in(fixed: Sequence[object], summary: Sequence[object], why: str) -> RunRow:
    """Return what can be said of a run whose row is damaged: the part that is whole."""
    at = fixed[RUNS_FIXED.columns.index("created_at")]
    known: dict[str, object] = {"id": str(fixed[0]), "workflow": UNKNOWN, "shard": 0}
    known["created_at"] = at if isinstance(at, int) else 0  # listings page by it
    if is_whole(fixed):
        known.update(zip(RUNS_FIXED.columns, fixed[:-1], strict=True))
    if is_whole(summary):
        known.update(zip(RUNS_SUMMARY.columns, summary[:-1], strict=True))
    if known.get("status") not in CLOSED_STATUSES:
        parked = {"status": "parked", "resident": False, "wake_at": None, "version": ""}
        known = {**parked, **known, **{k: parked[k] for k in ("status", "resident", "wake_at")}}
    stand_in = msgspec.convert(known, RunRow, strict=False)
    return msgspec.structs.replace(
        stand_in, parked_as="damaged", waiting_for=f"damaged: {why}", error=f"damaged: {why}"
    )


def any_run_row(cells: Sequence[object]) -> RunRow:
    """The same for a listing: a damaged row is shown as a run that is parked for it."""
    try:
        return run_row(cells)
    except RowDamaged as error:
        log.critical("%s", error)
        return error.row


def run_rows(db: Connection, rest: str, cells: Cells = ()) -> list[RunRow]:
    """Return rows of `runs`, those that are damaged as runs that are parked for it."""
    found = fetch_runs(db, f"FROM runs {rest}", cells)
    return [any_run_row(row) for row in found]


def run_page(db: Connection, rest: str, cells: Cells) -> list[RunRow]:
    """Return one page of a listing in the same way; `rest` is what follows the columns."""
    size = limits.PAGE_READ_BYTES
    found = fetch_runs(db, rest, cells, bytes_max=size)
    return [any_run_row(row) for row in found]


def fetch_runs(
    db: Connection, rest: str, cells: Cells = (), *, bytes_max: int | None = None
) -> Sequence[Sequence[object]]:
    """Return the cells of rows of `runs`, each as `RUN_COLUMNS`."""
    decode = None if db.codec is None else partial(decoded_run, db.codec)
    return fetch_columns(
        db, RUN_COLUMNS, _RUN_TEXTS, rest, cells, bytes_max=bytes_max, decode=decode
    )


def decoded_run(codec: RowCodec, cells: Sequence[object]) -> Sequence[object]:
    """Return the cells of a stored row of `runs` as they were before the codec."""
    fixed = decoded(codec, RUNS_FIXED, cells[: _FIXED_CELLS + 1])
    summary = decoded(codec, RUNS_SUMMARY, (cells[0], *cells[_FIXED_CELLS + 1 :]))
    return (*fixed, *summary[1:])


def read_run(db: Connection, run: RunId) -> RunRow | None:
    """Return a run's row.

    Raises:
        RowDamaged: it is not what was written.
    """
    found = fetch_runs(db, "FROM runs WHERE id = ?", (run,))
    return run_row(found[0]) if found else None


def read_statuses(db: Connection, runs: Sequence[RunId]) -> dict[RunId, str]:
    """Return the statuses of those runs that are there."""
    # The row of an actor has its state, perhaps a large one: it is not read for each message.
    known = f"CASE WHEN kind = 'actor' AND (status IN {CLOSED} OR {OPEN}) THEN status END"
    found = db.execute(
        f"SELECT id, {known} FROM runs WHERE id IN carray(?)", (texts(runs),)
    ).fetchall()
    statuses = {RunId(str(run)): str(status) for run, status in found if status is not None}
    others = [str(run) for run, status in found if status is None]
    if others:
        for row in run_rows(db, "WHERE id IN carray(?)", (texts(others),)):
            statuses[row.id] = row.status
    return statuses


def record(cells: Sequence[object], run: RunId) -> Record:
    """Return a record; the cells are those of `tables.JOURNAL`.

    Raises:
        StoreDamaged: it is not what was written.
    """
    if not is_whole(cells) or cells[1] != run:
        what = f"record {cells[2]!r} of run {run!r} (log position {cells[0]!r})"
        raise damaged(what, _fault_of(cells))
    try:
        return msgspec.convert(cells[2:-2], Record)
    except msgspec.ValidationError as error:
        raise damaged(f"record {cells[2]!r} of run {run!r}", f"{error}") from error


def message(cells: Sequence[object]) -> Message:
    """Return a message; the cells are those of `tables.MAILBOX`.

    Raises:
        StoreDamaged: it is not what was written.
    """
    return _checked(cells, Message, f"message {cells[6]!r} of run {cells[0]!r}")


def dead_letter(cells: Sequence[object]) -> DeadLetter:
    """Return a dead letter; the cells are those of `tables.DEAD_LETTERS`.

    Raises:
        StoreDamaged: it is not what was written.
    """
    return _checked(cells, DeadLetter, f"dead letter {cells[0]!r} of run {cells[1]!r}")


def any_dead_letter(cells: Sequence[object]) -> DeadLetter:
    """The same for a listing: one that is damaged is shown as such."""
    try:
        return dead_letter(cells)
    except StoreDamaged as error:
        number = cells[0] if isinstance(cells[0], int) else 0
        return DeadLetter(
            number=number,
            run=RunId(str(cells[1])),
            kind="signal",
            name="",
            body=b"",
            dedup="",
            sent_at=0,
            reason="damaged",
            error=f"damaged: {error}",
        )


def dead_cells(cells: Sequence[object], seal: Seal) -> tuple[Cell, ...]:
    """Return what `DEAD` writes of a message whose run has ended; damage is not hidden by that."""
    run, kind, name, body, dedup, at, number, *_ = (_cell(cell) for cell in cells)
    letter = (number, run, kind, name, body, dedup, at, "closed", "", 0, at)
    return seal(letter) if is_whole(cells) else (*letter, checksum(letter) ^ 1)


def _cell(value: object) -> Cell:
    return value if isinstance(value, int | str | bytes) else None


def stream_row(cells: Sequence[object]) -> StreamRow:
    """Return a stream's row; the cells are those of `tables.STREAMS`.

    Raises:
        StoreDamaged: it is not what was written.
    """
    return _checked(cells, StreamRow, f"offset {cells[2]!r} of stream {cells[1]!r} of {cells[0]!r}")


def value_row(cells: Sequence[object]) -> tuple[str, bytes]:
    """Return the name and the bytes of a value; the cells are those of `tables.VALUES`.

    Raises:
        StoreDamaged: it is not what was written.
    """
    name, body = cells[1], cells[2]
    if not is_whole(cells) or not isinstance(name, str) or not isinstance(body, bytes):
        raise damaged(f"value {name!r} of run {cells[0]!r}", _fault_of(cells))
    return name, body


def token(cells: Sequence[object]) -> TokenRow:
    """Return a token; the cells are those of `tables.TOKENS`.

    Raises:
        StoreDamaged: it is not what was written.
    """
    return _checked(cells, TokenRow, f"token {cells[0]!r} of run {cells[1]!r}")


def any_token(cells: Sequence[object]) -> TokenRow:
    """The same for a listing: one that is damaged is shown as such, and takes no answer."""
    try:
        return token(cells)
    except StoreDamaged as error:
        at = cells[tables.TOKENS.columns.index("created_at")]
        return TokenRow(
            id=str(cells[0]),
            run=RunId(str(cells[1])),
            workflow=UNKNOWN,
            key="",
            kind="token",
            title="damaged",
            created_at=at if isinstance(at, int) else 0,
            status="closed",
            reason=f"damaged: {error}",
        )


def _checked(cells: Sequence[object], kind: type[S], what: str) -> S:
    if not is_whole(cells):
        raise damaged(what, _fault_of(cells))
    return _converted(cells[:-1], kind.__struct_fields__, kind, what)


def _converted(cells: Sequence[object], names: Sequence[str], kind: type[S], what: str) -> S:
    try:
        # Not strict: SQLite has no booleans.
        return msgspec.convert(dict(zip(names, cells, strict=True)), kind, strict=False)
    except msgspec.ValidationError as error:
        raise damaged(what, f"{error}") from error


def integer(value: object) -> int:
    """Return what a query counts or finds.

    Raises:
        StoreDamaged: it is no number.
    """
    if not isinstance(value, int):
        raise StoreDamaged(f"{value!r} stands where a number belongs")
    return value
