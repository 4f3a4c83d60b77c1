"""What can be read of a database: one function a reading verb, on a connection of a reader thread.

Every result is fetched whole, or closed: a cursor that is left standing holds a read transaction,
and that keeps the write-ahead log from being emptied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager

import msgspec

from outlast import limits
from outlast._records import Record, blob_digest, unpack_records
from outlast._store import sqlite_rows as rows
from outlast._store.contract import (
    Cursor,
    DeadLetter,
    Message,
    RunFilter,
    RunRow,
    StreamRow,
    TailRun,
)
from outlast._store.sqlite_connection import Cell, Connection
from outlast.errors import StoreDamaged
from outlast.types import STATUSES, RunId, Status

# An attribute's text as `decide.attribute_text` writes it. A float is compared as SQLite reads
# both texts, and only if the text asked for is the one that a float has.
_HAS_ATTRIBUTE = """EXISTS (SELECT 1 FROM json_each(attributes) AS a WHERE a.key = ? AND
CASE a.type WHEN 'true' THEN 'true' = ? WHEN 'false' THEN 'false' = ?
WHEN 'integer' THEN CAST(a.value AS TEXT) = ? WHEN 'text' THEN a.value = ?
WHEN 'real' THEN a.value = json_extract(?, '$') END)"""


_SEQ_MAX = (1 << 63) - 1


@contextmanager
def _snapshot(db: Connection) -> Generator[None]:
    """Read several tables as they were at one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def read_run(db: Connection, run: RunId) -> RunRow | None:
    """Return the run's row."""
    found = db.execute(f"SELECT {rows.RUN_COLUMNS} FROM runs WHERE id = ?", (run,)).fetchall()
    return rows.run_row(found[0]) if found else None


def read_journal(db: Connection, run: RunId, after: int, upto: int | None = None) -> list[Record]:
    """Return the run's records above `after`: those of its segments, then those of the tail."""
    last = _SEQ_MAX if upto is None else upto
    with _snapshot(db):
        known = db.execute(
            "SELECT started_position, packed_seq FROM runs WHERE id = ?", (run,)
        ).fetchall()
        if not known:
            return []
        started_position, packed_seq = map(_integer, known[0])
        segments = db.execute(
            "SELECT body, checksum FROM histories "
            "WHERE run = ? AND last_seq > ? AND first_seq <= ? ORDER BY last_seq",
            (run, after, last),
        ).fetchall()
        tail = db.execute(
            f"SELECT {rows.RECORD_COLUMNS}, checksum FROM journal "
            f"WHERE position >= ? AND run = ? AND seq > max(?, ?) AND seq <= ? ORDER BY position",
            (started_position, run, packed_seq, after, last),
        ).fetchall()
        records: list[Record] = []
        for packed, checksum in segments:
            body = rows.segment_body(packed, checksum, run)
            records += [r for r in _unpacked(body, run) if after < r.seq <= last]
        records += [rows.record(cells, run) for cells in tail]
        _refuse_gaps(records, after + 1, run)
        return _filled(db, records)


def read_tail(db: Connection) -> dict[RunId, TailRun]:
    """Return the unpacked records of every open run."""
    with _snapshot(db):
        # CROSS JOIN keeps the log outside: its order is the order of the result.
        columns = ", ".join(f"j.{name}" for name in Record.__struct_fields__)
        found = db.execute(
            f"SELECT j.run, r.packed_seq, j.position, {columns}, "
            f"j.checksum FROM journal AS j CROSS JOIN runs AS r ON r.id = j.run "
            f"WHERE r.{rows.OPEN} AND j.position >= r.started_position "
            f"AND j.seq > r.packed_seq ORDER BY j.position"
        ).fetchall()
        tails: dict[RunId, TailRun] = {}
        packed: dict[RunId, int] = {}
        for run_text, packed_seq, position, *cells in found:
            run = RunId(str(run_text))
            tail = tails.get(run)
            if tail is None:
                tail = tails[run] = TailRun([], _integer(position))
                packed[run] = _integer(packed_seq)
            tail.records.append(rows.record(cells, run))
        for run, tail in tails.items():
            _refuse_gaps(tail.records, packed[run] + 1, run)
            tail.records[:] = _filled(db, tail.records)
        return tails


def resident_runs(db: Connection) -> list[RunRow]:
    """Return the open runs that are not passivated, oldest first."""
    return _run_rows(db, f"WHERE resident AND {rows.OPEN} ORDER BY created_at", ())


def due_runs(db: Connection, now: int, limit: int) -> list[RunRow]:
    """Return passivated runs whose `wake_at` has come, earliest first."""
    return _run_rows(
        db,
        f"WHERE NOT resident AND wake_at IS NOT NULL AND {rows.OPEN} AND wake_at <= ? "
        f"ORDER BY wake_at LIMIT ?",
        (now, limit),
    )


