"""Stored bytes say how they were written, and cost bounded memory to read."""

from __future__ import annotations

import zlib

import pytest

from outlast._codec import Chain, Zlib
from outlast.errors import DecodingError
from outlast.limits import COMPRESS_BYTES_MIN, PAYLOAD_BYTES_MAX

LARGE = b"abcd" * COMPRESS_BYTES_MIN


class Flip:
    """Stands for encryption: every byte inverted."""

    id = 2

    def encode(self, data: bytes, /) -> bytes:
        return bytes(255 - byte for byte in data)

    decode = encode


@pytest.mark.parametrize("data", [b"", b"a", b"\0" * 10, LARGE, bytes(range(256)) * 8])
@pytest.mark.parametrize("chain", [Chain(), Chain([Zlib()]), Chain([Zlib(), Flip()])])
def test_what_was_packed_unpacks_to_the_same(chain: Chain, data: bytes) -> None:
    assert chain.unpack(chain.pack(data)) == data


def test_small_or_incompressible_data_is_stored_raw() -> None:
    chain = Chain([Zlib()])
    noise = bytes((index * index * 7919 >> 5) % 251 for index in range(COMPRESS_BYTES_MIN - 2))

    assert chain.pack(b"small") == b"\0small"
    assert chain.pack(noise)[:1] == b"\0"


def test_large_data_is_stored_smaller() -> None:
    assert len(Chain([Zlib()]).pack(LARGE)) < len(LARGE) // 10


def test_data_of_a_codec_that_was_added_later_leaves_old_data_readable() -> None:
    old = Chain([Zlib()]).pack(LARGE)

    assert Chain([Zlib(), Flip()]).unpack(old) == LARGE


def test_data_of_a_codec_that_is_not_here_is_an_error() -> None:
    with pytest.raises(DecodingError, match="codec 2, unknown here"):
        Chain([Zlib()]).unpack(Chain([Flip()]).pack(b"a"))


def test_a_zip_bomb_is_refused() -> None:
    bomb = b"\x01" + zlib.compress(b"\0" * (PAYLOAD_BYTES_MAX * 20), 9)

    with pytest.raises(DecodingError, match="grows beyond the limit"):
        Chain([Zlib()]).unpack(bomb)


def test_the_largest_payload_passes() -> None:
    data = b"x" * PAYLOAD_BYTES_MAX

    assert Chain([Zlib()]).unpack(Chain([Zlib()]).pack(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01not zlib",
        b"\x01" + zlib.compress(b"\0" + LARGE)[:-3],
        b"\x01" + zlib.compress(b"\0" + LARGE) + b"more",
        b"\x01" + zlib.compress(b""),
        b"\x01" + zlib.compress(b"\x01" + zlib.compress(b"\0a")),
    ],
)
def test_damaged_data_is_an_error_of_decoding(data: bytes) -> None:
    with pytest.raises(DecodingError):
        Chain([Zlib()]).unpack(data)


def test_two_codecs_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        Chain([Zlib(), Zlib()])
