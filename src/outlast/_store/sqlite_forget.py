"""Deleting runs with all they own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outlast._store.sqlite_connection import Connection, texts
from outlast._store.sqlite_rows import OPEN
from outlast.types import RunId

_OWNED = ("histories", "mailbox", "dead_letters", "streams", "run_values", "tokens")


def forget(db: Connection, runs: Sequence[RunId]) -> None:
    """Delete runs with all they own; their records in the log's tail stay, hidden."""
    gone = tuple(runs)
    db.execute("DELETE FROM runs WHERE id IN carray(?)", (texts(gone),))
    for table in _OWNED:
        db.execute(f"DELETE FROM {table} WHERE run IN carray(?)", (texts(gone),))
    freed = db.execute(
        "DELETE FROM blob_refs WHERE run IN carray(?) RETURNING digest", (texts(gone),)
    ).fetchall()
    _drop_unused(db, {digest: None for (digest,) in freed if isinstance(digest, bytes)})


def release(db: Connection, run: RunId, digests: Sequence[bytes]) -> None:
    """Let go of blobs that a run needs no more; those that nobody else needs are deleted."""
    refs = [(run, digest) for digest in digests]
    db.executemany("DELETE FROM blob_refs WHERE run = ? AND digest = ?", refs)
    _drop_unused(db, digests)


def _drop_unused(db: Connection, digests: Iterable[bytes]) -> None:
    db.executemany(
        "DELETE FROM blobs WHERE digest = ?1 "
        "AND NOT EXISTS (SELECT 1 FROM blob_refs WHERE digest = ?1)",
        [(digest,) for digest in digests],
    )


def prune(db: Connection, closed_before: int, limit: int) -> int:
    """Delete up to `limit` runs closed before this time, and count them."""
    # A run was created before it was closed, so the index on its age leads to the old ones.
    old = db.execute(
        "SELECT id FROM runs WHERE created_at < ?1 AND closed_at < ?1 "
        "ORDER BY created_at, id LIMIT ?2",
        (closed_before, limit),
    ).fetchall()
    if old:
        forget(db, [RunId(str(run)) for (run,) in old])
    return len(old)


def truncate(db: Connection, limit: int) -> int:
    """Delete up to `limit` of the log's oldest records, up to the first that is needed."""
    # Only so many of the oldest records are looked at; the rest of the log is not touched.
    last, needed = db.execute(
        "WITH oldest AS (SELECT position, run, seq FROM journal ORDER BY position LIMIT ?) "
        "SELECT max(o.position), min(CASE WHEN r.id IS NOT NULL THEN o.position END) "
        "FROM oldest o LEFT JOIN runs r ON r.id = o.run AND o.position >= r.started_position "
        f"AND o.seq > r.packed_seq AND r.{OPEN}",
        (limit,),
    ).fetchall()[0]
    if not isinstance(last, int):
        return 0
    before = needed if isinstance(needed, int) else last + 1
    # A log that is cut to nothing must go on where it ended.
    db.execute("UPDATE shards SET position = max(position, (SELECT max(position) FROM journal))")
    db.execute("DELETE FROM journal WHERE position < ?", (before,))
    return db.changes()