def next_wake(db: Connection) -> int | None:
    """Return the earliest `wake_at` of a passivated run."""
    found = db.execute(
        f"SELECT min(wake_at) FROM runs WHERE NOT resident AND wake_at IS NOT NULL AND {rows.OPEN}"
    ).fetchall()[0][0]
    return None if found is None else _integer(found)


def read_mailbox(db: Connection, run: RunId, limit: int, after: int) -> list[Message]:
    """Return the run's undelivered messages numbered above `after`, oldest first."""
    found = db.execute(
        f"SELECT {rows.MESSAGE_COLUMNS} FROM mailbox WHERE run = ? AND number > ? "
        f"ORDER BY number LIMIT ?",
        (run, after, limit),
    ).fetchall()
    return [rows.message(cells) for cells in found]


def runs_with_mail(db: Connection, limit: int, after: RunId | None) -> list[RunId]:
    """Return open runs with undelivered messages, by id, from behind `after` on."""
    # From one run to the next by the index: their messages, perhaps a million, are not looked at.
    found = db.execute(
        "WITH RECURSIVE mailed(run) AS (SELECT min(run) FROM mailbox WHERE run > ?1 UNION ALL "
        "SELECT (SELECT min(m.run) FROM mailbox AS m WHERE m.run > mailed.run) FROM mailed "
        "WHERE mailed.run IS NOT NULL) SELECT run FROM mailed WHERE run IS NOT NULL LIMIT ?2",
        (after or "", limit),
    ).fetchall()
    return [RunId(str(run)) for (run,) in found]


def list_runs(db: Connection, which: RunFilter, after: Cursor | None, limit: int) -> list[RunRow]:
    """Return one page of runs, newest first."""
    where, cells = _wanted(which, after)
    return _run_rows(db, f"{where} ORDER BY created_at DESC, id DESC LIMIT ?", (*cells, limit))


def count_runs(db: Connection, which: RunFilter, limit: int) -> int:
    """Return how many runs a filter wants, `limit` at most."""
    where, cells = _wanted(which, None)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM runs {where} LIMIT ?)"
    return _integer(db.execute(sql, (*cells, limit)).fetchall()[0][0])


def _wanted(which: RunFilter, after: Cursor | None) -> tuple[str, list[Cell]]:
    """Return the clause that a filter means, and its cells."""
    terms: list[str] = ["kind = ?"]
    cells: list[Cell] = [which.kind]

    def want(term: str, *values: Cell) -> None:
        terms.append(term)
        cells.extend(values)

    if which.statuses is not None:
        marks = ",".join("?" * len(which.statuses))
        want(f"status IN ({marks})", *sorted(which.statuses))
    if which.workflow is not None:
        end = "." + which.workflow
        want("(workflow = ? OR substr(workflow, -length(?)) = ?)", which.workflow, end, end)
    if which.created_from is not None:
        want("created_at >= ?", which.created_from)
    if which.created_to is not None:
        want("created_at <= ?", which.created_to)
    if which.id_prefix is not None:
        # The last code point is no character, so no id has it.
        want("id >= ? AND id < ?", which.id_prefix, which.id_prefix + "\U0010ffff")
    if which.parent is not None:
        want("parent = ?", which.parent)
    for key, text in which.attributes:
        want(_HAS_ATTRIBUTE, key, text, text, text, text, _as_float(text))
    if after is not None:
        want("(created_at, id) < (?, ?)", after.created_at, after.id)
    return f"WHERE {' AND '.join(terms)}", cells


def count_by_status(db: Connection) -> dict[Status, int]:
    """Return how many workflow runs there are of each status."""
    found = db.execute(
        "SELECT status, count(*) FROM runs WHERE kind = 'workflow' GROUP BY status"
    ).fetchall()
    counts = {f"{status}": _integer(count) for status, count in found}
    return {status: counts[status] for status in STATUSES if status in counts}


def count_dead(db: Connection) -> int:
    """Return how many dead letters there are."""
    return _integer(db.execute("SELECT count(*) FROM dead_letters").fetchall()[0][0])


def read_stream(db: Connection, run: RunId, name: str, offset: int, limit: int) -> list[StreamRow]:
    """Return stream rows that hold offsets from `offset` on."""
    # The first one that counts may begin below: the index leads to it.
    found = db.execute(
        f"SELECT {rows.STREAM_COLUMNS} FROM streams WHERE run = ?1 AND name = ?2 "
        f'AND "offset" >= coalesce((SELECT max("offset") FROM streams '
        f'WHERE run = ?1 AND name = ?2 AND "offset" <= ?3), 0) '
        f'AND "offset" + "count" > ?3 ORDER BY "offset", rowid LIMIT ?4',
        (run, name, offset, limit),
    )
    page: list[StreamRow] = []
    size = 0
    with closing(found):
        while size < limits.STREAM_READ_BYTES and (cells := found.fetchone()) is not None:
            page.append(rows.stream_row(cells))
            size += len(page[-1].body)
    return page


