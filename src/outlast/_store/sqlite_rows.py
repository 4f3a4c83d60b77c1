"""Rows: how the engine's structs lie in tables, and how many of them are written at once.

Invariants:
  * one statement writes many rows: the interpreter's lock is let go once per statement, not once
    per row (measured: 39 % less CPU per step);
  * statements come in powers of two rows, so that a few texts stay prepared;
  * what a checksum covers is never returned when it does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

import msgspec

from outlast._codec.chain import Chain, Zlib
from outlast._records import Record
from outlast._store.contract import DeadLetter, Message, RunRow, StreamRow, TokenRow
from outlast._store.sqlite_connection import Cell, Connection
from outlast.errors import DecodingError, StoreDamaged
from outlast.types import RunId

S = TypeVar("S", bound=msgspec.Struct)

# apsw does not keep longer texts prepared.
_SQL_CHARS_MAX = 16_000

# A segment holds a run's records since it was packed last; SQLite refuses larger values anyway.
_SEGMENT_BYTES_MAX = 1_000_000_000
segment_codec = Chain((Zlib(output_bytes_max=_SEGMENT_BYTES_MAX),))

# The fields of the struct are the columns of the table, in its order.
RUN_COLUMNS = ", ".join(RunRow.__struct_fields__)
RECORD_COLUMNS = ", ".join(Record.__struct_fields__)
MESSAGE_COLUMNS = ", ".join(Message.__struct_fields__)
DEAD_COLUMNS = ", ".join(DeadLetter.__struct_fields__)
STREAM_COLUMNS = ", ".join(f'"{name}"' for name in StreamRow.__struct_fields__)
TOKEN_COLUMNS = ", ".join(f'"{name}"' for name in TokenRow.__struct_fields__)
OPEN = "status IN ('pending', 'running', 'waiting', 'paused', 'parked')"

# What a summary may change. The rest of a run's row is fixed at its start, and rewriting a column
# rewrites every index on it.
_SUMMARY_COLUMNS = (
    "version",
    "status",
    "started_at",
    "closed_at",
    "wake_at",
    "timeout_at",
    "attributes",
    "steps",
    "crash_count",
    "is_alone",
    "parked_as",
    "resident",
    "last_seq",
    "packed_seq",
    "output",
    "error",
    "waiting_for",
    "folded_seq",
)


_encode = msgspec.msgpack.Encoder().encode


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


JOURNAL = RowWriter(
    f"INSERT INTO journal (position, run, {RECORD_COLUMNS}, checksum, commit_number) VALUES",
    columns=15,
)
RUNS = RowWriter(f"INSERT INTO runs ({RUN_COLUMNS}) VALUES", columns=len(RunRow.__struct_fields__))
SUMMARIES = RowWriter(
    f"UPDATE runs SET ({', '.join(_SUMMARY_COLUMNS)}) = "
    f"({', '.join(f'v.column{n}' for n in range(2, len(_SUMMARY_COLUMNS) + 2))}) FROM (VALUES",
    columns=len(_SUMMARY_COLUMNS) + 1,
    after=") AS v WHERE runs.id = v.column1",
)
HISTORIES = RowWriter(
    "INSERT INTO histories (run, first_seq, last_seq, body, checksum) VALUES", columns=5
)
MAILBOX = RowWriter(f"INSERT INTO mailbox ({MESSAGE_COLUMNS}) VALUES", columns=8)
CONSUMED = RowWriter("DELETE FROM mailbox WHERE (number, run) IN (VALUES", columns=2, after=")")
STREAMS = RowWriter(f"INSERT INTO streams ({STREAM_COLUMNS}) VALUES", columns=7)
VALUES = RowWriter(
    "INSERT INTO run_values (run, name, body) VALUES",
    columns=3,
    after="ON CONFLICT (run, name) DO UPDATE SET body = excluded.body",
)
FORGOTTEN_VALUES = RowWriter(
    "DELETE FROM run_values WHERE (run, name) IN (VALUES", columns=2, after=")"
)
DEAD = RowWriter(
    f"INSERT INTO dead_letters ({DEAD_COLUMNS}) VALUES", columns=len(DeadLetter.__struct_fields__)
)
TOKENS = RowWriter(
    f"INSERT INTO tokens ({TOKEN_COLUMNS}) VALUES",
    columns=len(TokenRow.__struct_fields__),
    after="ON CONFLICT (id) DO UPDATE SET status = excluded.status, value = excluded.value, "
    '"by" = excluded."by", reason = excluded.reason, answered_at = excluded.answered_at',
)
BLOBS = RowWriter(
    "INSERT INTO blobs (digest, body) VALUES", columns=2, after="ON CONFLICT DO NOTHING"
)
BLOB_REFS = RowWriter(
    "INSERT INTO blob_refs (run, digest) VALUES", columns=2, after="ON CONFLICT DO NOTHING"
)


def summary_cells(row: RunRow) -> tuple[Cell, ...]:
    """Return what `SUMMARIES` writes of a row."""
    return (
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
        row.is_alone,
        row.parked_as,
        row.resident,
        row.last_seq,
        row.packed_seq,
        row.output,
        row.error,
        row.waiting_for,
        row.folded_seq,
    )


def segment_cells(body: bytes) -> tuple[bytes, int]:
    """Return a history segment as it is stored, and its checksum."""
    packed = segment_codec.pack(body)
    return packed, crc32(packed)


def segment_body(packed: object, checksum: object, run: RunId) -> bytes:
    """Return what was packed.

    Raises:
        StoreDamaged: the bytes are not those that were written.
    """
    if isinstance(packed, bytes) and crc32(packed) == checksum:
        try:
            return segment_codec.unpack(packed)
        except DecodingError as error:
            raise StoreDamaged(f"the history of run {run!r} is damaged: {error}") from error
    raise StoreDamaged(f"the history of run {run!r} is damaged: its checksum does not fit")


def run_row(cells: Sequence[object]) -> RunRow:
    """Return a row of `runs`, its cells in the order of `RUN_COLUMNS`.

    Raises:
        StoreDamaged: a cell holds what no outlast writes.
    """
    return _converted(cells, RunRow, f"the row of run {cells[0]!r}")


def record_checksum(found: Record) -> int:
    """Return the checksum of all that a record says."""
    data = _encode(found)
    if not found.waited and not found.took:
        # As it was before records had times: an array of nine, without the two last zeros.
        data = b"\x99" + data[1:-2]
    return crc32(data)


def record(cells: Sequence[object], run: RunId) -> Record:
    """Return a record, its cells in the order of `RECORD_COLUMNS`, the last its checksum.

    Raises:
        StoreDamaged: it is not what was written.
    """
    *fields, checksum = cells
    try:
        found = msgspec.convert(fields, Record)
    except msgspec.ValidationError as error:
        raise StoreDamaged(f"record {cells[0]!r} of run {run!r} is damaged: {error}") from error
    if record_checksum(found) != checksum:
        raise StoreDamaged(
            f"record {found.seq} of run {run!r} is damaged: its checksum does not fit"
        )
    return found


def message(cells: Sequence[object]) -> Message:
    """Return a message, its cells in the order of `MESSAGE_COLUMNS`.

    Raises:
        StoreDamaged: a cell holds what no outlast writes.
    """
    return _converted(cells, Message, f"a message of run {cells[0]!r}")


def dead_letter(cells: Sequence[object]) -> DeadLetter:
    """Return a dead letter, its cells in the order of `DEAD_COLUMNS`.

    Raises:
        StoreDamaged: a cell holds what no outlast writes.
    """
    return _converted(cells, DeadLetter, f"a dead letter of run {cells[1]!r}")


def stream_row(cells: Sequence[object]) -> StreamRow:
    """Return a stream's row, its cells in the order of `STREAM_COLUMNS`.

    Raises:
        StoreDamaged: a cell holds what no outlast writes.
    """
    return _converted(cells, StreamRow, f"a row of a stream of run {cells[0]!r}")


def token(cells: Sequence[object]) -> TokenRow:
    """Return a token, its cells in the order of `TOKEN_COLUMNS`.

    Raises:
        StoreDamaged: a cell holds what no outlast writes.
    """
    return _converted(cells, TokenRow, f"token {cells[0]!r}")


def _converted(cells: Sequence[object], kind: type[S], what: str) -> S:
    try:
        # Not strict: SQLite has no booleans.
        return msgspec.convert(
            dict(zip(kind.__struct_fields__, cells, strict=True)), kind, strict=False
        )
    except msgspec.ValidationError as error:
        raise StoreDamaged(f"{what} is damaged: {error}") from error
