"""What can be read of a database: one function a reading verb, on a connection of a reader thread.

Every result is fetched whole, or closed: a cursor that is left standing holds a read transaction,
and that keeps the write-ahead log from being emptied.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator
from contextlib import closing, contextmanager

import msgspec

from outlast import limits
from outlast._codec.stored.envelope import NotAuthentic
from outlast._records import Record, blob_digest, filled, unpack_records
from outlast._store.contract import TailRun
from outlast._store.glimpses import WHOLE, Part
from outlast._store.rows import DeadLetter, Message, RunRow, StreamRow
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables import rows
from outlast._store.sqlite.tables.checks import Reading
from outlast._store.sqlite.tables.columns import decoded, fetch
from outlast.errors import StoreDamaged
from outlast.types import STATUSES, RunId, Status

log = logging.getLogger("outlast.store")

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
    return rows.read_run(db, run)


def read_journal(
    reading: Reading, run: RunId, after: int, upto: int | None = None, part: Part = WHOLE
) -> list[Record]:
    """Return the run's records above `after`: those of its segments, then those of the tail."""
    db = reading.of(run, "runs", "journal", "histories", "blobs", "blob_refs")
    last = _SEQ_MAX if upto is None else upto
    with _snapshot(db):
        row = rows.read_run(db, run)
        if row is None:
            return []
        after = max(after, row.folded_seq)  # what was folded into an actor's state is gone
        # All from `after` on: a segment with a wrong range is not passed over.
        segments = fetch(
            db,
            tables.HISTORIES,
            "WHERE run = ? AND last_seq > ? AND first_seq <= ? ORDER BY last_seq",
            (run, after, last),
        )
        tail = fetch(
            db,
            tables.JOURNAL,
            "WHERE position >= ? AND run = ? AND seq > max(?, ?) AND seq <= ? ORDER BY position",
            (row.started_position, run, row.packed_seq, after, last),
        )
        records: list[Record] = []
        end = after
        for cells in (*segments, None):
            if cells is None:
                found = [rows.record(cells, run) for cells in tail]
            else:
                body = rows.segment_body(cells, run)
                found = [r for r in _unpacked(body, run) if after < r.seq <= last]
            _refuse_gaps(found, end + 1, run)
            end = found[-1].seq if found else end
            records += [r for r in found if part.kinds is None or r.kind in part.kinds]
        _refuse_end(end, min(last, row.last_seq), run)
        return _filled(db, records) if part.bytes_max is None else _page(db, records, part)


def read_tail(db: Connection) -> dict[RunId, TailRun]:
    """Return the unpacked records of every open run; those of a run that is damaged are left out.

    Reading the journal of such a run says what is wrong with it.
    """
    with _snapshot(db):
        known = {row.id: row for row in rows.run_rows(db, f"WHERE {rows.OPEN}")}
        tails: dict[RunId, TailRun] = {}
        is_damaged: set[RunId] = set()
        for cells in fetch(db, tables.JOURNAL, "ORDER BY position"):
            run = RunId(str(cells[1]))
            row = known.get(run)
            position, seq = cells[0], cells[2]
            if row is None or not isinstance(position, int) or not isinstance(seq, int):
                continue
            if position < row.started_position or seq <= row.packed_seq or run in is_damaged:
                continue
            try:
                found = rows.record(cells, run)
            except StoreDamaged as error:
                log.critical("%s", error)
                is_damaged.add(run)
                continue
            tail = tails.get(run)
            if tail is None:
                tail = tails[run] = TailRun([], position)
            tail.records.append(found)
        for run in list(tails):
            try:
                _refuse_gaps(tails[run].records, known[run].packed_seq + 1, run)
                tails[run].records[:] = _filled(db, tails[run].records)
            except StoreDamaged as error:
                log.critical("%s", error)
                is_damaged.add(run)
        for run in is_damaged:
            tails.pop(run, None)
        return tails


def resident_runs(db: Connection) -> list[RunRow]:
    """Return the open runs that are not passivated, oldest first."""
    return rows.run_rows(db, f"WHERE resident AND {rows.OPEN} ORDER BY created_at", ())