def read_retractions(db: Connection, run: RunId, name: str, offset: int) -> dict[str, int]:
    """Return the writers that are taken back from an offset of a stream on, and where."""
    found = db.execute(
        'SELECT writer, "offset" FROM streams '
        "WHERE run = ? AND name = ? AND \"offset\" >= ? AND kind = 'retract'",
        (run, name, offset),
    ).fetchall()
    return {f"{writer}": _integer(at) for writer, at in found}


def read_stream_names(db: Connection, run: RunId) -> list[str]:
    """Return the names of the run's streams: one look into the index for each."""
    names: list[str] = []
    while True:
        found = db.execute(
            "SELECT min(name) FROM streams WHERE run = ? AND name > ?",
            (run, names[-1] if names else ""),
        ).fetchall()
        if not found or found[0][0] is None:
            return names
        names.append(f"{found[0][0]}")


def read_value(db: Connection, run: RunId, name: str) -> bytes | None:
    """Return the last value set under this name."""
    found = db.execute(
        "SELECT body FROM run_values WHERE run = ? AND name = ?", (run, name)
    ).fetchall()
    return _bytes(found[0][0]) if found else None


def read_values(db: Connection, run: RunId, prefix: str) -> dict[str, bytes]:
    """Return the values whose names begin so, by name."""
    found = db.execute(
        "SELECT name, body FROM run_values WHERE run = ? AND name >= ? AND name < ? ORDER BY name",
        (run, prefix, prefix + "\U0010ffff"),
    ).fetchall()
    return {str(name): _bytes(body) for name, body in found}


def read_dead(db: Connection, run: RunId | None, after: int, limit: int) -> list[DeadLetter]:
    """Return dead letters numbered above `after`, oldest first."""
    which, cells = ("", ()) if run is None else (" AND run = ?", (run,))
    found = db.execute(
        f"SELECT {rows.DEAD_COLUMNS} FROM dead_letters WHERE number > ?{which} "
        f"ORDER BY number LIMIT ?",
        (after, *cells, limit),
    ).fetchall()
    return [rows.dead_letter(cells) for cells in found]


def log_size(db: Connection) -> int:
    """Return how many records the log's tail holds: it has no gaps, so both ends tell."""
    first, last = db.execute(
        "SELECT (SELECT min(position) FROM journal), (SELECT max(position) FROM journal)"
    ).fetchall()[0]
    return 0 if last is None else _integer(last) - _integer(first) + 1


def _run_rows(db: Connection, rest: str, cells: Sequence[Cell]) -> list[RunRow]:
    found = db.execute(f"SELECT {rows.RUN_COLUMNS} FROM runs {rest}", cells).fetchall()
    return [rows.run_row(row) for row in found]


def _unpacked(body: bytes, run: RunId) -> list[Record]:
    try:
        return unpack_records(body)
    except msgspec.MsgspecError as error:
        raise StoreDamaged(f"the history of run {run!r} is damaged: {error}") from error


def _refuse_gaps(records: list[Record], first: int, run: RunId) -> None:
    for seq, record in enumerate(records, start=first):
        if record.seq != seq:
            raise StoreDamaged(
                f"the journal of run {run!r} is damaged: record {seq} is missing "
                f"(record {record.seq} stands there)"
            )


def _filled(db: Connection, records: list[Record]) -> list[Record]:
    """Put the bodies of blobs in place of their addresses."""
    filled: list[Record] = []
    for record in records:
        digest = blob_digest(record.body)
        if digest is not None:
            record = msgspec.structs.replace(record, body=_blob(db, digest))
        filled.append(record)
    return filled


def _blob(db: Connection, digest: bytes) -> bytes:
    found = db.execute("SELECT body FROM blobs WHERE digest = ?", (digest,)).fetchall()
    body = _bytes(found[0][0]) if found else b""
    if hashlib.sha256(body).digest() != digest:
        raise StoreDamaged(f"the blob {digest.hex()} is damaged or missing")
    return body


def _as_float(text: str) -> str | None:
    """Return the text if it is how a float is written: other texts of the number do not match."""
    try:
        number = float(text)
    except ValueError:
        return None
    return text if str(number) == text and text not in ("inf", "-inf", "nan") else None


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise StoreDamaged(f"{value!r} stands where a number belongs")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise StoreDamaged(f"{value!r} stands where bytes belong")
    return value
