"""A declared type as a codec: what the engine calls for every value.

Invariants:
  * `decode(encode(x))` equals x and has its type, or `encode` raises;
  * only EncodingError leaves `encode`, only DecodingError leaves `decode` and `from_json`;
  * scalars stay on a short path: they are most of what steps pass around.
"""

from __future__ import annotations

import typing
from collections.abc import Hashable, Mapping

from msgspec import msgpack

from outlast._codec.build import BUILT_IN, build_node, has_name, ordered_key
from outlast._codec.faults import TOO_DEEP, Fault
from outlast._codec.nodes.jsonlike import JSON_LIKE, decode_wire, encode_wire
from outlast._codec.nodes.node import SCALARS, Node, Walk
from outlast._codec.nodes.references import (
    ClassCodec,
    FromData,
    ToData,
    codec_of,
    register,
    register_class,
)
from outlast._codec.plain import plain_size
from outlast._codec.schemas import Schema, Schemas, whole
from outlast.errors import EncodingError, PayloadTooLarge, RegistrationError
from outlast.limits import DEPTH_MAX, PAYLOAD_BYTES_MAX

_DIGEST_BYTES = 16


class Adapter:
    """The codec of one declared type. It has no state; threads may share it."""

    __slots__ = ("_has_fields", "_native", "flat", "kept", "node")

    def __init__(self, node: Node) -> None:
        self.node: Node = node
        self.kept: frozenset[type] = node.kept
        self.flat: frozenset[type] = (
            node.flat
        )  # types whose values are their own wire form, in every walk
        self._native = _native_decoder(node)
        self._has_fields: bool = _has_fields(node.native)

    def encode(self, value: object) -> bytes:
        """Return the stored form.

        Raises:
            EncodingError: the value is not of the declared type, or cannot be stored.
            PayloadTooLarge: it is too large.
        """
        try:
            data = encode_wire(self.node.lower(value, DEPTH_MAX, Walk()))
        except Fault as fault:
            raise fault.encoding_error() from None
        except RecursionError:
            raise EncodingError("$", TOO_DEEP) from None
        return _checked(data)

    def decode(self, data: bytes) -> object:
        """Return the value.

        Raises:
            DecodingError: the bytes are not the stored form of the declared type.
        """
        try:
            return self._read(data)
        except Fault as fault:
            raise fault.decoding_error() from None

    def roundtrip(self, value: object) -> tuple[bytes, object]:
        """Return the stored form, and the value that reading it gives.

        Raises:
            EncodingError: the value cannot be stored, or would not read back.
        """
        if type(value) in self.flat:  # most of what steps return
            try:
                data = encode_wire(value)
            except (OverflowError, UnicodeEncodeError):
                data = self.encode(value)  # which says what is wrong with it
            if len(data) <= PAYLOAD_BYTES_MAX:
                return data, value
        if self.node is JSON_LIKE and plain_size(value, DEPTH_MAX) is not None:
            data = _checked(encode_wire(value))
            return data, decode_wire(data)  # plain as well: it is not looked at again
        data = self.encode(value)
        if type(value) in self.kept:
            return data, value
        try:
            return data, self._read(data)
        except Fault as fault:
            raise fault.encoding_error() from None

    def stored(self, value: object) -> bytes:
        """Return the stored form of a value that reads back.

        Raises:
            EncodingError: as `roundtrip`.
        """
        if self.node is JSON_LIKE and plain_size(value, DEPTH_MAX) is not None:
            return _checked(encode_wire(value))
        return self.roundtrip(value)[0]

    def _read(self, data: bytes) -> object:
        if self._native is not None:
            try:
                value: object = self._native.decode(data)
                # msgspec skips fields that a class does not have: then the bytes differ.
                if not self._has_fields or encode_wire(value) == data:
                    return value
            except Exception:  # noqa: BLE001 - ours decides, and says where the fault is
                pass
        try:
            return self.node.lift(decode_wire(data), DEPTH_MAX)
        except RecursionError:
            raise Fault(TOO_DEEP) from None

    def from_json(self, data: object) -> object:
        """Return the value that JSON data from outside stands for, validated.

        Raises:
            DecodingError: it does not fit; every fault is named with its path.
        """
        try:
            return self.node.from_json(data, DEPTH_MAX)
        except Fault as fault:
            raise fault.decoding_error() from None
        except RecursionError:
            raise Fault(TOO_DEEP).decoding_error() from None
        except PayloadTooLarge as error:
            raise Fault(f"{error}").decoding_error() from None

    def to_json(self, value: object) -> object:
        """Return JSON data that shows a value which `encode` accepts."""
        return self.node.to_json(value)

    def schema(self) -> Schema:
        """Return the JSON Schema of what `from_json` takes, with all that it refers to."""
        made = Schemas()
        return whole(self.node.schema(made), made)

    def digest(self, value: object) -> bytes:
        """Return 16 bytes that are equal for equal values, in every process.

        Raises:
            EncodingError: the value cannot be stored.
        """
        try:
            wire = self.node.lower(value, DEPTH_MAX, Walk(is_canonical=True))
        except Fault as fault:
            raise fault.encoding_error() from None
        except RecursionError:
            raise EncodingError("$", TOO_DEEP) from None
        return digest_bytes(encode_wire(wire))


