"""Whether a database still has every commit that was acknowledged, judged before it is written.

Two witnesses: the mark beside the database (`sqlite_mark`), and commits of the write-ahead log
behind a damaged frame (`sqlite_wal`). Without a mark and without a single commit there is a third
one, the reserve of space: it is made after the mark, by an engine whose first commit takes the
lease. One such commit may be the last one before a power loss,
which was never synced. Two may not: a commit is synced before the next one begins.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.files.mark import MarkContent, is_blank, mark_path
from outlast._store.sqlite.files.wal import LogContent
from outlast._store.sqlite.files.write_ahead_log import reserve_path
from outlast._store.sqlite.opening import open_file_alone, pragma, translated
from outlast._wording.plurals import counted

log = logging.getLogger("outlast.store")

_FIRST_SCHEMA = 5  # the first one that counts commits
_COMMITS = (
    "SELECT s.database_id, s.epoch, max(s.commits, coalesce(j.commit_number, 0)), s.is_copy "
    "FROM shards s LEFT JOIN "
    "(SELECT commit_number FROM journal ORDER BY position DESC LIMIT 1) j ON true"
)


@dataclass(frozen=True, slots=True)
class Commits:
    """What a database says of its own commits."""

    database_id: bytes
    epoch: int
    number: int
    is_copy: bool

    @property
    def as_mark(self) -> MarkContent:
        """The mark that fits."""
        return MarkContent(self.database_id, self.epoch, self.number)


@dataclass(frozen=True, slots=True)
class Loss:
    """Commits that were acknowledged and are not there."""

    commits: int
    reason: str
    is_least: bool = False  # there may have been more


def read_commits(db: Connection, schema: int) -> Commits | None:
    """Return what a database says of its commits; None of a schema that does not count them."""
    if schema < _FIRST_SCHEMA:
        return None
    for database_id, epoch, number, is_copy in db.execute(_COMMITS).fetchall():
        if isinstance(database_id, bytes) and isinstance(epoch, int) and isinstance(number, int):
            return Commits(database_id, epoch, number, bool(is_copy))
    return None


def read_file_commits(path: Path) -> Commits | None:
    """Return what the database file alone says of its commits, without its log.

    Raises:
        StoreDamaged, StoreError: it is no database of ours, or cannot be read.
    """
    with translated(path):
        db = open_file_alone(path)
        try:
            return read_commits(db, pragma(db, "user_version"))
        finally:
            db.close(True)


def find_loss(
    path: Path, commits: Commits | None, mark: MarkContent | None, content: LogContent
) -> Loss | None:
    """Return what was lost, None when everything acknowledged is there."""
    behind = 0
    if commits is not None and mark is not None and mark.database_id == commits.database_id:
        behind = mark.number - commits.number
    if commits is not None and mark is None and _has_lost_all(path, commits):
        reason = (
            f"it has no commits, {mark_path(path)} is missing, and {reserve_path(path)} shows that "
            f"an engine had the database open"
        )
        return Loss(1, reason, is_least=True)
    ignored = content.ignored if content.ignored > 1 else 0
    if behind <= 0 and not ignored:
        return None
    reasons: list[str] = []
    if behind > 0 and commits is not None and mark is not None:
        reasons.append(
            f"it ends with commit {commits.number}, but {mark_path(path)} says that commit "
            f"{mark.number} was acknowledged"
        )
    if ignored:
        reasons.append(
            f"its write-ahead log {path}-wal is damaged at byte {content.bytes_valid} or later, "
            f"with {counted(ignored, 'commit')} behind"
        )
    return Loss(max(behind, ignored), "; ".join(reasons))


def _has_lost_all(path: Path, commits: Commits) -> bool:
    if commits.number or commits.is_copy or not commits.database_id:
        return False
    return reserve_path(path).exists() and not mark_path(path).exists()


def explain(path: Path, loss: Loss) -> str:
    """Return the message for a loss: what is missing, and what can be done."""
    count = counted(loss.commits, "acknowledged commit")
    least = "at least " if loss.is_least else ""
    return (
        f"{path} lacks {least}{count}: {loss.reason}. Nothing was changed. If {path}-wal was moved "
        f"or is an older copy, put the right one back. Otherwise restore a backup with `outlast db "
        f"restore`, or continue without those commits: `outlast db salvage --db {path} "
        f"--accept-loss {loss.commits}`"
    )


def settle_mark(path: Path, commits: Commits, mark: MarkContent | None) -> None:
    """Say what is odd about a mark; one of another database is renamed."""
    place = mark_path(path)
    if mark is None:
        was_killed = is_blank(path)  # the opening that made it; it says no more than a missing one
        if place.exists() and not was_killed:
            log.warning("%s is damaged; it is rewritten", place)
        elif not commits.is_copy and (commits.number or not was_killed):
            log.warning(
                "%s is %s: commits lost before now cannot be detected; it is created again",
                place,
                "empty" if was_killed else "missing",
            )
    elif mark.database_id != commits.database_id:
        aside = place.with_name(f"{place.name}.{mark.database_id.hex()[:8]}")
        log.warning("%s belongs to another database; it is renamed to %s", place, aside)
        place.replace(aside)
