"""Deleting runs with all they own."""

from __future__ import annotations

from collections.abc import Sequence

from outlast._store.sqlite_connection import Connection, texts
from outlast.types import RunId

_OWNED = ("histories", "mailbox", "undelivered", "streams", "run_values")


def forget(db: Connection, runs: Sequence[RunId]) -> None:
    """Delete runs with all they own; their records in the log's tail stay, hidden."""
    gone = tuple(runs)
    db.execute("DELETE FROM runs WHERE id IN carray(?)", (texts(gone),))
    for table in _OWNED:
        db.execute(f"DELETE FROM {table} WHERE run IN carray(?)", (texts(gone),))
    freed = db.execute(
        "DELETE FROM blob_refs WHERE run IN carray(?) RETURNING digest", (texts(gone),)
    ).fetchall()
    digests = {digest: None for (digest,) in freed if isinstance(digest, bytes)}
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


def truncate(db: Connection, before: int, limit: int) -> int:
    """Delete up to `limit` records of the log below a position, and count them."""
    last = db.execute(
        "SELECT max(position) FROM (SELECT position FROM journal WHERE position < ? "
        "ORDER BY position LIMIT ?)",
        (before, limit),
    ).fetchall()[0][0]
    if not isinstance(last, int):
        return 0
    db.execute("DELETE FROM journal WHERE position <= ?", (last,))
    return db.changes()
