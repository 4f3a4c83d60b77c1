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
    """Replace a database with a backup; no process may be using the database.

    The previous files are kept in a directory next to the database.
    """
    path = _real(target_of(db, url).name)
    make_directory(path.parent)
    kept = alone(path, lambda: restore_backup(backup, path))
    say(safe_line(path))
    note(f"restored from {safe_line(backup)}")
    if kept is not None:
        note(f"the previous files are kept in {safe_line(kept)}")


@click.command()
@click.option(
    "--accept-loss",
    type=click.IntRange(min=1),
    metavar="N",
    default=None,
    help="Accept the loss of N acknowledged commits; run without this option to see N.",
)
@database_options
def salvage(*, accept_loss: int | None, db: str | None, url: str | None) -> int:
    """List acknowledged commits that are missing from a database, and optionally accept the loss.

    Before it changes anything, the command copies the files into a directory next to them.
    """
    path = _real(existing_target(db, url).name)
    found = alone(path, lambda: salvage_database(path, accept_loss))
    loss, kept = found.loss, found.kept
    if loss is None:
        if found.stale_log is not None:
            note(
                f"{safe_line(found.stale_log.text)}; the next engine that opens the database "
                "sets it aside under another name"
            )
        note(f"{safe_line(path)} has every acknowledged commit; there is nothing to do")
        return 0
    lost = counted(loss.commits, "acknowledged commit")
    say(f"{safe_line(path)} lacks {lost}: {safe_line(loss.reason)}")
    if kept is None:
        command = command_line("db", "salvage", "--accept-loss", f"{loss.commits}")
        note(
            "runs that these commits started are lost, runs that they advanced are back at an "
            "earlier point, and their steps will run again"
        )
        note(f"restore a backup, or accept the loss: {command}")
        return 1
    note(
        "loss accepted: the database can be opened again; the original files are in "
        f"{safe_line(kept)}"
    )
    return 0


def _real(name: str) -> Path:
    return Path(os.path.realpath(name))


def alone(path: Path, work: Callable[[], T]) -> T:
    """Do what no other process may disturb."""
    try:
        return work()
    except StoreLocked as locked:
        raise StoreError(
            f"{path} is in use by process {locked.pid or 'unknown'}, and this command needs "
            "exclusive access: stop that process (SIGTERM drains it), then try again"
        ) from None
