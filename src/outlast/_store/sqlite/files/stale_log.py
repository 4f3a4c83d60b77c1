"""Whether the write-ahead log beside a database belongs to the state that its file is in.

SQLite lays any log over the database file that has the right form. One of an earlier time would
take back what was committed since. Such a log lies there when it was copied back, or left by a copy
of the database that was killed.

The numbers of commits tell. Each commit writes its number into a page, and a checkpoint copies only
pages that are synced in the log. So whatever a checkpoint has copied, finished or not, the right
log has every number that the file has. A log is stale when

  * with it, the database ends with an earlier commit than the file alone, or has an older schema;
  * with it, the database cannot be read, although the file alone is whole;
  * both end with the same commit, but the log does not hold the pages with that commit's number:
    then the number was read past the log, whose pages are older.

Commits without a number are migrations; they raise the schema, and so tell the direction too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.files.loss import Commits
from outlast._store.sqlite.files.wal import LogContent
from outlast._wording.plurals import counted
from outlast.errors import StoreDamaged

log = logging.getLogger("outlast.store")


@dataclass(frozen=True, slots=True)
class State:
    """What a database says of itself, read with its log or from the file alone."""

    schema: int
    commits: Commits | None


@dataclass(frozen=True, slots=True)
class StaleLog:
    """A log that must not be laid over the database beside it."""

    database: Path
    commits: Commits  # of the file alone
    why: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return log_path(self.database)

    @property
    def text(self) -> str:
        """What is wrong with it, in words."""
        return (
            f"{self.path} is not the log of this state of the database: {self.why}. Without it, "
            f"the database has {counted(self.commits.number, 'commit')}"
        )


def is_ahead(alone: State, through: State) -> bool:
    """Say whether a log takes a database forward, which a stale one does not."""
    if alone.commits is None or through.commits is None or through.schema < alone.schema:
        return False
    is_migrated = through.schema > alone.schema and is_same_number(alone, through)
    return is_migrated or through.commits.number > alone.commits.number


def is_same_number(alone: State, through: State) -> bool:
    """Say whether a database ends with the same commit with its log and without it."""
    if alone.commits is None or through.commits is None:
        return False
    return through.commits.number == alone.commits.number


def is_stale(alone: State, through: State, content: LogContent, carriers: frozenset[int]) -> bool:
    """Say whether a log that is not ahead takes the database back.

    `carriers` are the pages of the file that carry the number of its last commit.
    """
    if not is_same_number(alone, through) or through.schema < alone.schema:
        return True
    return content.commits > 0 and not carriers <= content.pages


def may_be_damaged(content: LogContent, carriers: frozenset[int]) -> bool:
    """Say whether a log may have held the last commit of the file before it was damaged.

    Then a checkpoint of it may have been interrupted, and the file alone is not to be trusted.
    """
    return content.ignored > 0 and carriers <= content.pages | content.pages_ignored


def read_carriers(db: Connection, commits: Commits) -> frozenset[int]:
    """Return the pages that carry the number of the last commit: of the shard, of the log's end."""
    found: set[int] = set()
    if db.execute("SELECT 1 FROM shards WHERE commits = ?", (commits.number,)).fetchall():
        sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'shards'"
        found.update(_numbers(db, sql))
    last = db.execute("SELECT commit_number FROM journal ORDER BY position DESC LIMIT 1").fetchall()
    if last and last[0][0] == commits.number:
        # The path of a page sorts as its rows do.
        sql = (
            "SELECT pageno FROM dbstat WHERE name = 'journal' AND pagetype = 'leaf' "
            "ORDER BY path DESC LIMIT 1"
        )
        found.update(_numbers(db, sql))
    return frozenset(found)


def _numbers(db: Connection, sql: str) -> list[int]:
    return [cell for (cell,) in db.execute(sql).fetchall() if isinstance(cell, int)]


def explain_difference(alone: Commits, through: State | None) -> str:
    """Return in words what would become of the database with a stale log."""
    if through is None:
        return "the database cannot be read with it, only without it"
    if through.commits is None or through.commits.number == alone.number:
        return "its pages are older than those of the database file"
    return (
        f"with it the database would end with commit {through.commits.number}, without it with "
        f"commit {alone.number}"
    )


def refuse_to_read(stale: StaleLog) -> StoreDamaged:
    """Return the error for a reader: what the database has cannot be read beside that log."""
    return StoreDamaged(
        f"{stale.text}, including all acknowledged ones. Nothing was changed, and nothing is lost. "
        f"An engine that opens the database renames that log and does not apply it, and so does "
        f"`outlast db migrate --db {stale.database}`. You can also move it away yourself"
    )


def refuse_unwhole(stale: StaleLog, fault: str) -> StoreDamaged:
    """Return the error where the file needs its right log, and another one is there."""
    return StoreDamaged(
        f"{stale.text}, but the file is incomplete ({fault}): a checkpoint may have been "
        f"interrupted. Nothing was changed. Put the right log back, or restore a backup with "
        f"`outlast db restore`"
    )


def log_path(database: Path) -> Path:
    """Return the write-ahead log of a database."""
    return database.with_name(database.name + "-wal")
