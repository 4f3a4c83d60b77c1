"""Deleting runs with all they own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outlast._store.rows import RunRow
from outlast._store.sqlite.connection import Connection, texts
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables.columns import fetch, fetch_columns, is_whole
from outlast._store.sqlite.tables.rows import run_rows
from outlast.types import CLOSED_STATUSES, RunId

_OWNED = ("histories", "mailbox", "streams", "run_values", "tokens")


def forget(db: Connection, runs: Sequence[RunId], *, dead_letters: bool = True) -> None:
    """Delete runs with all they own; their records in the log's tail stay, hidden.

    Without `dead_letters` these stay: a run that takes the id of another one has not read them.
    """
    gone = tuple(runs)
    db.execute("DELETE FROM runs WHERE id IN carray(?)", (texts(gone),))
    for table in (*_OWNED, "dead_letters") if dead_letters else _OWNED:
        db.execute(f"DELETE FROM {table} WHERE run IN carray(?)", (texts(gone),))
    freed = db.execute(
        "DELETE FROM blob_refs WHERE run IN carray(?) RETURNING digest", (texts(gone),)
    ).fetchall()
    _drop_unused(db, {digest: None for (digest,) in freed if isinstance(digest, bytes)})


def release(db: Connection, run: RunId, digests: Sequence[bytes]) -> None:
    """Let go of blobs that a run needs no more; those without other users are deleted."""
    codec = db.codec
    places = digests if codec is None else [codec.address(digest) for digest in digests]
    refs = [(run, place) for place in places]
    db.executemany("DELETE FROM blob_refs WHERE run = ? AND digest = ?", refs)
    _drop_unused(db, places)


def _drop_unused(db: Connection, digests: Iterable[bytes]) -> None:
    db.executemany(
        "DELETE FROM blobs WHERE digest = ?1 "
        "AND NOT EXISTS (SELECT 1 FROM blob_refs WHERE digest = ?1)",
        [(digest,) for digest in digests],
    )


def prune(db: Connection, closed_before: int, limit: int) -> int:
    """Delete up to `limit` runs closed before this time, and count them."""
    # A run was created before it was closed, so the index on its age leads to the old ones.
    rest = "WHERE created_at < ?1 AND closed_at < ?1 ORDER BY created_at, id LIMIT ?2"
    old = run_rows(db, rest, (closed_before, limit))
    # Of a damaged row, it is not known when the run has closed.
    gone = [row.id for row in old if row.parked_as != "damaged"]
    if gone:
        forget(db, gone)
    return len(gone)


def truncate(db: Connection, limit: int) -> int:
    """Delete up to `limit` of the log's oldest records, up to the first that is needed."""
    # Only so many of the oldest records are looked at; the rest of the log is not touched.
    rest = "FROM journal ORDER BY position LIMIT ?"
    oldest = fetch_columns(db, "position, run, seq", tables.JOURNAL.texts, rest, (limit,))
    if not oldest:
        return 0
    runs = texts({str(run) for _, run, _ in oldest})
    known = {row.id: row for row in run_rows(db, "WHERE id IN carray(?)", (runs,))}
    before = int(f"{oldest[-1][0]}") + 1
    for position, run, seq in oldest:
        row = known.get(RunId(str(run)))
        if _is_needed(row, position, seq) if row is not None else _is_damaged(db, position):
            before = int(f"{position}")
            break
    db.execute("DELETE FROM journal WHERE position < ?", (before,))
    return db.changes()


def _is_needed(row: RunRow, position: object, seq: object) -> bool:
    if not isinstance(position, int) or not isinstance(seq, int):
        return True
    if row.status in CLOSED_STATUSES:
        return False
    is_known = row.parked_as != "damaged"
    return not is_known or (position >= row.started_position and seq > row.packed_seq)


def _is_damaged(db: Connection, position: object) -> bool:
    """Of a record whose run is not there: whether that is because the record is damaged."""
    found = fetch(db, tables.JOURNAL, "WHERE position = ?", (int(f"{position}"),))
    return not all(is_whole(cells) for cells in found)