def due_runs(db: Connection, now: int, limit: int) -> list[RunRow]:
    """Return passivated runs whose `wake_at` has come, earliest first."""
    return rows.run_rows(
        db,
        f"WHERE NOT resident AND wake_at IS NOT NULL AND {rows.OPEN} AND wake_at <= ? "
        f"ORDER BY wake_at LIMIT ?",
        (now, limit),
    )


def next_wake(db: Connection, after: int) -> int | None:
    """Return the earliest `wake_at` behind `after` of a passivated run."""
    which = f"NOT resident AND wake_at IS NOT NULL AND {rows.OPEN} AND wake_at > ?"
    found = db.execute(f"SELECT min(wake_at) FROM runs WHERE {which}", (after,)).fetchall()[0][0]
    return None if found is None else rows.integer(found)


def read_mailbox(reading: Reading, run: RunId, limit: int, after: int) -> list[Message]:
    """Return the run's undelivered messages numbered above `after`, oldest first."""
    db = reading.of(run, "mailbox")
    rest = "WHERE run = ? AND number > ? ORDER BY number LIMIT ?"
    found = fetch(db, tables.MAILBOX, rest, (run, after, limit))
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


def count_by_status(db: Connection) -> dict[Status, int]:
    """Return how many workflow runs there are of each status."""
    found = db.execute(
        "SELECT status, count(*) FROM runs WHERE kind = 'workflow' GROUP BY status"
    ).fetchall()
    counts = {f"{status}": rows.integer(count) for status, count in found}
    return {status: counts[status] for status in STATUSES if status in counts}


def count_dead(db: Connection) -> int:
    """Return how many dead letters there are."""
    return rows.integer(db.execute("SELECT count(*) FROM dead_letters").fetchall()[0][0])


def read_stream(
    reading: Reading, run: RunId, name: str, offset: int, limit: int
) -> list[StreamRow]:
    """Return stream rows that hold offsets from `offset` on."""
    db = reading.of(run, "streams")
    # The first one that counts may begin below: the index leads to it.
    codec = db.codec
    found = db.execute(
        f"SELECT {tables.STREAMS.selected} FROM streams WHERE run = ?1 AND name = ?2 "
        f'AND "offset" >= coalesce((SELECT max("offset") FROM streams '
        f'WHERE run = ?1 AND name = ?2 AND "offset" <= ?3), 0) '
        f'AND "offset" + "count" > ?3 ORDER BY "offset", rowid LIMIT ?4',
        (run, name, offset, limit),
    )
    page: list[StreamRow] = []
    size = 0
    with closing(found):
        while size < limits.STREAM_READ_BYTES and (cells := found.fetchone()) is not None:
            if codec is not None:
                cells = decoded(codec, tables.STREAMS, cells)
            page.append(rows.stream_row(cells))
            size += len(page[-1].body)
    return page


def read_retractions(reading: Reading, run: RunId, name: str, offset: int) -> dict[str, int]:
    """Return the writers that are taken back from an offset of a stream on, and where."""
    db = reading.of(run, "streams")
    rest = "WHERE run = ? AND name = ? AND \"offset\" >= ? AND kind = 'retract'"
    found = [rows.stream_row(x) for x in fetch(db, tables.STREAMS, rest, (run, name, offset))]
    return {row.writer: row.offset for row in found}


def read_stream_ends(reading: Reading, run: RunId) -> dict[str, int]:
    """Return the next offset of each of the run's streams: two looks into the index for each."""
    db = reading.of(run, "streams")
    following = "SELECT min(name) FROM streams WHERE run = ? AND name > ?"
    last = (
        'SELECT "offset" + "count" FROM streams WHERE run = ? AND name = ? '
        'ORDER BY "offset" DESC, rowid DESC LIMIT 1'
    )
    ends: dict[str, int] = {}
    name = ""
    while (found := db.execute(following, (run, name)).fetchall()) and found[0][0] is not None:
        name = f"{found[0][0]}"
        ends[name] = rows.integer(db.execute(last, (run, name)).fetchall()[0][0])
    return ends


