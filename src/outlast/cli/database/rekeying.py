"""`outlast db new-key | rekey`: keys of databases, and encrypting what is stored under them."""

from __future__ import annotations

import base64
import os
from dataclasses import asdict
from pathlib import Path

import click

from outlast._codec.stored.keys import KEY_BYTES, check_key_id, keys_from_file, read_key_file
from outlast._codec.stored.layers import BodyCodec, CodecLayer, codec_of, compressed, encrypted
from outlast._store.sqlite.rekey import Rekeyed
from outlast._store.sqlite.rekey import rekey as rekey_database
from outlast._wording.plurals import counted
from outlast._world import entropy
from outlast.cli.database.recovering import alone
from outlast.cli.places import (
    command_line,
    database_options,
    existing_target,
    given_keys,
    json_option,
)
from outlast.cli.printing import as_json, note, safe_line, say
from outlast.errors import UsageError

_TOLD_ROWS = 20_000


@click.command("new-key")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--id", "key_id", default=None, metavar="ID", help="Key id [default: k1, k2, ...].")
def new_key(*, file: Path, key_id: str | None) -> None:
    """Add a new key to a key file, as the current one; create the file if there is none.

    Only its owner may read the file. Earlier keys stay in it, so that what they encrypted can be
    read until `outlast db rekey` has rewritten it.
    """
    if key_id is not None:
        check_key_id(key_id, "--id")
    file = Path(os.path.realpath(file))  # a link stays what it is
    text = read_key_file(file) if file.exists() else ""
    known = keys_from_file(file) if text.strip() else None
    number = 1
    while key_id is None:
        name = f"k{number}"
        key_id = name if known is None or known.key(name) is None else None
        number += 1
    if known is not None and known.key(key_id) is not None:
        raise UsageError(f"{file} has a key of the id {key_id!r}: choose another")
    line = f"{key_id} {base64.b64encode(new_seed()).decode()}\n"
    partial = file.with_name(f"{file.name}.{entropy(32):08x}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as made:  # noqa: PTH123  # of a descriptor
            made.write(line + text)
            made.flush()
            os.fsync(made.fileno())
        keys_from_file(partial)
        partial.rename(file)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    say(key_id)
    note(f"{safe_line(file)}: keep a copy elsewhere; without its key a database cannot be read")


def new_seed() -> bytes:
    """Return 32 unguessable bytes."""
    return entropy(8 * KEY_BYTES).to_bytes(KEY_BYTES, "big")


@click.command()
@click.option("--compress", is_flag=True, help="Compress bodies too; alone, do not encrypt them.")
@click.option("--decrypt", is_flag=True, help="Store bodies without encryption or compression.")
@json_option
@database_options
def rekey(*, compress: bool, decrypt: bool, as_data: bool, db: str | None, url: str | None) -> int:
    """Encrypt a database under the current key; no process may be using the database.

    Encrypts what is not encrypted yet, or is encrypted under an older key. Afterwards the older
    keys are no longer needed. If the command is interrupted, run it again.
    """
    target = existing_target(db, url)
    path = Path(os.path.realpath(target.name))
    codec = _codec(compress=compress, decrypt=decrypt)
    shown = 0

    def tell(done: int, total: int) -> None:
        nonlocal shown
        if done - shown >= _TOLD_ROWS:
            shown = done
            note(f"{done:,} of {total:,} rows")

    made = alone(
        path,
        lambda: rekey_database(path, codec, decrypt=decrypt, new_seed=new_seed, tell=tell),
    )
    if as_data:
        say(as_json(asdict(made)))
    else:
        _print(path, made)
    if made.log_bytes:
        note(
            f"error: {safe_line(path)} and its -wal still hold old bytes, because a reader has the "
            f"database open: close it, then run {command_line('db', 'rekey')} again"
        )
    return 1 if made.log_bytes else 0


def _codec(*, compress: bool, decrypt: bool) -> BodyCodec | None:
    if compress and decrypt:
        raise UsageError("--decrypt stores bodies as they are: leave --compress out")
    keys = given_keys()
    layers: list[CodecLayer] = [compressed()] if compress else []
    if keys is not None:
        layers.append(encrypted(keys))
    return codec_of(layers or None)


def _print(path: Path, made: Rekeyed) -> None:
    how = "without encryption" if not made.key else f"under key {made.key}"
    say(f"{counted(made.rows, 'row')} rewritten; everything is stored {how}")
    if made.retired:
        keys = ", ".join(made.retired)
        note(f"no longer needed for this database: {keys} (backups may still need them)")
    note("backups and files set aside earlier are as they were: delete them, or make new ones")
