"""`outlast db verify`: whether what is stored is what was written."""

from __future__ import annotations

from pathlib import Path

import apsw
import click

from outlast._store.sqlite.examination import prepare_reading
from outlast._store.sqlite.faults import translate
from outlast._store.sqlite.files.traces import without_traces
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.tables.verify import faults
from outlast._wording.plurals import counted
from outlast.cli.places import database_options, existing_target
from outlast.cli.printing import note, safe_line, say
from outlast.errors import StoreDamaged

_DAMAGED = " is damaged"  # and not a part of its path
_ADVICE = (
    ", unless its device",
    "; see all damage",
    ", or see all damage",
    ", or look at all damage",
)


@click.command()
@database_options
def verify(*, db: str | None, url: str | None) -> int:
    """Check a database's structure and the checksum of every row; exit with 1 on damage.

    Another process may be using the database; nothing is changed.
    """
    path = Path(existing_target(db, url, read_only=True).name)
    with without_traces(path):
        try:
            prepare_reading(path)
            found = faults_of(path)
        except StoreDamaged as error:
            if _DAMAGED not in f"{error}":
                raise  # it is no database
            found = [_without_advice(f"{error}")]
    for fault in found:
        say(safe_line(fault))
    if found:
        note(f"{safe_line(path)} is damaged in {counted(len(found), 'place')}: restore a backup")
        return 1
    note(f"{safe_line(path)}, {path.stat().st_size:,} bytes: structure and checksums are correct")
    return 0


def _without_advice(told: str) -> str:
    """Return what an error says of damage, without the advice to verify the database."""
    for advice in _ADVICE:
        told = told.partition(advice)[0]
    return told


def faults_of(path: Path) -> list[str]:
    """Return all that is damaged in a database, in words.

    Raises:
        StoreError: it cannot be read.
    """
    reader = open_reader(path)
    try:
        return faults(reader)
    except apsw.Error as error:
        raise translate(error, str(path)) from error
    finally:
        reader.close(True)
