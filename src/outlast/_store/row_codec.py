"""Rows of an encoded database: which of their cells hold what users wrote, and how they lie there.

A table's body columns are encoded together: their envelope lies in the first of them, the others
are empty. It is bound to the table and to all other columns, so that a row whose index columns
were changed, or that was moved, fits no more.

Invariant: in an encoded database every row of a table with bodies has an envelope; a body without
one is never read as a value.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import msgspec

from outlast._codec.stored.envelope import Envelopes, NotAuthentic, is_envelope

Cell: TypeAlias = int | str | bytes | None

NAMESPACE = "default"
"""Bound to every body. With namespaces of their own, tenants' rows could not be exchanged either:
`scope_of_database` takes it."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[object]).decode
_CHECK_BYTES = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """Where bodies lie in the rows of a table: the places of the columns.

    `empty` is what lies in the body columns behind the first one. With `is_text` the first one
    holds text, in which an envelope is written in base64.
    """

    table: str
    bodies: tuple[int, ...]
    bound: tuple[int, ...]
    empty: tuple[Cell, ...] = ()
    is_text: bool = False


def scope_of_database(database_id: bytes, namespace: str = NAMESPACE) -> bytes:
    """Return what all bodies of a database are bound to."""
    return _encode((namespace, database_id))


class RowCodec:
    """Encodes and decodes the rows of one database.

    `secret` makes addresses of blobs: a hash of the bytes alone would tell whoever guesses them.
    """

    def __init__(self, envelopes: Envelopes, secret: bytes) -> None:
        self.envelopes = envelopes
        self._secret = secret

    def encode(self, layout: Layout, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """Return a row's cells as they are stored."""
        bodies = layout.bodies
        carrier = bodies[0]
        if len(bodies) == 1:
            body = cells[carrier]
            plain = body.encode() if isinstance(body, str) else body
        else:
            plain = _encode([cells[place] for place in bodies])
        if not isinstance(plain, bytes):
            raise TypeError(f"a body of {layout.table} is {type(plain).__name__}")
        envelope = self.envelopes.close(plain, _bound(layout, cells))
        stored = list(cells)
        stored[carrier] = base64.b64encode(envelope).decode() if layout.is_text else envelope
        for place, empty in zip(bodies[1:], layout.empty, strict=True):
            stored[place] = empty
        return tuple(stored)

    def decode(self, layout: Layout, cells: Sequence[object]) -> tuple[object, ...]:
        """Return a row's cells as they were given to `encode`.

        Raises:
            NotAuthentic: they are not what was written; StoreCodecError: its key is missing.
        """
        bodies = layout.bodies
        carrier = bodies[0]
        plain = self.envelopes.open(envelope_in(layout, cells), _bound(layout, cells))
        found = list(cells)
        try:
            if len(bodies) == 1:
                found[carrier] = plain.decode() if layout.is_text else plain
                return tuple(found)
            for place, body in zip(bodies, _decode(plain), strict=True):
                found[place] = body
        except (msgspec.MsgspecError, ValueError) as error:
            raise NotAuthentic(f"{error}") from None
        if any(cells[p] != empty for p, empty in zip(bodies[1:], layout.empty, strict=True)):
            raise NotAuthentic("a body beside its envelope is not empty")
        return tuple(found)

    def address(self, digest: bytes) -> bytes:
        """Return under which address a blob lies whose bytes have this hash."""
        return hmac.digest(self._secret, digest, "sha256")

    def encode_blob(self, address: bytes, body: bytes) -> bytes:
        """Return a blob as it is stored: its checksum can be looked at without a key."""
        envelope = self.envelopes.close(body, _encode(("blobs", address)))
        return envelope + crc32(envelope).to_bytes(_CHECK_BYTES, "big")

    def decode_blob(self, address: bytes, stored: bytes) -> bytes:
        """Return a blob.

        Raises:
            NotAuthentic: it is not what was written; StoreCodecError: its key is missing.
        """
        return self.envelopes.open(stored[:-_CHECK_BYTES], _encode(("blobs", address)))


def is_whole_blob(stored: bytes) -> bool:
    """Say whether an encoded blob has the checksum that it was written with."""
    end = stored[-_CHECK_BYTES:]
    return (
        is_envelope(stored) and crc32(stored[:-_CHECK_BYTES]).to_bytes(_CHECK_BYTES, "big") == end
    )


def envelope_in(layout: Layout, cells: Sequence[object]) -> bytes:
    """Return the envelope in a row's cells.

    Raises:
        NotAuthentic: there is none.
    """
    carrier = cells[layout.bodies[0]]
    if layout.is_text and isinstance(carrier, str):
        try:
            carrier = base64.b64decode(carrier, validate=True)
        except (binascii.Error, ValueError):
            raise NotAuthentic("it is not encrypted") from None
    if not isinstance(carrier, bytes):
        raise NotAuthentic("it is not encrypted")
    return carrier


def _bound(layout: Layout, cells: Sequence[object]) -> bytes:
    return _encode((layout.table, *[cells[place] for place in layout.bound]))
