"""AES-256-GCM, by the extra `crypto`; loaded by those alone that encrypt."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from outlast._codec.stored.layers import Cipher


class AesGcm(Cipher):
    """The cipher of one key."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    @override
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        return self._aead.encrypt(nonce, data, associated_data)

    @override
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes | None:
        try:
            return self._aead.decrypt(nonce, data, associated_data)
        except InvalidTag:
            return None
