"""The values in a row of a stream, packed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlast._store.rows import StreamRow

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


def packed_values(values: Sequence[bytes]) -> bytes:
    """Return encoded values as the body of a stream row."""
    return _pack(values)


def values_in(row: StreamRow) -> list[bytes]:
    """Return the encoded values of a stream row."""
    return _unpack(row.body) if row.body else []
