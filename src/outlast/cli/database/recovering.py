"""`outlast db restore | salvage`: when a database is lost, damaged, or lacks commits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from outlast._store.sqlite.backup import restore as restore_backup
from outlast._store.sqlite.backup import salvage as salvage_database
from outlast._store.sqlite.files.write_ahead_log import make_directory
from outlast._wording.plurals import counted
from outlast.cli.places import command_line, database_options, existing_target, target_of
from outlast.cli.printing import note, safe_line, say
from outlast.errors import StoreError, StoreLocked

T = TypeVar("T")


@click.command()
@click.argument("backup", metavar="FILE", type=click.Path(path_type=Path))
@database_options
def restore(*, backup: Path, db: str | None, url: str | None) -> None:
    """Put a backup in the place of a database that no process runs.

    What stood there is kept in a directory beside it.
    """
    path = _real(target_of(db, url).name)
    make_directory(path.parent)
    kept = _alone(path, lambda: restore_backup(backup, path))
    say(safe_line(path))
    note(f"restored from {safe_line(backup)}")
    if kept is not None:
        note(f"what stood there is kept in {safe_line(kept)}")


@click.command()
@click.option(
    "--accept-loss",
    type=click.IntRange(min=1),
    metavar="N",
    default=None,
    help="Go on without N commits that were acknowledged; N as the command says without this.",
)
@database_options
def salvage(*, accept_loss: int | None, db: str | None, url: str | None) -> int:
    """Say which acknowledged commits a database lacks, and go on without them if told to.

    The files are copied into a directory beside them before anything is changed.
    """
    path = _real(existing_target(db, url).name)
    found = _alone(path, lambda: salvage_database(path, accept_loss))
    loss, kept = found.loss, found.kept
    if loss is None:
        if found.stale_log is not None:
            note(f"{safe_line(found.stale_log.text)}; the next engine keeps it under another name")
        note(f"{safe_line(path)} lacks no commit that was acknowledged; nothing to do")
        return 0
    lost = counted(loss.commits, "acknowledged commit")
    say(f"{safe_line(path)} lacks {lost}: {safe_line(loss.reason)}")
    if kept is None:
        command = command_line("db", "salvage", "--accept-loss", f"{loss.commits}")
        note("runs that began or went on in them are gone or further back; steps run again")
        note(f"restore a backup, or go on without them: {command}")
        return 1
    note(f"accepted: the database goes on without them; the files as they were: {safe_line(kept)}")
    return 0


def _real(name: str) -> Path:
    return Path(os.path.realpath(name))


def _alone(path: Path, work: Callable[[], T]) -> T:
    try:
        return work()
    except StoreLocked as locked:
        raise StoreError(
            f"{path} is run by process {locked.pid or 'unknown'}, and this needs it unused: stop "
            f"that process (SIGTERM lets it drain), then try again"
        ) from None