def digest_bytes(data: bytes) -> bytes:
    """Return the 16-byte hash of bytes."""
    # OpenSSL's import costs milliseconds, and only starts with an id need a hash.
    from hashlib import blake2b

    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


# With the annotation: a key may be an id, which must not be given to another object.
_adapters: dict[Hashable, tuple[object, Adapter]] = {}


def adapter_for(annotation: object, *, names: Mapping[str, object] | None = None) -> Adapter:
    """Return the codec of an annotation.

    `names` resolves those that a recursive alias leaves in it: `Json = dict[str, "Json"] | str`.

    Raises:
        RegistrationError: a part of the type cannot be stored; the message has its path.
    """
    if has_name(annotation):
        return Adapter(build_node(annotation, names))
    key = ordered_key(annotation)
    found = _adapters.get(key)
    if found is None:
        found = _adapters[key] = (annotation, Adapter(build_node(annotation)))
    return found[1]


def register_reference(cls: type, to_data: ToData, from_data: FromData) -> None:
    """Let instances of `cls`, also as `cls[...]`, be payload.

    `to_data` gives JSON-like data for an instance, `from_data` an instance for that data.
    """
    register(cls, to_data, from_data)
    _adapters.clear()


def register_codec(cls: type, codec: ClassCodec) -> None:
    """Let instances of exactly `cls` be payload by a codec of the user's.

    Raises:
        RegistrationError: the class has another codec, or none of its own can be used.
    """
    if cls in BUILT_IN:
        raise RegistrationError(
            f"{cls.__qualname__} is a basic type that is stored directly: it cannot have a codec"
        )
    before = codec_of(cls)
    if before is not None and _origin(before.encode) != _origin(codec.encode):
        raise RegistrationError(
            f"{cls.__qualname__} has two codecs, of {_origin(before.encode)} and "
            f"{_origin(codec.encode)}: neither can read what the other has stored. Keep one"
        )
    register_class(cls, codec)
    _adapters.clear()


def _origin(function: object) -> str:
    module: object = getattr(function, "__module__", None)
    return f"{module if type(module) is str else '?'}"


def _checked(data: bytes) -> bytes:
    if len(data) > PAYLOAD_BYTES_MAX:
        raise PayloadTooLarge("the value", len(data), PAYLOAD_BYTES_MAX)
    return data


def _native_decoder(node: Node) -> msgpack.Decoder[object] | None:
    if node.native is None:
        return None
    try:
        decoder: msgpack.Decoder[object] = msgpack.Decoder(node.native)
    except Exception:  # noqa: BLE001 - whatever msgspec refuses, our own layer can do
        return None
    return decoder


def _has_fields(native: object) -> bool:
    """Tell whether a class with fields is part of what msgspec's decoder is given."""
    arguments = typing.get_args(native)
    return any(map(_has_fields, arguments)) if arguments else native not in _FIELDLESS


_FIELDLESS: frozenset[object] = SCALARS | {None}
