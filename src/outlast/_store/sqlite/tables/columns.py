"""The tables: what the checksum of a row covers, and reading rows that may be damaged.

Every row carries the CRC-32 of its cells, in the order of the columns here, packed with their
types. What it does not cover decides nothing. A row of `runs` has two: the columns that are fixed
when a run starts, and those that a summary may change, so that a summary is written without reading
the row. A row of `blobs` needs none: it is found by the hash of its bytes.

Where the database has a codec, the checksum covers the cells as they are stored. Reading gives the
decoded cells, with their checksum; those of a row that was changed or moved past its checksum come
with `NOT_AUTHENTIC` in its place.

Invariant: a row is used only if its checksum fits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias
from zlib import crc32

import msgspec

from outlast._codec.stored.envelope import NotAuthentic
from outlast._records import Record
from outlast._store.auditing import AuditRow
from outlast._store.row_codec import Layout, RowCodec
from outlast._store.rows import DeadLetter, Message, StreamRow, TokenRow
from outlast._store.sqlite.connection import Cell, Cells, Connection, Rows

log = logging.getLogger("outlast.store")

_encode = msgspec.msgpack.Encoder().encode

NOT_AUTHENTIC = "it is not what was written there"


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows carry a checksum.

    `columns` are covered by it, `texts` are those of them that hold text, `key` is what the table
    is ordered by, and `since` is the schema that it came with, 0 if that had no checksums.
    `bodies` are the columns that a codec encodes, the one that takes the envelope first. The others
    are bound to it, but for those of `unbound`: columns that are younger than encoded rows.
    """

    name: str
    columns: tuple[str, ...]
    texts: frozenset[str]
    key: tuple[str, ...] = ("rowid",)
    checksum: str = "checksum"
    since: int = 0
    bodies: tuple[str, ...] = ()
    nullable: frozenset[str] = frozenset()  # of the bodies
    unbound: frozenset[str] = frozenset()
    selected: str = field(init=False)
    """What a SELECT asks for: the covered columns, then the checksum."""
    layout: Layout | None = field(init=False)

    def __post_init__(self) -> None:
        names = ", ".join(f'"{name}"' for name in (*self.columns, self.checksum))
        object.__setattr__(self, "selected", names)
        object.__setattr__(self, "layout", self._layout() if self.bodies else None)

    def _layout(self) -> Layout:
        return Layout(
            f"{self.name}.{self.checksum}",
            tuple(map(self.columns.index, self.bodies)),
            tuple(
                n
                for n, name in enumerate(self.columns)
                if name not in self.bodies and name not in self.unbound
            ),
            tuple(None if name in self.nullable else "" for name in self.bodies[1:]),
            is_text=self.bodies[0] in self.texts,
        )


def _texts(kind: type[msgspec.Struct], *, but: frozenset[str]) -> frozenset[str]:
    return frozenset(kind.__struct_fields__) - but


_RECORD_TEXTS = frozenset(("kind", "key", "name", "place"))

JOURNAL = Table(
    "journal",
    ("position", "run", *Record.__struct_fields__, "commit_number"),
    _RECORD_TEXTS | {"run"},
    bodies=("body", "name"),  # the name of a token's record is its title
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
    bodies=("digest",),
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
    bodies=("output", "error", "waiting_for"),
    nullable=frozenset(("error",)),
)
HISTORIES = Table(
    "histories", ("run", "first_seq", "last_seq", "body"), frozenset(("run",)), bodies=("body",)
)
MAILBOX = Table(
    "mailbox",
    Message.__struct_fields__,
    _texts(Message, but=frozenset(("body", "at", "number", "bound"))),
    bodies=("body",),
)
DEAD_LETTERS = Table(
    "dead_letters",
    DeadLetter.__struct_fields__,
    _texts(DeadLetter, but=frozenset(("number", "body", "sent_at", "attempts", "at"))),
    bodies=("body", "error"),
)
STREAMS = Table(
    "streams",
    StreamRow.__struct_fields__,
    _texts(StreamRow, but=frozenset(("offset", "count", "body"))),
    bodies=("body",),
)
VALUES = Table(
    "run_values",
    ("run", "name", "body"),
    frozenset(("run", "name")),
    key=("run", "name"),
    bodies=("body",),
)
TOKENS = Table(
    "tokens",
    TokenRow.__struct_fields__,
    _texts(TokenRow, but=frozenset(("created_at", "expires_at", "value", "answered_at"))),
    bodies=("value", "title", "detail", "digest", "by", "reason"),
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
SHARERS = Table(
    "sharers",
    ("owner", "number", "results", "at"),
    frozenset(("owner",)),
    since=7,
    bodies=("results",),
)
AUDIT = Table(
    "audit",
    AuditRow.__struct_fields__,
    _texts(AuditRow, but=frozenset(("number", "at", "is_traffic"))),
    since=8,
    bodies=("reason",),
)
CODEC_KEYS = Table("codec_keys", ("key", "body"), frozenset(("key",)), since=11)

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
    CODEC_KEYS,
)


