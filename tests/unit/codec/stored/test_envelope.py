"""The envelope of a body: what comes back, what does not, and that no nonce is used twice."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from outlast._codec.stored import envelope
from outlast._codec.stored.envelope import Envelopes, NotAuthentic, key_id_of
from outlast._codec.stored.layers import BodyCodec, codec_of
from outlast.encryption import Keys, KeySource, compressed, encrypted
from outlast.errors import StoreCodecError, UsageError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def made(codec: BodyCodec | None, *, scope: bytes = b"db") -> Envelopes:
    assert codec is not None
    salts = iter(range(1_000))
    return Envelopes(codec, scope, lambda: next(salts).to_bytes(32, "little"))


def sealing(**keys: bytes) -> Envelopes:
    return made(codec_of(encrypted(Keys(keys))))


@given(body=st.binary(max_size=5_000), bound=st.binary(max_size=50))
def test_what_was_closed_opens_at_its_place_and_nowhere_else(body: bytes, bound: bytes) -> None:
    for codec in (
        codec_of(encrypted(Keys({"k1": OLD}))),
        codec_of([compressed(), encrypted(Keys({"k1": OLD}))]),
    ):
        envelopes = made(codec)
        closed = envelopes.close(body, bound)

        assert envelopes.open(closed, bound) == body
        with pytest.raises(NotAuthentic):
            envelopes.open(closed, bound + b"x")
        with pytest.raises(NotAuthentic):
            made(codec, scope=b"another db").open(closed, bound)


def test_no_byte_of_an_envelope_can_be_changed() -> None:
    envelopes = sealing(k1=OLD)
    closed = envelopes.close(b"a value", b"here")

    for place in range(len(closed)):
        changed = bytes((*closed[:place], closed[place] ^ 1, *closed[place + 1 :]))
        with pytest.raises((NotAuthentic, StoreCodecError)):
            envelopes.open(changed, b"here")
    for length in range(len(closed)):
        with pytest.raises((NotAuthentic, StoreCodecError)):
            envelopes.open(closed[:length], b"here")


def test_an_older_key_opens_and_a_missing_one_is_named() -> None:
    closed = sealing(k1=OLD).close(b"a value", b"")

    assert sealing(k2=NEW, k1=OLD).open(closed, b"") == b"a value"
    assert key_id_of(closed) == "k1"
    with pytest.raises(StoreCodecError, match="there is no key 'k1'") as caught:
        sealing(k2=NEW).open(closed, b"")
    assert caught.value.key_id == "k1"
    with pytest.raises(NotAuthentic):
        sealing(k1=NEW).open(closed, b"")


def test_a_body_that_is_not_encrypted_is_none_where_bodies_are() -> None:
    plain = made(codec_of(compressed())).close(b"a value", b"")

    with pytest.raises(NotAuthentic, match="not encrypted"):
        sealing(k1=OLD).open(plain, b"")
    with pytest.raises(NotAuthentic, match="not encrypted"):
        sealing(k1=OLD).open(b"a value", b"")


def test_equal_bodies_have_different_envelopes_and_no_nonce_is_used_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envelope, "_BODIES_PER_SALT", 3)
    envelopes = sealing(k1=OLD)
    closed = [envelopes.close(b"a value", b"") for _ in range(10)]

    nonces = [body[4:24] for body in closed]  # the salt and the counter
    assert len(set(nonces)) == 10
    assert len({nonce[:16] for nonce in nonces}) == 4
    assert {envelopes.open(body, b"") for body in closed} == {b"a value"}


class Broken(KeySource):
    """A vault that gives what is no key."""

    def __init__(self, name: object, key: object) -> None:
        self._name, self._key = name, key

    @override
    def current(self) -> str:
        return cast("str", self._name)

    @override
    def key(self, id: str, /) -> bytes | None:
        return cast("bytes | None", self._key)


def test_what_a_source_of_keys_gives_is_looked_at() -> None:
    with pytest.raises(UsageError, match="has no valid id"):
        made(codec_of(encrypted(Broken("a key", OLD))))
    with pytest.raises(StoreCodecError, match="the key 'k1' has 16 bytes, not 32"):
        made(codec_of(encrypted(Broken("k1", OLD[:16]))))
    with pytest.raises(StoreCodecError, match=r"Broken.key\('k1'\) gives str, not 32 bytes"):
        made(codec_of(encrypted(Broken("k1", "A" * 32))))
    with pytest.raises(StoreCodecError, match=r"Broken has no key 'k1', which current\(\) names"):
        made(codec_of(encrypted(Broken("k1", None))))
    with pytest.raises(StoreCodecError, match=r"Broken.current\(\) gives int, not the id of a key"):
        made(codec_of(encrypted(Broken(7, OLD))))


def test_a_key_that_is_not_there_is_damage_where_nothing_was_written_under_it() -> None:
    closed = sealing(k2=NEW).close(b"body", b"here")
    reading = sealing(k1=OLD)

    with pytest.raises(StoreCodecError, match="there is no key 'k2'"):
        reading.open(closed, b"here")
    reading.admitted = frozenset(["k1"])
    with pytest.raises(NotAuthentic, match="the key 'k2', under which nothing was written"):
        reading.open(closed, b"here")


def test_an_envelope_is_as_much_longer_as_it_says() -> None:
    for envelopes in (sealing(key_one=OLD), made(codec_of(compressed()))):
        assert len(envelopes.close(b"x" * 500, b"")) == 500 + envelopes.overhead


def test_compressed_bodies_are_smaller() -> None:
    envelopes = made(codec_of([compressed(), encrypted(Keys({"k1": OLD}))]))

    assert len(envelopes.close(b"x" * 10_000, b"")) < 200