def read_value(reading: Reading, run: RunId, name: str) -> bytes | None:
    """Return the last value set under this name."""
    db = reading.of(run, "run_values")
    found = fetch(db, tables.VALUES, "WHERE run = ? AND name = ?", (run, name))
    return rows.value_row(found[0])[1] if found else None


def read_values(reading: Reading, run: RunId, prefix: str) -> dict[str, bytes]:
    """Return the values whose names begin so, by name."""
    db = reading.of(run, "run_values")
    rest = "WHERE run = ? AND name >= ? AND name < ? ORDER BY name"
    found = fetch(db, tables.VALUES, rest, (run, prefix, prefix + "\U0010ffff"))
    return dict(rows.value_row(cells) for cells in found)


def read_dead(db: Connection, run: RunId | None, after: int, limit: int) -> list[DeadLetter]:
    """Return dead letters numbered above `after`, oldest first."""
    which, cells = ("", ()) if run is None else (" AND run = ?", (run,))
    rest = f"WHERE number > ?{which} ORDER BY number LIMIT ?"
    size = limits.PAGE_READ_BYTES
    found = fetch(db, tables.DEAD_LETTERS, rest, (after, *cells, limit), bytes_max=size)
    return [rows.any_dead_letter(cells) for cells in found]


def read_value_names(reading: Reading, run: RunId) -> list[str]:
    """Return the names of the run's values; the values are not read."""
    db = reading.of(run, "run_values")
    found = db.execute("SELECT name FROM run_values WHERE run = ? ORDER BY name", (run,)).fetchall()
    return [str(name) for (name,) in found]


def count_mail(reading: Reading, run: RunId, limit: int) -> tuple[int, int | None]:
    """Return how many messages wait for a run, `limit` at most, and when the oldest was sent."""
    db = reading.of(run, "mailbox")
    found = db.execute(
        "SELECT count(*), (SELECT at FROM mailbox WHERE run = ?1 ORDER BY number LIMIT 1) "
        "FROM (SELECT 1 FROM mailbox WHERE run = ?1 LIMIT ?2)",
        (run, limit),
    ).fetchall()
    count, oldest = found[0]
    return rows.integer(count), None if oldest is None else rows.integer(oldest)


def log_size(db: Connection) -> int:
    """Return how many records the log's tail holds: it has no gaps, so both ends tell."""
    first, last = db.execute(
        "SELECT (SELECT min(position) FROM journal), (SELECT max(position) FROM journal)"
    ).fetchall()[0]
    return 0 if last is None else rows.integer(last) - rows.integer(first) + 1


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


def _refuse_end(end: int, last: int, run: RunId) -> None:
    """Refuse a journal that ends before the last record that its run's row knows of."""
    if end < last:
        raise StoreDamaged(
            f"the journal of run {run!r} is damaged: it ends with record {end}, and record {last} "
            f"was written"
        )


def _page(db: Connection, records: list[Record], part: Part) -> list[Record]:
    """Return as many records as the part's bytes hold, bodies of blobs in place."""
    page: list[Record] = []
    size = 0
    for record in reversed(records) if part.from_end else records:
        page += _filled(db, [record])
        size += len(page[-1].body)
        if part.bytes_max is not None and size >= part.bytes_max:
            break
    return page[::-1] if part.from_end else page


def _filled(db: Connection, records: list[Record]) -> list[Record]:
    """Put the bodies of blobs in place of their addresses."""
    found: list[Record] = []
    for record in records:
        digest = blob_digest(record.body)
        if digest is not None:
            body = filled(record.body, _blob(db, digest))
            record = msgspec.structs.replace(record, body=body)
        found.append(record)
    return found


def _blob(db: Connection, digest: bytes) -> bytes:
    codec = db.codec
    place = digest if codec is None else codec.address(digest)
    found = db.execute("SELECT body FROM blobs WHERE digest = ?", (place,)).fetchall()
    body = _bytes(found[0][0]) if found else b""
    if codec is not None:
        try:
            body = codec.decode_blob(place, body)
        except NotAuthentic:
            body = b""
    if hashlib.sha256(body).digest() != digest:
        raise StoreDamaged(f"the blob {digest.hex()} is damaged or missing")
    return body


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise StoreDamaged(f"{value!r} stands where bytes belong")
    return value
