"""Files of a database that give way to others, kept beside it: of a restore, or a stale log.

What a backup replaces is moved into one directory.

A restore that is killed leaves one of these, and each tells itself apart from the others:

  * the database as it was, perhaps with a copy that is not finished (`.restoring`);
  * a directory `.before-restore-N.moving`: some of the old files are in it, others may not be;
  * no database, and a `.restoring` that is whole: all old files are in `.before-restore-N`;
  * the restored database in its place.

In the second and third nothing opens the database, and `db restore` goes on where it was.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from outlast._store.sqlite.files.write_ahead_log import sync_path
from outlast.errors import StoreDamaged, StoreError

_KEPT = ".before-restore-"
_MOVING = ".moving"
# What makes up the state of a database. The database comes first: without it nothing is opened.
_SUFFIXES = ("", "-wal", ".mark")


def restoring_path(path: Path) -> Path:
    """Return where a copy of a backup is made before it takes the place of a database."""
    return _beside(path, ".restoring")


def refuse_interrupted(path: Path) -> None:
    """Refuse a database whose restore was interrupted.

    Raises:
        StoreDamaged: its files are not all in their place; it says how to go on, and how back.
    """
    moving = _moving(path)
    again = f"outlast db restore FILE --db {shlex.quote(str(path))}"
    if moving is not None and any(moving.iterdir()):
        inside, outside = shlex.quote(str(moving)), shlex.quote(str(path.parent))
        raise StoreDamaged(
            f"a restore of {path} was interrupted, or is in progress: files of the old state are "
            f"in {moving}, and others may still be next to the database. Nothing is lost. Repeat "
            f"`{again}`: it puts the backup in place and keeps all old files in "
            f"{_kept_name(moving)}. Or go back to the old state: mv {inside}/* {outside} && rmdir "
            f"{inside}"
        )
    if path.exists() or not restoring_path(path).exists():
        return
    kept = newest_kept(path)
    where = f" All old files are in {kept}." if kept is not None else ""
    raise StoreDamaged(
        f"a restore of {path} was interrupted, or is in progress: the backup is not in place "
        f"yet.{where} Nothing is lost. Repeat `{again}`"
    )


def remove_remains(path: Path) -> None:
    """Remove what an interrupted restore left beside a database that it had not touched yet."""
    if path.exists():
        for suffix in ("", "-journal"):
            _beside(restoring_path(path), suffix).unlink(missing_ok=True)
        moving = _moving(path)
        if moving is not None and not any(moving.iterdir()):
            moving.rmdir()


def set_aside(path: Path) -> Path | None:
    """Move all that belongs to the state of a database into a directory; go on with an earlier try.

    Returns the directory, None when there was nothing to move.

    Raises:
        StoreError: a file that was moved by an interrupted restore is there again.
    """
    files = [file for file in (_beside(path, suffix) for suffix in _SUFFIXES) if file.exists()]
    moving = _moving(path)
    if moving is None and files:
        moving = _beside(path, f"{_KEPT}{_free_number(path)}{_MOVING}")
        moving.mkdir(mode=0o700)
        sync_path(path.parent)
    for file in files:
        if moving is None:
            break
        if (moving / file.name).exists():
            raise StoreError(
                f"{file} and {moving / file.name} both exist: an interrupted restore moved one of "
                f"them away, and another file took its place. Move one of them elsewhere"
            )
        file.rename(moving / file.name)
    _beside(path, "-shm").unlink(missing_ok=True)
    if moving is not None:
        # The old log must never lie beside the new database, not even after a power loss.
        sync_path(moving)
        sync_path(path.parent)
        kept = moving.rename(_kept_name(moving))
        sync_path(path.parent)
        return kept
    sync_path(path.parent)
    return None


def set_log_aside(path: Path) -> Path:
    """Rename the log of a database, which no process has open, and return where it is now.

    Raises:
        OSError: it cannot be renamed.
    """
    number = 1
    while (kept := _beside(path, f"-wal.stale-{number}")).exists():
        number += 1
    _beside(path, "-wal").rename(kept)
    # The shared memory is the index of that log.
    _beside(path, "-shm").unlink(missing_ok=True)
    sync_path(path.parent)
    return kept


def newest_kept(path: Path) -> Path | None:
    """Return the directory of the last restore that has moved all old files."""
    number = _free_number(path) - 1
    return _beside(path, f"{_KEPT}{number}") if number else None


def _moving(path: Path) -> Path | None:
    found = sorted(path.parent.glob(f"{_escaped(path.name)}{_KEPT}*{_MOVING}"))
    return found[0] if found else None


def _kept_name(moving: Path) -> Path:
    return moving.with_name(moving.name.removesuffix(_MOVING))


def _free_number(path: Path) -> int:
    number = 1
    while _beside(path, f"{_KEPT}{number}").exists():
        number += 1
    return number


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
