"""`outlast db verify`: whether what is stored is what was written."""

from __future__ import annotations

from pathlib import Path

import apsw
import click

from outlast._codec.stored.layers import BodyCodec
from outlast._store.sqlite.codec_keys import codec_for
from outlast._store.sqlite.examination import prepare_reading
from outlast._store.sqlite.faults import translate
from outlast._store.sqlite.files.traces import without_traces
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.rekey import undecodable
from outlast._store.sqlite.tables.verify import faults
from outlast._wording.plurals import counted
from outlast.cli.database.rekeying import new_seed
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

    With the keys of an encrypted database, check also that every row is what was written there.
    Another process may be using the database; nothing is changed.
    """
    target = existing_target(db, url, read_only=True)
    path = Path(target.name)
    with without_traces(path):
        try:
            prepare_reading(path)
            found = faults_of(path, target.codec)
        except StoreDamaged as error:
            if _DAMAGED not in f"{error}":
                raise  # it is no database
            found = [_without_advice(f"{error}")]
    for fault in found:
        say(safe_line(fault))
    if found:
        note(f"{safe_line(path)} is damaged in {counted(len(found), 'place')}: restore a backup")
        return 1
    what = "structure and checksums are" if target.codec is None else "all that is stored is"
    note(f"{safe_line(path)}, {path.stat().st_size:,} bytes: {what} correct")
    return 0


def _without_advice(told: str) -> str:
    """Return what an error says of damage, without the advice to verify the database."""
    for advice in _ADVICE:
        told = told.partition(advice)[0]
    return told


def faults_of(path: Path, codec: BodyCodec | None = None) -> list[str]:
    """Return all that is damaged in a database, in words.

    Raises:
        StoreError: it cannot be read.
    """
    reader = open_reader(path)
    try:
        found = faults(reader)
        if codec is None or found:
            return found
        rows = codec_for(reader, path, codec, new_seed, is_writing=False, is_frozen=True)
        return [] if rows is None else list(undecodable(reader, rows))
    except apsw.Error as error:
        raise translate(error, str(path)) from error
    finally:
        reader.close(True)
