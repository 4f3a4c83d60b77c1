"""The layers of a codec, as they are given to `Engine.open(codec=...)`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, TypeAlias, final

from typing_extensions import override

from outlast._codec.stored.keys import KeySource
from outlast.errors import UsageError


class Cipher(Protocol):
    """AES-256-GCM under one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return the encrypted data with its tag."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes | None:
        """Return the data, or None if it is not what was encrypted."""
        ...


class MakeCipher(Protocol):
    """Makes a cipher."""

    def __call__(self, key: bytes, /) -> Cipher:
        """Return the cipher of a key of 32 bytes."""
        ...


@final
class Compressed:
    """Compresses bodies of 1 KiB and more with zlib, where that makes them smaller."""

    @override
    def __repr__(self) -> str:
        return "compressed()"


@final
class Encrypted:
    """Encrypts every body with AES-256-GCM; see `outlast.encryption.encrypted`."""

    def __init__(self, keys: KeySource) -> None:
        if not hasattr(keys, "current") or not hasattr(keys, "key"):
            raise UsageError(
                "encrypted() takes keys: keys_from_file(path), keys_from_environment(), Keys(...) "
                f"or a KeySource, not {type(keys).__name__}"
            )
        self.keys: KeySource = keys
        self.cipher: MakeCipher = _make_cipher()

    @override
    def __repr__(self) -> str:
        return f"encrypted({self.keys.current()!r})"


CodecLayer: TypeAlias = Compressed | Encrypted


def compressed() -> Compressed:
    """Return the layer that compresses bodies, for `codec=` of `Engine.open`.

    Together with `encrypted` it comes first. What is compressed before it is encrypted shows by
    its length how well it compresses: leave it out where an attacker can add text of their own to
    a secret, and see the length.
    """
    return Compressed()


def encrypted(keys: KeySource) -> Encrypted:
    """Return the layer that encrypts bodies, for `codec=` of `Engine.open`.

    Every body is encrypted and authenticated with AES-256-GCM under the current key, together
    with its place in the database, so that rows cannot be changed, exchanged or moved unnoticed.

    Args:
        keys: `keys_from_file(path)`, `keys_from_environment()`, `Keys({...})`, or an object of
            yours with the methods of `KeySource`.

    Raises:
        UsageError: the extra `crypto` is not installed.
    """
    return Encrypted(keys)


class BodyCodec:
    """The layers together."""

    __slots__ = ("encryption", "is_compressing")

    def __init__(self, encryption: Encrypted | None, *, is_compressing: bool) -> None:
        self.encryption: Encrypted | None = encryption
        self.is_compressing: bool = is_compressing

    @override
    def __repr__(self) -> str:
        layers: list[object] = [Compressed()] if self.is_compressing else []
        return f"{[*layers, self.encryption] if self.encryption else layers!r}"


def codec_of(given: CodecLayer | Sequence[CodecLayer] | None) -> BodyCodec | None:
    """Return what `codec=` means.

    Raises:
        UsageError: what is given are no layers, one is there twice, or they are in the wrong order.
    """
    if given is None:
        return None
    layers: Sequence[object] = [given] if isinstance(given, Compressed | Encrypted) else given
    if not isinstance(layers, list | tuple) or not layers:
        raise UsageError(f"codec= takes layers of outlast.encryption, not {given!r}")
    encryption: Encrypted | None = None
    is_compressing = False
    for layer in layers:
        if isinstance(layer, Encrypted) and encryption is None:
            encryption = layer
        elif isinstance(layer, Compressed) and not is_compressing and encryption is None:
            is_compressing = True
        elif isinstance(layer, Compressed) and not is_compressing:
            raise UsageError("encrypted bytes cannot be compressed: put compressed() first")
        elif isinstance(layer, Compressed | Encrypted):
            raise UsageError(f"codec= has the layer {layer!r} twice")
        else:
            raise UsageError(f"codec= takes layers of outlast.encryption, not {layer!r}")
    return BodyCodec(encryption, is_compressing=is_compressing)


def _make_cipher() -> MakeCipher:
    """Return what makes ciphers; what that takes is loaded by those alone that encrypt."""
    try:
        module = import_module("outlast._codec.stored.aesgcm")
    except ImportError as error:
        raise UsageError(
            f"encryption needs the extra: pip install 'outlast[crypto]' ({error})"
        ) from None
    made: MakeCipher = module.AesGcm
    return made
