"""The keys of a database: whether the codec that it is opened with can read all that is in it.

The table `codec_keys` has a row for each key under which bodies may lie. Its body is encrypted
under that key, and opens under no other: so a missing or wrong key is refused when the database is
opened, and not when a run reads its journal. A database without a row has no codec.

Invariants:
  * before the first body is written under a key, its row is durable;
  * bodies with and without a codec lie in one database only while it is encoded or decoded anew
    (`rekey`); meanwhile nothing else opens it, so that no body without an envelope is ever used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from outlast._codec.stored.envelope import PLAIN_KEY, Envelopes, NotAuthentic, key_id_of
from outlast._codec.stored.layers import BodyCodec
from outlast._store.row_codec import RowCodec, scope_of_database
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.opening import translated
from outlast._store.sqlite.tables.columns import CODEC_KEYS, fetch, is_whole, sealed
from outlast.errors import StoreCodecError, StoreDamaged

Phase: TypeAlias = Literal["done", "encoding", "decoding"]
NewSeed: TypeAlias = Callable[[], bytes]

HELP = (
    "give codec= (outlast.encryption) to Engine.open, or the key file to the command with "
    "--key-file or OUTLAST_KEY_FILE"
)
DECODE_FIRST = "run `outlast db rekey --decrypt` first, then `outlast db rekey --key-file FILE`"
_INSERT = f"INSERT OR REPLACE INTO codec_keys ({CODEC_KEYS.selected}) VALUES (?, ?, ?)"


class Place(msgspec.Struct, frozen=True):
    """How far a database was encoded or decoded anew: behind this row of this table."""

    table: str
    after: tuple[object, ...] = ()


class _Known(msgspec.Struct, frozen=True):
    """What is encrypted under each key: the secret of the database's addresses, and its phase."""

    secret: bytes
    phase: Phase
    place: Place | None


class Keyring:
    """The codec of a database, and what its keys say."""

    def __init__(self, codec: RowCodec, known: dict[str, _Known], secret: bytes) -> None:
        self.codec = codec
        self._known = known
        self._secret = secret

    @property
    def current(self) -> str:
        """The id of the key to write with."""
        return self.codec.envelopes.current

    @property
    def ids(self) -> list[str]:
        """The ids of the keys under which bodies may lie."""
        return list(self._known)

    @property
    def phase(self) -> Phase:
        """Whether bodies without a codec lie there too."""
        phases: list[Phase] = [
            known.phase for known in self._known.values() if known.phase != "done"
        ]
        return phases[0] if phases else "done"

    @property
    def place(self) -> Place | None:
        """How far that has come; None if it was not begun."""
        return next((one.place for one in self._known.values() if one.phase != "done"), None)

    def trust_no_other(self) -> None:
        """Take a body that names another key for damage; only where no other process admits one."""
        self.codec.envelopes.admitted = frozenset((*self._known, self.current))

    def admit(self, db: Connection, phase: Phase, place: Place | None = None) -> None:
        """Write the row of the current key, and the phase to all; in the caller's transaction."""
        for key in dict.fromkeys((*self._known, self.current)):
            known = _Known(self._secret, phase, place)
            body = self.codec.envelopes.close_under(key, _encode(known), _bound(key))
            db.execute(_INSERT, sealed((key, body)))
            self._known[key] = known

    def retire(self, db: Connection, *, all_keys: bool = False) -> None:
        """Delete the rows of other keys than the current one, or all of them."""
        db.execute("DELETE FROM codec_keys WHERE ? OR key <> ?", (int(all_keys), self.current))


def make_keyring(db: Connection, codec: BodyCodec, new_seed: NewSeed) -> Keyring:
    """Return the keyring of a database that has no codec yet."""
    secret = new_seed()
    return Keyring(RowCodec(_envelopes(db, codec, new_seed), secret), {}, secret)


def begin(db: Connection, codec: BodyCodec, new_seed: NewSeed) -> None:
    """Give a new and empty database its codec."""
    db.execute("BEGIN IMMEDIATE")
    make_keyring(db, codec, new_seed).admit(db, "done")
    db.execute("COMMIT")


