"""Encoding a database anew: under another key, for the first time, or no more.

Bodies are rewritten a page at a time, each in a transaction of its own that also says how far this
has come; so a process that is killed leaves a database in which the next call goes on. Then the
file is written anew (VACUUM), because pages keep what was deleted, and at last the other keys are
retired.

Invariants:
  * no row is rewritten that is not what was written: nothing false is ever authenticated;
  * until the end, all keys under which a body may lie are among those of the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from outlast._codec.stored.envelope import PLAIN_KEY, NotAuthentic, key_id_of
from outlast._codec.stored.layers import BodyCodec
from outlast._store.row_codec import RowCodec, envelope_in
from outlast._store.sqlite.codec_keys import (
    DECODE_FIRST,
    Keyring,
    NewSeed,
    Phase,
    Place,
    make_keyring,
    read_keyring,
    stored_ids,
)
from outlast._store.sqlite.connection import Cell, Connection
from outlast._store.sqlite.examination import prepare
from outlast._store.sqlite.files.lock import OwnerLock
from outlast._store.sqlite.opening import beside, size_of, translated
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables.columns import Table, fetch, fetch_columns, is_whole, sealed
from outlast._store.sqlite.tables.verify import damaged_rows
from outlast._store.sqlite.writing import Writing
from outlast.errors import StoreCodecError, StoreDamaged

_PAGE_ROWS = 500
_PAGE_BYTES = 4 * 1024 * 1024
CODED = tuple(table for table in tables.ALL if table.layout is not None)
_TABLES = (*(table.layout.table for table in CODED if table.layout), "blobs", "end")

Tell: TypeAlias = Callable[[int, int], None]
"""Hears how many rows were done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What was done. `log_bytes` are in the write-ahead log, because a reader has it open."""

    rows: int
    key: str | None
    retired: tuple[str, ...]
    log_bytes: int


@dataclass(slots=True)
class _Work:
    writing: Writing
    keyring: Keyring
    total: int
    tell: Tell
    done: int = 0
    rewritten: int = 0

    def note(self, rows: int, rewritten: int) -> None:
        """Count what was gone through, and say so."""
        self.done += rows
        self.rewritten += rewritten
        self.tell(min(self.done, self.total), self.total)


def rekey(
    path: Path, codec: BodyCodec | None, *, decrypt: bool, new_seed: NewSeed, tell: Tell
) -> Rekeyed:
    """Rewrite every body under the current key of a codec, or with `decrypt` without any.

    Raises:
        StoreLocked: a process runs the database.
        StoreCodecError: a key is missing, or it does not have what was asked for.
        StoreDamaged: something in it is not what was written; nothing was changed.
        StoreFull, StoreUnavailable: it was interrupted; call it again to go on.
    """
    lock = OwnerLock(path)
    try:
        keyring, rows = _rekey(path, codec, new_seed, tell, decrypt=decrypt)
    finally:
        lock.release()
    key = None if decrypt else keyring.current or None
    gone = tuple(one for one in keyring.ids if one and one != key)
    return Rekeyed(rows, key, gone, size_of(beside(path, "-wal")))


def _rekey(
    path: Path, codec: BodyCodec | None, new_seed: NewSeed, tell: Tell, *, decrypt: bool
) -> tuple[Keyring, int]:
    db = prepare(path, create=False)
    try:
        keyring = _keyring(db, path, codec, new_seed, decrypt=decrypt)
        keyring.trust_no_other()
        _refuse_damage(db, path, keyring)
        work = _Work(Writing(db, path), keyring, _count(db), tell)
    except BaseException:
        db.close(True)
        raise
    try:
        _rewrite(path, work, decrypt=decrypt)
    finally:
        work.writing.close()
    return keyring, work.rewritten


def _encoded_row(db: Connection, codec: RowCodec) -> str | None:
    """Return a row that is encrypted, in words: a plain database has none."""
    if codec.envelopes.current == PLAIN_KEY:
        return None
    for table in CODED:
        for page in _pages(db, table, ()):
            for cells in page:
                row = cells[: len(table.columns) + 1]
                if is_whole(row) and tables.decoded(codec, table, row)[-1] != tables.NOT_AUTHENTIC:
                    return f"the row of {table.name} with {_told(table, row)}"
    return None


def undecodable(db: Connection, codec: RowCodec) -> Iterator[str]:
    """Look for rows whose checksum fits and that are not what was written; each in words."""
    for table in CODED:
        for page in _pages(db, table, ()):
            for cells in page:
                row = cells[: len(table.columns) + 1]
                if is_whole(row) and tables.decoded(codec, table, row)[-1] == tables.NOT_AUTHENTIC:
                    yield f"the row of {table.name} with {_told(table, row)}"
    for page in _blob_pages(db, 0):
        for _, address, body in page:
            try:
                codec.decode_blob(address, body)
            except NotAuthentic:
                yield f"blob {address.hex()}"


def _told(table: Table, row: Sequence[object]) -> str:
    pairs = zip(table.columns, row, strict=False)
    known = ("run", "id", "seq", "number", "name", "offset", "owner")
    return ", ".join(f"{name} {cell!r}" for name, cell in pairs if name in known)


def _keyring(
    db: Connection, path: Path, codec: BodyCodec | None, new_seed: NewSeed, *, decrypt: bool
) -> Keyring:
    ids = stored_ids(db, path)
    if codec is None and ids in ([], [""]):
        if not decrypt or not ids:
            raise StoreCodecError(
                f"{path} is not encrypted: there is nothing to decrypt"
                if decrypt
                else "rekey needs a key: give --key-file, or set OUTLAST_KEY_FILE"
            )
        codec = BodyCodec(None, is_compressing=True)
    if codec is None:
        raise StoreCodecError(f"{path} is encrypted (keys {', '.join(ids)}): give its key file")
    keyring = read_keyring(db, path, codec, new_seed)
    if keyring is None:
        if decrypt:
            raise StoreCodecError(f"{path} is not encrypted: there is nothing to decrypt")
        return make_keyring(db, codec, new_seed)
    if keyring.phase != "done" and (keyring.phase == "decoding") != decrypt:
        option = "with --decrypt" if keyring.phase == "decoding" else "without --decrypt"
        raise StoreCodecError(f"{path}: an interrupted rekey must be finished first, {option}")
    if "" in keyring.ids and keyring.current:
        raise StoreCodecError(f"{path} is compressed and not encrypted: {DECODE_FIRST}")
    return keyring


def _refuse_damage(db: Connection, path: Path, keyring: Keyring) -> None:
    if keyring.phase != "done":
        return  # it was looked at when this began
    found = next((damage.text for damage in damaged_rows(db)), None)
    if found is None and keyring.ids:
        found = next(undecodable(db, keyring.codec), None)
    if not keyring.ids and (encoded := _encoded_row(db, keyring.codec)) is not None:
        raise StoreDamaged(
            f"{path} is damaged: it says that it is not encrypted, and {encoded} is. Somebody has "
            f"changed it. Nothing was changed now; restore a backup with `outlast db restore`"
        )
    if found is not None:
        raise StoreDamaged(
            f"{path} is damaged: {found} is not what was written. Nothing was changed. See all "
            f"damage with `outlast db verify`, and restore a backup with `outlast db restore`"
        )


def _rewrite(path: Path, work: _Work, *, decrypt: bool) -> None:
    writing, keyring = work.writing, work.keyring
    if decrypt:
        _convert(work, "decoding")
    else:
        if keyring.phase == "encoding" or not keyring.ids:
            _convert(work, "encoding")
        else:
            writing.change(lambda db: keyring.admit(db, "done"))
        if any(key != keyring.current for key in keyring.ids):
            _rotate(work)
    with translated(path):
        # What it makes meanwhile is as large as the database: not in memory.
        writing.read_back().execute("PRAGMA temp_store=FILE; VACUUM").fetchall()

    def finish(db: Connection) -> None:
        if not decrypt:
            keyring.admit(db, "done")
        keyring.retire(db, all_keys=decrypt)

    writing.change(finish)
    writing.after_job()


def _convert(work: _Work, phase: Phase) -> None:
    """Encode rows that have no envelope yet, or decode those that still have one."""
    keyring = work.keyring
    place = keyring.place or Place(_TABLES[0])
    for number in range(_TABLES.index(place.table), len(CODED) + 1):
        after = place.after if _TABLES[number] == place.table else ()
        while True:
            batch = partial(_convert_page, work, number, after, phase)
            after = work.writing.change(batch)
            work.writing.after_job()
            if not after:
                break


def _convert_page(
    work: _Work, number: int, after: Sequence[object], phase: Phase, db: Connection
) -> tuple[object, ...]:
    codec = work.keyring.codec
    is_encoding = phase == "encoding"
    if number == len(CODED):
        rows, last = _convert_blobs(db, codec, after, is_encoding=is_encoding)
    else:
        rows, last = _convert_rows(db, CODED[number], codec, after, is_encoding=is_encoding)
    work.keyring.admit(db, phase, Place(_TABLES[number if rows else number + 1], last))
    work.note(rows, rows)
    return last


def _convert_rows(
    db: Connection, table: Table, codec: RowCodec, after: Sequence[object], *, is_encoding: bool
) -> tuple[int, tuple[object, ...]]:
    page = next(_pages(db, table, after), ())
    width = len(table.columns)
    if page:
        rows = [(cells[: width + 1], cells[width + 1 :]) for cells in page]
        made = [(_made(table, codec, row, is_encoding=is_encoding), key) for row, key in rows]
        _update(db, table, made)
    return len(page), tuple(page[-1][width + 1 :]) if page else ()


def _made(
    table: Table, codec: RowCodec, row: Sequence[object], *, is_encoding: bool
) -> tuple[Cell, ...]:
    if not is_whole(row):
        raise _damaged(table, row)
    if is_encoding:
        return _encoded(table, codec, row[:-1])
    return sealed(_cells(_decoded(table, codec, row)))


def _decoded(table: Table, codec: RowCodec, row: Sequence[object]) -> Sequence[object]:
    found = tables.decoded(codec, table, row)
    if found[-1] == tables.NOT_AUTHENTIC:
        raise _damaged(table, row)
    return found[:-1]


def _encoded(table: Table, codec: RowCodec, cells: Sequence[object]) -> tuple[Cell, ...]:
    if table.layout is None:
        raise TypeError(f"{table.name} has no bodies")
    return sealed(codec.encode(table.layout, _cells(cells)))


def _damaged(table: Table, row: Sequence[object]) -> StoreDamaged:
    return StoreDamaged(
        f"the row of {table.name} with {_told(table, row)} is not what was written: restore a "
        f"backup with `outlast db restore`"
    )


def _rotate(work: _Work) -> None:
    """Encode rows under the current key that lie under another one."""
    work.done = 0
    for table in CODED:
        after: Sequence[object] = ()
        while True:
            after = work.writing.change(partial(_rotate_page, work, table, after))
            work.writing.after_job()
            if not after:
                break
    last = 0
    while True:
        last = work.writing.change(partial(_rotate_blobs, work, last))
        work.writing.after_job()
        if not last:
            return


def _rotate_page(
    work: _Work, table: Table, after: Sequence[object], db: Connection
) -> Sequence[object]:
    codec, current = work.keyring.codec, work.keyring.current
    page = next(_pages(db, table, after), ())
    made: list[tuple[tuple[Cell, ...], Sequence[object]]] = []
    width = len(table.columns)
    for cells in page:
        row = cells[: width + 1]
        if table.layout is None or not is_whole(row):
            raise _damaged(table, row)
        if key_id_of(envelope_in(table.layout, row)) != current:
            found = _encoded(table, codec, _decoded(table, codec, row))
            made.append((found, cells[width + 1 :]))
    _update(db, table, made)
    work.note(len(page), len(made))
    return page[-1][width + 1 :] if page else ()


def _rotate_blobs(work: _Work, after: int, db: Connection) -> int:
    codec, current = work.keyring.codec, work.keyring.current
    page = next(_blob_pages(db, after), ())
    old = [one for one in page if key_id_of(one[2]) != current]
    for rowid, address, body in old:
        made = codec.encode_blob(address, _blob(codec, address, body))
        db.execute("UPDATE blobs SET body = ? WHERE rowid = ?", (made, rowid))
    work.note(len(page), len(old))
    return page[-1][0] if page else 0


def _convert_blobs(
    db: Connection, codec: RowCodec, after: Sequence[object], *, is_encoding: bool
) -> tuple[int, tuple[object, ...]]:
    first = after[0] if after else 0
    page = next(_blob_pages(db, first if isinstance(first, int) else 0), ())
    for rowid, old, stored in page:
        body = stored if is_encoding else _blob(codec, old, stored)
        digest = hashlib.sha256(body).digest()
        new = codec.address(digest) if is_encoding else digest
        if is_encoding and digest != old:
            raise StoreDamaged(f"the blob {old.hex()} is damaged")
        made = codec.encode_blob(new, body) if is_encoding else body
        db.execute("UPDATE blobs SET digest = ?, body = ? WHERE rowid = ?", (new, made, rowid))
        refs = fetch(db, tables.BLOB_REFS, "WHERE digest = ?", (old,))
        db.execute("DELETE FROM blob_refs WHERE digest = ?", (old,))
        insert = f"INSERT INTO blob_refs ({tables.BLOB_REFS.selected}) VALUES (?, ?, ?)"
        db.executemany(insert, [sealed((f"{run}", new)) for run, _, _ in refs])
    return len(page), (page[-1][0],) if page else ()


def _blob(codec: RowCodec, address: bytes, stored: bytes) -> bytes:
    try:
        return codec.decode_blob(address, stored)
    except NotAuthentic as error:
        raise StoreDamaged(f"the blob {address.hex()} is not what was written: {error}") from None


def _update(
    db: Connection, table: Table, made: Sequence[tuple[tuple[Cell, ...], Sequence[object]]]
) -> None:
    names = ", ".join(f'"{name}" = ?' for name in (*table.bodies, table.checksum))
    key = ", ".join(table.key)
    sql = f"UPDATE {table.name} SET {names} WHERE ({key}) = ({', '.join('?' * len(table.key))})"
    places = [table.columns.index(name) for name in table.bodies]
    changes = [
        (*[cells[place] for place in places], cells[-1], *_cells(where)) for cells, where in made
    ]
    db.executemany(sql, changes)


def _pages(
    db: Connection, table: Table, after: Sequence[object]
) -> Iterator[Sequence[Sequence[object]]]:
    """Iterate over a table's rows as they are stored, each with its key behind it."""
    key = ", ".join(table.key)
    selected = f"{table.selected}, {key}"
    texts = table.texts
    place = _cells(after)
    while True:
        where = f"WHERE ({key}) > ({', '.join('?' * len(place))})" if place else ""
        rest = f"FROM {table.name} {where} ORDER BY {key} LIMIT {_PAGE_ROWS}"
        page = fetch_columns(db, selected, texts, rest, place, bytes_max=_PAGE_BYTES)
        if not page:
            return
        yield page
        place = _cells(page[-1][len(table.columns) + 1 :])


def _blob_pages(db: Connection, after: int) -> Iterator[Sequence[tuple[int, bytes, bytes]]]:
    while True:
        page: list[tuple[int, bytes, bytes]] = []
        rest = "FROM blobs WHERE rowid > ? ORDER BY rowid LIMIT ?"
        found = fetch_columns(
            db, "rowid, digest, body", frozenset(), rest, (after, 100), bytes_max=_PAGE_BYTES
        )
        for rowid, digest, body in found:
            if isinstance(rowid, int) and isinstance(digest, bytes) and isinstance(body, bytes):
                page.append((rowid, digest, body))
        if not page:
            return
        yield page
        after = page[-1][0]


def _count(db: Connection) -> int:
    total = 0
    for table in (*(table.name for table in CODED), "blobs"):
        total += int(f"{db.execute(f'SELECT count(*) FROM {table}').fetchall()[0][0]}")
    return total


def _cells(values: Sequence[object]) -> tuple[Cell, ...]:
    return tuple(value if isinstance(value, int | str | bytes) else None for value in values)
