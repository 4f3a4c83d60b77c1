"""The row of the shard: who has the lease, under which epoch, and how far the database is.

Every commit compares it, in its own transaction, with what the commit before it left. Whoever
takes the lease raises the epoch, so an engine that has lost it finds out before it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw

from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.faults import errno_of, translate
from outlast._store.sqlite.tables.batch import Shard
from outlast._store.sqlite.tables.columns import DAMAGED_SHARD, SHARDS, fetch, is_whole, sealed
from outlast._store.transactions import CommitId
from outlast.errors import StoreDamaged

# What the log has is not noted twice: its last position tells where it stands.
_SHARD = """
SELECT owner, epoch, max(position, coalesce((SELECT max(position) FROM journal), 0)), message,
    max(commits, coalesce((SELECT commit_number FROM journal ORDER BY position DESC LIMIT 1), 0))
FROM shards
"""
_NOTE = f"UPDATE shards SET ({SHARDS.selected}) = ({', '.join('?' * (len(SHARDS.columns) + 1))})"


class ShardRow:
    """Reads and writes the row in the database at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, db: Connection) -> Shard:
        """Return the lease and how far the database is.

        Raises:
            StoreDamaged: the row is not what was written.
            StoreError: it cannot be read.
        """
        owner, epoch, position, message, commits = self._fetch(db, _SHARD, ())[0]
        if not (
            isinstance(epoch, int)
            and isinstance(position, int)
            and isinstance(message, int)
            and isinstance(commits, int)
        ):
            raise StoreDamaged(f"{self._path} is damaged: {DAMAGED_SHARD}")
        return Shard(str(owner), epoch, position, message, commits)

    def noted(self, db: Connection) -> tuple[CommitId, bytes]:
        """Return the last commit that was noted in the row, and which database it is.

        Raises:
            StoreDamaged: the row is not what was written.
        """
        for cells in fetch(db, SHARDS, "WHERE id = 0"):
            owner, number, database_id = cells[5:8]
            if is_whole(cells) and isinstance(number, int) and isinstance(database_id, bytes):
                return CommitId(str(owner), number), database_id
        raise StoreDamaged(f"{self._path} is damaged: {DAMAGED_SHARD}")

    def has_noted(self, db: Connection, commit_id: CommitId) -> bool:
        """Say whether this was the last commit that was noted in the row."""
        query = "SELECT 1 FROM shards WHERE commit_owner = ? AND commit_number = ?"
        return bool(self._fetch(db, query, (commit_id.owner, commit_id.number)))

    def _fetch(
        self, db: Connection, sql: str, cells: Sequence[str | int]
    ) -> Sequence[Sequence[object]]:
        try:
            return db.execute(sql, cells).fetchall()
        except apsw.Error as error:
            raise translate(error, str(self._path), system_errno=errno_of(error, db)) from error


def note(db: Connection, shard: Shard, noted: CommitId, database_id: bytes) -> None:
    """Write the row: all of it, for its checksum."""
    cells = (0, shard.owner, shard.epoch, shard.position, shard.message, noted.owner,
             noted.number, database_id, shard.commits, 0)  # fmt: skip
    db.execute(_NOTE, sealed(cells))


def difference(expected: Shard, found: Shard) -> str:
    """Say what changed the row from what this engine left."""
    if (found.owner, found.epoch) != (expected.owner, expected.epoch):
        return (
            f"another engine ({found.owner or 'closed since'}) took the lease under epoch "
            f"{found.epoch}, after {expected.epoch} of this one,"
        )
    return (
        f"another program changed the tables (position {found.position} and commit "
        f"{found.commits} are there, {expected.position} and {expected.commits} were written)"
    )
