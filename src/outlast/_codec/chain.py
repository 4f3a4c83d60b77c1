"""The codecs that stored bytes pass through: compression. Encryption is `stored`'s.

Stored data says how it was written: one byte names the codec of the outermost layer, 0 is the
bare payload. So a codec can be added or retired while old data stays readable.

Invariants:
  * `unpack(pack(data)) == data` for every chain that knows the codecs used;
  * unpacking takes bounded memory, whatever the bytes claim.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

from outlast.errors import DecodingError
from outlast.limits import COMPRESS_BYTES_MIN, PAYLOAD_BYTES_MAX

_RAW = b"\x00"
_HEADER_BYTES = 1


class Codec(Protocol):
    """One layer.

    Attributes:
        id: 1 to 255, stored with the data: never given a second meaning.
    """

    @property
    def id(self) -> int:
        """The byte that names this codec."""
        ...

    def encode(self, data: bytes, /) -> bytes:
        """Return the written form; `data` itself where this layer is not worth it."""
        ...

    def decode(self, data: bytes, /) -> bytes:
        """Return what was given to `encode`. Raises DecodingError."""
        ...


class Zlib:
    """Compression, for data of some size that it makes smaller."""

    __slots__ = ("_output_bytes_max",)

    id = 1

    def __init__(self, *, output_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        # The chain's own header travels inside.
        self._output_bytes_max = output_bytes_max + _HEADER_BYTES

    def encode(self, data: bytes, /) -> bytes:
        """Return the compressed bytes, or `data` itself if they would not be smaller."""
        if not COMPRESS_BYTES_MIN <= len(data) <= self._output_bytes_max:
            return data
        # Level 1: four times as fast as the default for JSON-like data, a tenth larger.
        packed = zlib.compress(data, 1)
        return packed if len(packed) + _HEADER_BYTES < len(data) else data

    def decode(self, data: bytes, /) -> bytes:
        """Return the bytes that were compressed.

        Raises:
            DecodingError: the data is damaged, or grows beyond the limit.
        """
        stream = zlib.decompressobj()
        try:
            # One byte more than the limit tells "full" from "there is more".
            plain = stream.decompress(data, self._output_bytes_max + 1)
        except zlib.error as error:
            raise DecodingError("$", f"damaged compressed data: {error}") from None
        if len(plain) > self._output_bytes_max:
            raise DecodingError(
                "$", f"compressed data grows beyond the limit of {self._output_bytes_max:,} bytes"
            )
        if not stream.eof or stream.unused_data:
            raise DecodingError(
                "$", "damaged compressed data: it is truncated, or continues after its end"
            )
        return plain


class Chain:
    """Codecs in the order of writing."""

    __slots__ = ("_by_id", "_codecs")

    def __init__(self, codecs: Sequence[Codec] = ()) -> None:
        self._codecs = tuple(codecs)
        self._by_id = {codec.id: codec for codec in self._codecs}
        if len(self._by_id) != len(self._codecs):
            raise ValueError("two codecs of a chain have the same id")
        for number in self._by_id:
            if not 1 <= number <= 255:
                raise ValueError(f"a codec's id is from 1 to 255, not {number}")

    def pack(self, data: bytes, /) -> bytes:
        """Return the bytes to store."""
        packed = _RAW + data
        for codec in self._codecs:
            encoded = codec.encode(packed)
            if encoded is not packed:
                packed = bytes((codec.id,)) + encoded
        return packed

    def unpack(self, data: bytes, /) -> bytes:
        """Return what was packed.

        Raises:
            DecodingError: the data is damaged, or written by a codec that is not here.
        """
        # Each codec writes at most once, so more layers than codecs are no data of ours.
        for _ in range(len(self._codecs) + 1):
            if not data:
                raise DecodingError("$", "stored data is empty: its header is missing")
            number = data[0]
            if number == 0:
                return data[_HEADER_BYTES:]
            codec = self._by_id.get(number)
            if codec is None:
                raise DecodingError("$", f"stored data was written by codec {number}, unknown here")
            data = codec.decode(data[_HEADER_BYTES:])
        raise DecodingError("$", "stored data has more layers than there are codecs")
