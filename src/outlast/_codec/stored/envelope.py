"""The envelope of a stored body: how it was written, under which key, and the bytes.

    a0 chain                                   not encrypted; `chain` is `chain.Chain`'s
    a1 length id salt counter ciphertext+tag   encrypted: a key id of `length` characters

Bodies are not encrypted under the key itself: each opening of a store draws a salt of 16 bytes and
derives a key of its own from both (HMAC-SHA256, as in NIST SP 800-108), under which bodies are
counted. A counter never repeats, so that neither how many bodies there are nor a database restored
from a backup can use a nonce twice; with random nonces, a key would be spent after 2^32 bodies.

Invariants:
  * a nonce is used once under a derived key;
  * `open` returns what was given to `close` with the same `bound`, or raises.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from outlast._codec.chain import Chain, Zlib
from outlast._codec.stored.keys import KEY_BYTES, check_key_id
from outlast._codec.stored.layers import BodyCodec, Cipher, Encrypted
from outlast.errors import DecodingError, StoreCodecError

PACKED = b"\xa0"
SEALED = b"\xa1"
PLAIN_KEY = ""
"""Stands for the key of bodies that are not encrypted."""

_SALT_BYTES = 16
_COUNTER_BYTES = 4
_TAG_BYTES = 16
_BODIES_PER_SALT = 1 << (8 * _COUNTER_BYTES)
_CIPHERS_KEPT = 256  # of other openings: each has a salt of its own
_NONCE_START = bytes(12 - _COUNTER_BYTES)
_PURPOSE = b"outlast body key 1\0"
_BODY_BYTES_MAX = 1_000_000_000  # SQLite refuses larger values


class NotAuthentic(Exception):
    """A body is not what was written at this place."""


class Envelopes:
    """Opens and closes the bodies of one database.

    `scope` is what all of them are bound to; `new_salt` gives 16 or more bytes of chance.
    """

    def __init__(self, codec: BodyCodec, scope: bytes, new_salt: Callable[[], bytes]) -> None:
        self._encryption = codec.encryption
        self._chain = Chain((Zlib(output_bytes_max=_BODY_BYTES_MAX),))
        self._writing = self._chain if codec.is_compressing else Chain()
        self._scope = scope
        self._new_salt = new_salt
        self._keys: dict[str, bytes] = {}
        self._ciphers: dict[bytes, Cipher] = {}  # by the start of an envelope, up to the salt
        self._count = _BODIES_PER_SALT
        self._start = b""
        self._cipher: Cipher | None = None
        self.admitted: frozenset[str] | None = None
        """The ids of all keys under which bodies lie, where that is known for certain."""
        self.current = PLAIN_KEY
        if self._encryption is not None:
            self.current = self._current(self._encryption)

    @property
    def overhead(self) -> int:
        """By how many bytes an envelope is longer than a body that was not compressed."""
        if self._encryption is None:
            return len(PACKED) + 1
        return 2 + len(self.current) + _SALT_BYTES + _COUNTER_BYTES + 1 + _TAG_BYTES

    def close(self, body: bytes, bound: bytes) -> bytes:
        """Return the envelope of a body that is bound to its place. One thread does it."""
        packed = self._writing.pack(body)
        if self._encryption is None:
            return PACKED + packed
        if self._count >= _BODIES_PER_SALT or self._cipher is None:
            self._cipher = self._renewed(self._encryption)
        counter = self._count.to_bytes(_COUNTER_BYTES, "big")
        self._count += 1
        sealed = self._cipher.encrypt(_NONCE_START + counter, packed, self._scope + bound)
        return self._start + counter + sealed

    def close_under(self, key_id: str, body: bytes, bound: bytes) -> bytes:
        """Return the envelope of a body under a key that need not be the current one."""
        if self._encryption is None or key_id == PLAIN_KEY:
            return PACKED + self._writing.pack(body)
        start = self._new_start(key_id)
        counter = bytes(_COUNTER_BYTES)
        cipher = self._derived(self._encryption, start)
        sealed = cipher.encrypt(_NONCE_START + counter, Chain().pack(body), self._scope + bound)
        return start + counter + sealed

    def open(self, envelope: bytes, bound: bytes) -> bytes:
        """Return the body. Any thread may.

        Raises:
            NotAuthentic: it is not what was written at this place, or not an envelope.
            StoreCodecError: there is no key of its id, though bodies may lie under it.
        """
        kind = envelope[:1]
        if kind == PACKED and self._encryption is None:
            packed: bytes | None = envelope[1:]
        elif kind == SEALED:
            packed = self._decrypted(envelope, bound)
        else:
            raise NotAuthentic("it is not encrypted")
        if packed is None:
            raise NotAuthentic(f"it does not fit its place under key {key_id_of(envelope)!r}")
        try:
            return self._chain.unpack(packed)
        except DecodingError as error:
            raise NotAuthentic(f"{error}") from None

    def has(self, key_id: str) -> bool:
        """Say whether there is a key of this id."""
        if key_id == PLAIN_KEY:
            return self._encryption is None
        return self._encryption is not None and self._key(self._encryption, key_id) is not None

    def _decrypted(self, envelope: bytes, bound: bytes) -> bytes | None:
        salt_end = 2 + envelope[1] + _SALT_BYTES if len(envelope) > 1 else 0
        end = salt_end + _COUNTER_BYTES
        start = envelope[:salt_end]
        cipher = self._ciphers.get(start)
        if cipher is None:
            if len(envelope) <= end:
                raise NotAuthentic("its end is missing")
            if self._encryption is None:
                raise self._no_key(key_id_of(envelope))
            cipher = self._derived(self._encryption, start)
        nonce = _NONCE_START + envelope[salt_end:end]
        return cipher.decrypt(nonce, envelope[end:], self._scope + bound)

    def _renewed(self, encryption: Encrypted) -> Cipher:
        self._start = self._new_start(self.current)
        self._count = 0
        return self._derived(encryption, self._start)

    def _new_start(self, key_id: str) -> bytes:
        name = key_id.encode("ascii")
        return SEALED + bytes((len(name),)) + name + self._new_salt()[:_SALT_BYTES]

    def _derived(self, encryption: Encrypted, start: bytes) -> Cipher:
        name = key_id_of(start)
        key = self._key(encryption, name)
        if key is None:
            raise self._no_key(name)
        if len(self._ciphers) >= _CIPHERS_KEPT:
            self._ciphers.clear()
        made = encryption.cipher(hmac.digest(key, _PURPOSE + start[-_SALT_BYTES:], "sha256"))
        self._ciphers[start] = made
        return made

    def _key(self, encryption: Encrypted, name: str) -> bytes | None:
        key = self._keys.get(name)
        if key is None and (found := encryption.keys.key(name)) is not None:
            key = _checked(found, name, encryption)
            self._keys[name] = key
        return key

    def _current(self, encryption: Encrypted) -> str:
        found: object = encryption.keys.current()
        source = type(encryption.keys).__name__
        if not isinstance(found, str):
            kind = type(found).__name__
            raise StoreCodecError(f"{source}.current() gives {kind}, not the id of a key")
        check_key_id(found, f"what {source}.current() gives")
        if self._key(encryption, found) is None:
            raise StoreCodecError(f"{source} has no key {found!r}, which current() names", found)
        return found

    def _no_key(self, name: str) -> Exception:
        if self.admitted is not None and name not in self.admitted:
            return NotAuthentic(f"it names the key {name!r}, under which nothing was written")
        return StoreCodecError(
            f"there is no key {name!r}, with which a body was encrypted: add it to the keys", name
        )


def _checked(key: object, name: str, encryption: Encrypted) -> bytes:
    source = type(encryption.keys).__name__
    if not isinstance(key, bytes):
        kind = type(key).__name__
        raise StoreCodecError(f"{source}.key({name!r}) gives {kind}, not {KEY_BYTES} bytes", name)
    if len(key) != KEY_BYTES:
        raise StoreCodecError(f"the key {name!r} has {len(key)} bytes, not {KEY_BYTES}", name)
    return key


def key_id_of(envelope: bytes) -> str:
    """Return the id of the key that an envelope names."""
    if envelope[:1] != SEALED:
        return PLAIN_KEY
    return envelope[2 : 2 + envelope[1]].decode("ascii", "replace") if envelope[1:] else "?"


def is_envelope(body: bytes) -> bool:
    """Say whether bytes begin as an envelope does."""
    return body[:1] in (PACKED, SEALED)


def scope_of(parts: Sequence[bytes]) -> bytes:
    """Return what bodies are bound to, from parts of any length."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)
