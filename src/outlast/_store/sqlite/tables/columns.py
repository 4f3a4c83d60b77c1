"""The tables: what the checksum of a row covers, and reading rows that may be damaged.

Every row carries the CRC-32 of its cells, in the order of the columns here, packed with their
types. What it does not cover decides nothing. A row of `runs` has two: the columns that are fixed
when a run starts, and those that a summary may change, so that a summary is written without reading
the row. A row of `blobs` needs none: it is found by the hash of its bytes.

Invariant: a row is used only if its checksum fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from zlib import crc32

import msgspec

from outlast._records import Record
from outlast._store.auditing import AuditRow
from outlast._store.rows import DeadLetter, Message, StreamRow, TokenRow
from outlast._store.sqlite.connection import Cell, Cells, Connection, Rows

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows carry a checksum.

    `columns` are covered by it, `texts` are those of them that hold text, `key` is what the table
    is ordered by, and `since` is the schema that it came with, 0 if that had no checksums.
    """

    name: str
    columns: tuple[str, ...]
    texts: frozenset[str]
    key: tuple[str, ...] = ("rowid",)
    checksum: str = "checksum"
    since: int = 0
    selected: str = field(init=False)
    """What a SELECT asks for: the covered columns, then the checksum."""

    def __post_init__(self) -> None:
        names = ", ".join(f'"{name}"' for name in (*self.columns, self.checksum))
        object.__setattr__(self, "selected", names)


def _texts(kind: type[msgspec.Struct], *, but: frozenset[str]) -> frozenset[str]:
    return frozenset(kind.__struct_fields__) - but


_RECORD_TEXTS = frozenset(("kind", "key", "name", "place"))

JOURNAL = Table(
    "journal",
    ("position", "run", *Record.__struct_fields__, "commit_number"),
    _RECORD_TEXTS | {"run"},
)
RUNS_FIXED = Table(
    "runs",
    (
        "id",
        "shard",
        "workflow",
        "created_at",
        "parent",
        "parent_key",
        "on_parent_close",
        "started_position",
        "request",
        "digest",
        "kind",
    ),
    frozenset(("id", "workflow", "parent", "parent_key", "on_parent_close", "request", "kind")),
    checksum="fixed_checksum",
)
# What a summary may change. Rewriting a column rewrites every index on it.
RUNS_SUMMARY = Table(
    "runs",
    (
        "id",
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
    ),
    frozenset(("id", "version", "status", "attributes", "parked_as", "error", "waiting_for")),
)
HISTORIES = Table("histories", ("run", "first_seq", "last_seq", "body"), frozenset(("run",)))
MAILBOX = Table(
    "mailbox",
    Message.__struct_fields__,
    _texts(Message, but=frozenset(("body", "at", "number", "bound"))),
)
DEAD_LETTERS = Table(
    "dead_letters",
    DeadLetter.__struct_fields__,
    _texts(DeadLetter, but=frozenset(("number", "body", "sent_at", "attempts", "at"))),
)
STREAMS = Table(
    "streams",
    StreamRow.__struct_fields__,
    _texts(StreamRow, but=frozenset(("offset", "count", "body"))),
)
VALUES = Table(
    "run_values", ("run", "name", "body"), frozenset(("run", "name")), key=("run", "name")
)
TOKENS = Table(
    "tokens",
    TokenRow.__struct_fields__,
    _texts(TokenRow, but=frozenset(("created_at", "expires_at", "value", "answered_at"))),
)
BLOB_REFS = Table("blob_refs", ("run", "digest"), frozenset(("run",)), key=("run", "digest"))
SHARDS = Table(
    "shards",
    (
        "id",
        "owner",
        "epoch",
        "position",
        "message",
        "commit_owner",
        "commit_number",
        "database_id",
        "commits",
        "is_copy",
    ),
    frozenset(("owner", "commit_owner")),
)
SHARERS = Table("sharers", ("owner", "number", "results", "at"), frozenset(("owner",)), since=7)
AUDIT = Table(
    "audit",
    AuditRow.__struct_fields__,
    _texts(AuditRow, but=frozenset(("number", "at", "is_traffic"))),
    since=8,
)

DAMAGED_SHARD = "the row of its shard is not what was written; restore it from a backup"

ALL = (
    SHARDS,
    RUNS_FIXED,
    RUNS_SUMMARY,
    JOURNAL,
    HISTORIES,
    MAILBOX,
    DEAD_LETTERS,
    STREAMS,
    VALUES,
    TOKENS,
    BLOB_REFS,
    SHARERS,
    AUDIT,
)


def checksum(cells: Sequence[object]) -> int:
    """Return the checksum of a row's covered cells."""
    return crc32(_encode(cells))


def sealed(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return a row's covered cells with their checksum behind them."""
    return (*cells, crc32(_encode(cells)))


def is_whole(cells: Sequence[object]) -> bool:
    """Say whether the last cell is the checksum of those before it."""
    return crc32(_encode(cells[:-1])) == cells[-1]


def fetch(
    db: Connection, table: Table, rest: str, cells: Cells = (), *, bytes_max: int | None = None
) -> Sequence[Sequence[object]]:
    """Return rows of one table, each as `table.selected`; `rest` is what follows `FROM table`.

    With `bytes_max`, up to the one with which their bytes reach that.
    """
    found = f"FROM {table.name} {rest}"
    return fetch_columns(db, table.selected, table.texts, found, cells, bytes_max=bytes_max)


def _up_to(found: Rows, bytes_max: int | None) -> Sequence[Sequence[object]]:
    if bytes_max is None:
        return found.fetchall()
    page: list[Sequence[object]] = []
    size = 0
    with closing(found):
        while size < bytes_max and (row := found.fetchone()) is not None:
            page.append(row)
            size += sum(len(cell) for cell in row if isinstance(cell, bytes))
    return page


def fetch_columns(
    db: Connection,
    selected: str,
    texts: frozenset[str],
    rest: str,
    cells: Cells = (),
    *,
    bytes_max: int | None = None,
) -> Sequence[Sequence[object]]:
    """Return rows, also those with text that is none: its bytes are replaced, and no checksum fits.

    Damage can make text invalid, and SQLite hands it out as it is.
    """
    try:
        return _up_to(db.execute(f"SELECT {selected} {rest}", cells), bytes_max)
    except UnicodeDecodeError:
        pass
    names = selected.split(", ")
    is_text = [name.split(".")[-1].strip('"') in texts for name in names]
    raw = ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in names
    )
    found = _up_to(db.execute(f"SELECT {raw} {rest}", cells), bytes_max)
    return [
        tuple(
            cell.decode(errors="replace") if wanted and isinstance(cell, bytes) else cell
            for cell, wanted in zip(row, is_text, strict=True)
        )
        for row in found
    ]