def codec_for(
    db: Connection,
    path: Path,
    codec: BodyCodec | None,
    new_seed: NewSeed,
    *,
    is_writing: bool,
    is_frozen: bool = False,
) -> RowCodec | None:
    """Return what the rows of a database pass through, None if it has no codec.

    With `is_frozen` no key is added to the database meanwhile.

    Raises:
        StoreCodecError: the codec that was given cannot read all that is there, or there is none.
        StoreDamaged: a row of its keys is not what was written.
    """
    if codec is None:
        ids = stored_ids(db, path)
        if not ids:
            return None
        if ids != [PLAIN_KEY]:
            raise StoreCodecError(_no_codec(path, ids), ids[0])
        codec = BodyCodec(None, is_compressing=True)  # that is no secret
    keyring = read_keyring(db, path, codec, new_seed)
    if keyring is None:
        raise StoreCodecError(
            f"{path} is not encrypted, and a codec was given. The two are never mixed, because "
            f"then anyone could put plain values into an encrypted database. If it was never "
            f"encrypted, stop what uses it and encrypt it with `outlast db rekey`, or open it "
            f"without a codec. If it was, somebody has changed or replaced it: restore a backup"
        )
    if keyring.phase != "done":
        raise StoreCodecError(f"{path}: `outlast db rekey` was interrupted; run it again")
    if keyring.current not in keyring.ids:
        if PLAIN_KEY in keyring.ids:
            raise StoreCodecError(f"{path} is compressed and not encrypted: {DECODE_FIRST}")
        if is_writing:
            with translated(path):
                db.execute("BEGIN IMMEDIATE")
                keyring.admit(db, "done")
                db.execute("COMMIT")
    if is_writing or is_frozen:
        keyring.trust_no_other()
    return keyring.codec


def stored_ids(db: Connection, path: Path) -> list[str]:
    """Return the ids of the keys under which bodies may lie.

    Raises:
        StoreDamaged: a row is not what was written.
    """
    return [key for key, _ in _rows(db, path)]


def read_keyring(db: Connection, path: Path, codec: BodyCodec, new_seed: NewSeed) -> Keyring | None:
    """Return the keyring of a database; None if it has no codec.

    Raises:
        StoreCodecError: a key is missing, or is another one than that of its id.
        StoreDamaged: a row is not what was written.
    """
    found = _rows(db, path)
    if not found:
        return None
    envelopes = _envelopes(db, codec, new_seed)
    known: dict[str, _Known] = {}
    for key, body in found:
        if not envelopes.has(key):
            raise StoreCodecError(_missing(path, key, codec), key)
        try:
            known[key] = _decode(envelopes.open(body, _bound(key)))
        except (NotAuthentic, msgspec.MsgspecError):
            raise StoreCodecError(
                f"{path} cannot be read: the key {key!r} that was given is not the one under "
                f"which bodies were encrypted, though it has the same id. Nothing was changed",
                key,
            ) from None
    secrets = {one.secret for one in known.values()}
    if len(secrets) != 1 or any(key_id_of(body) != key for key, body in found):
        raise StoreDamaged(f"{path} is damaged: its keys do not belong together")
    [secret] = secrets
    return Keyring(RowCodec(envelopes, secret), known, secret)


def _rows(db: Connection, path: Path) -> list[tuple[str, bytes]]:
    with translated(path):
        rows = fetch(db, CODEC_KEYS, "ORDER BY rowid")
    found: list[tuple[str, bytes]] = []
    for cells in rows:
        key, body, _ = cells
        if not is_whole(cells) or not isinstance(key, str) or not isinstance(body, bytes):
            raise StoreDamaged(
                f"{path} is damaged: a row of its keys is not what was written; restore a backup "
                f"with `outlast db restore`"
            )
        found.append((key, body))
    return found


def _envelopes(db: Connection, codec: BodyCodec, new_seed: NewSeed) -> Envelopes:
    [[database_id]] = db.execute("SELECT database_id FROM shards WHERE id = 0").fetchall()
    if not isinstance(database_id, bytes):
        raise StoreDamaged("the database has no id")
    return Envelopes(codec, scope_of_database(database_id), new_seed)


def _no_codec(path: Path, ids: list[str]) -> str:
    keys = ", ".join(repr(key) for key in ids if key != PLAIN_KEY)
    return f"{path} is encrypted under {keys}, and no codec was given: {HELP}"


def _missing(path: Path, key: str, codec: BodyCodec) -> str:
    if key == PLAIN_KEY:
        return f"{path} is compressed and not encrypted: {DECODE_FIRST}"
    if codec.encryption is None:
        return _no_codec(path, [key])
    return (
        f"{path} has bodies that are encrypted under key {key!r}, and the keys that were given "
        f"have none of this id: add it, below the current one. Nothing was changed"
    )


def _bound(key: str) -> bytes:
    return msgspec.msgpack.encode(("codec_keys", key))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Known).decode