def checksum(cells: Sequence[object]) -> int:
    """Return the checksum of a row's covered cells."""
    return crc32(_encode(cells))


def sealed(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return a row's covered cells with their checksum behind them."""
    return (*cells, crc32(_encode(cells)))


Seal: TypeAlias = Callable[[tuple[Cell, ...]], tuple[Cell, ...]]
"""Makes what is stored of a row's covered cells."""


class Seals(msgspec.Struct, frozen=True):
    """How the rows of each table become what is stored."""

    runs_fixed: Seal = sealed
    runs_summary: Seal = sealed
    histories: Seal = sealed
    mailbox: Seal = sealed
    dead_letters: Seal = sealed
    streams: Seal = sealed
    values: Seal = sealed
    tokens: Seal = sealed
    sharers: Seal = sealed
    audit: Seal = sealed


_PLAIN = Seals()


def seals_of(db: Connection) -> Seals:
    """Return how rows are written on a connection."""
    codec = db.codec
    if codec is None:
        return _PLAIN
    return Seals(
        runs_fixed=partial(_encoded, codec, _layout_of(RUNS_FIXED)),
        runs_summary=partial(_encoded, codec, _layout_of(RUNS_SUMMARY)),
        histories=partial(_encoded, codec, _layout_of(HISTORIES)),
        mailbox=partial(_encoded, codec, _layout_of(MAILBOX)),
        dead_letters=partial(_encoded, codec, _layout_of(DEAD_LETTERS)),
        streams=partial(_encoded, codec, _layout_of(STREAMS)),
        values=partial(_encoded, codec, _layout_of(VALUES)),
        tokens=partial(_encoded, codec, _layout_of(TOKENS)),
        sharers=partial(_encoded, codec, _layout_of(SHARERS)),
        audit=partial(_encoded, codec, _layout_of(AUDIT)),
    )


def _layout_of(table: Table) -> Layout:
    if table.layout is None:
        raise TypeError(f"{table.name} has no bodies")
    return table.layout


def _encoded(codec: RowCodec, layout: Layout, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return sealed(codec.encode(layout, cells))


JOURNAL_LAYOUT = _layout_of(JOURNAL)


def decoded(codec: RowCodec, table: Table, cells: Sequence[object]) -> Sequence[object]:
    """Return a stored row as it was before the codec; one that is damaged as it is.

    Raises:
        StoreCodecError: its key is missing.
    """
    if table.layout is None or not is_whole(cells):
        return cells
    try:
        found = codec.decode(table.layout, cells[:-1])
    except NotAuthentic as error:
        known = ("run", "id", "seq", "number", "name", "offset", "owner")
        place = ", ".join(
            f"{name} {cell!r}"
            for name, cell in zip(table.columns, cells, strict=False)
            if name in known
        )
        log.critical("the row of %s with %s was changed, or moved: %s", table.name, place, error)
        return (*cells[:-1], NOT_AUTHENTIC)
    return (*found, checksum(found))


def is_whole(cells: Sequence[object]) -> bool:
    """Say whether the last cell is the checksum of those before it."""
    return crc32(_encode(cells[:-1])) == cells[-1]


def fetch(
    db: Connection, table: Table, rest: str, cells: Cells = (), *, bytes_max: int | None = None
) -> Sequence[Sequence[object]]:
    """Return rows of one table, each as `table.selected`; `rest` is what follows `FROM table`.

    With `bytes_max`, up to the one with which their bytes reach that.
    """
    codec = db.codec
    decode = None if codec is None else partial(decoded, codec, table)
    found = f"FROM {table.name} {rest}"
    return fetch_columns(
        db, table.selected, table.texts, found, cells, bytes_max=bytes_max, decode=decode
    )


Decode: TypeAlias = Callable[[Sequence[object]], Sequence[object]]


def _up_to(found: Rows, bytes_max: int | None, decode: Decode | None) -> Sequence[Sequence[object]]:
    if bytes_max is None:
        rows = found.fetchall()
        return rows if decode is None else [decode(row) for row in rows]
    page: list[Sequence[object]] = []
    size = 0
    with closing(found):
        while size < bytes_max and (row := found.fetchone()) is not None:
            row = row if decode is None else decode(row)
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
    decode: Decode | None = None,
) -> Sequence[Sequence[object]]:
    """Return rows, also those with text that is none: its bytes are replaced, and no checksum fits.

    Damage can make text invalid, and SQLite hands it out as it is. `decode` is given each row.
    """
    try:
        return _up_to(db.execute(f"SELECT {selected} {rest}", cells), bytes_max, decode)
    except UnicodeDecodeError:
        pass
    names = selected.split(", ")
    is_text = [name.split(".")[-1].strip('"') in texts for name in names]
    raw = ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in names
    )

    def readable(row: Sequence[object]) -> Sequence[object]:
        cells = tuple(
            cell.decode(errors="replace") if wanted and isinstance(cell, bytes) else cell
            for cell, wanted in zip(row, is_text, strict=True)
        )
        return cells if decode is None else decode(cells)

    return _up_to(db.execute(f"SELECT {raw} {rest}", cells), bytes_max, readable)
