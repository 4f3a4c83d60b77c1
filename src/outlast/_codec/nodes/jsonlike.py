"""Values without a declared type: what JSON has, and what msgpack's Ext types let us add.

Unannotated parameters, `object` and `Any` come here. Classes of users are refused: reading
them back would need the data to name a class to import.

Invariants:
  * exactly the classes below are accepted, no subclass of them;
  * they read back equal and of the same class, without any declaration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar

from msgspec import json, msgpack
from typing_extensions import override

from outlast._codec.faults import TOO_DEEP, Fault, SecretFault, key_segment, type_name
from outlast._codec.nodes.node import SCALARS, Node, Walk, is_awaitable, never_awaited
from outlast._codec.nodes.scalars import (
    INT_MAX,
    INT_MIN,
    BoolNode,
    BytesNode,
    FloatNode,
    IntNode,
    NoneNode,
    StrNode,
)
from outlast._codec.nodes.texts import text_node_named, text_node_of
from outlast._codec.plain import plain_size
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import read_tagged
from outlast._shapes import is_dict, is_frozenset, is_list, is_set, is_tuple
from outlast.limits import DEPTH_MAX
from outlast.secret import Secret

TUPLE, SET, FROZENSET, PAIRS, TEXT = 1, 2, 3, 4, 5
"""Ext codes. They are stored: a number is never given a second meaning."""

_TEXT_NAMES = ("datetime", "date", "time", "timedelta", "Decimal", "UUID")

SCALAR_NODES: dict[type, Node] = {
    kind: node
    for node in (StrNode(), BoolNode(), IntNode(), FloatNode(), NoneNode(), BytesNode())
    for kind in node.types
}


class JsonLikeNode(Node):
    """Any of these values."""

    name = "JSON-like data"
    kept = SCALARS
    flat = frozenset({str, int, bool, type(None)})
    json_rank = 9

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return "object"

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not walk.is_canonical and (is_list(value) or is_dict(value)):
            size = plain_size(value, depth)
            if size is not None:
                walk.spend(size)
                return value
        return self._lower(value, depth, walk)

    def _lower(self, value: object, depth: int, walk: Walk) -> object:
        scalar = SCALAR_NODES.get(type(value))
        if scalar is not None:
            return scalar.lower(value, depth, walk)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        if is_list(value):
            return self._items(value, depth, walk)
        if is_dict(value):
            return self._mapping(value, depth, walk)
        if is_tuple(value):
            return _ext(TUPLE, self._items(value, depth, walk))
        if is_set(value):
            return _ext(SET, in_order(self._items(value, depth, walk)))
        if is_frozenset(value):
            return _ext(FROZENSET, in_order(self._items(value, depth, walk)))
        text = text_node_of(type(value))
        if type(value) is Secret:
            raise SecretFault
        if text is None and is_awaitable(value):
            raise never_awaited(value)
        if text is None:
            raise Fault(
                f"a {type_name(type(value))} cannot be stored without a declared type: "
                f"annotate the parameter or result with its class"
            )
        return _ext(TEXT, [text.name, text.lower(value, depth, walk)])

    @override
    def lift(self, wire: object, depth: int) -> object:
        if (is_list(wire) or is_dict(wire)) and plain_size(wire, depth) is not None:
            return wire
        return self._lift(wire, depth)

    def _lift(self, wire: object, depth: int) -> object:
        scalar = SCALAR_NODES.get(type(wire))
        if scalar is not None:
            return scalar.lift(wire, depth)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        if is_list(wire):
            return self._lift_items(wire, depth)
        if is_dict(wire):
            return {
                _text_key(key): self._lift_at(key_segment(key), item, depth)
                for key, item in wire.items()
            }
        if type(wire) is msgpack.Ext:
            return self._lift_ext(wire.code, bytes(wire.data), depth)
        raise Fault(f"unexpected {type_name(type(wire))} in stored data")

    @override
    def from_json(self, data: object, depth: int) -> object:
        if (is_list(data) or is_dict(data)) and plain_size(data, depth) is not None:
            return data
        return self._from_json(data, depth)

    def _from_json(self, data: object, depth: int) -> object:
        scalar = SCALAR_NODES.get(type(data))
        if scalar is not None and type(data) is not bytes:
            return scalar.from_json(data, depth)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        if is_list(data):
            return [
                self._from_json_at(f"[{index}]", item, depth) for index, item in enumerate(data)
            ]
        if is_dict(data):
            return {
                _text_key(key): self._from_json_at(key_segment(key), item, depth)
                for key, item in data.items()
            }
        raise Fault(f"{type_name(type(data))} is not JSON data")

    @override
    def to_json(self, value: object) -> object:
        if (is_list(value) or is_dict(value)) and plain_size(value, DEPTH_MAX) is not None:
            return value
        return self._to_json(value)

    def _to_json(self, value: object) -> object:
        scalar = SCALAR_NODES.get(type(value))
        if scalar is not None:
            return scalar.to_json(value)
        if is_dict(value):
            return json_mapping([(self._to_json(k), self._to_json(v)) for k, v in value.items()])
        if is_list(value) or is_tuple(value) or is_set(value) or is_frozenset(value):
            return [self._to_json(item) for item in value]
        text = text_node_of(type(value))
        return None if text is None else text.to_json(value)

    def _items(self, items: Collection[object], depth: int, walk: Walk) -> list[object]:
        walk.spend(len(items))
        out: list[object] = []
        try:
            for item in items:
                out.append(self._lower(item, depth - 1, walk))
        except Fault as fault:
            fault.under(f"[{len(out)}]")
            raise
        return out

    def _mapping(self, value: dict[object, object], depth: int, walk: Walk) -> object:
        walk.spend(2 * len(value))
        if not walk.is_canonical and all(type(key) is str for key in value):
            return {
                self._lower_at(key_segment(key), key, depth, walk): self._lower_at(
                    key_segment(key), item, depth, walk
                )
                for key, item in value.items()
            }
        pairs: list[object] = [
            [
                self._lower_at(key_segment(key), key, depth, walk),
                self._lower_at(key_segment(key), item, depth, walk),
            ]
            for key, item in value.items()
        ]
        return _ext(PAIRS, in_order(pairs) if walk.is_canonical else pairs)

    def _lower_at(self, segment: str, value: object, depth: int, walk: Walk) -> object:
        try:
            return self._lower(value, depth - 1, walk)
        except Fault as fault:
            fault.under(segment)
            raise

    def _lift_at(self, segment: str, wire: object, depth: int) -> object:
        try:
            return self._lift(wire, depth - 1)
        except Fault as fault:
            fault.under(segment)
            raise

    def _from_json_at(self, segment: str, data: object, depth: int) -> object:
        try:
            return self._from_json(data, depth - 1)
        except Fault as fault:
            fault.under(segment)
            raise

    def _lift_items(self, items: list[object], depth: int) -> list[object]:
        return [self._lift_at(f"[{index}]", item, depth) for index, item in enumerate(items)]

    def _lift_ext(self, code: int, data: bytes, depth: int) -> object:
        wire = decode_wire(data)
        if not is_list(wire):
            raise Fault("malformed extension in stored data")
        if code == TEXT and len(wire) == 2:
            text = text_node_named(wire[0]) if type(wire[0]) is str else None
            if text is not None:
                return text.lift(wire[1], depth)
        if code == PAIRS:
            return pairs_to_dict([self._lift_items(pair_of(pair), depth) for pair in wire])
        items = self._lift_items(wire, depth)
        if code == TUPLE:
            return tuple(items)
        try:
            if code == SET:
                return set(items)
            if code == FROZENSET:
                return frozenset(items)
        except TypeError:
            raise Fault("an item of a stored set is not hashable") from None
        raise Fault(f"unknown extension {code} in stored data")

    @override
    def schema(self, made: Schemas) -> Schema:
        return {}


def _ext(code: int, wire: object) -> msgpack.Ext:
    return msgpack.Ext(code, encode_wire(wire))


def _text_key(key: object) -> str:
    if type(key) is not str:
        raise Fault(f"declared text keys, got a key of type {type_name(type(key))}")
    return key


def pair_of(wire: object) -> list[object]:
    """Return a stored pair of key and item. Raises Fault."""
    if not is_list(wire) or len(wire) != 2:
        raise Fault("declared a pair of key and value")
    return wire


def pairs_to_dict(pairs: Sequence[list[object]]) -> dict[object, object]:
    """Return the dict of these pairs. Raises Fault when a key cannot be one, or comes twice."""
    try:
        made = {key: item for key, item in pairs}  # noqa: C416 - dict() wants tuples
    except TypeError:
        raise Fault("a stored key is not hashable") from None
    if len(made) != len(pairs):
        raise Fault("several keys are equal when they are read as the declared type")
    return made


def in_order(wires: list[object]) -> list[object]:
    """Return wire values ordered by their bytes: the same order in every process."""
    return sorted(wires, key=encode_wire)


def json_mapping(pairs: list[tuple[object, object]]) -> object:
    """Return an object if every key can be JSON's and stays distinct, else a list of pairs."""
    texts = [_json_key(key) for key, _ in pairs]
    if (None in texts or len(set(texts)) != len(texts)) and _IS_SHOWN.get():
        texts = [key if type(key) is str else _json_text(key) for key, _ in pairs]
        if len(set(texts)) != len(texts):
            texts = [_json_text(key) for key, _ in pairs]
    if None in texts or len(set(texts)) != len(texts):
        return [[key, item] for key, item in pairs]
    return {text: item for text, (_, item) in zip(texts, pairs, strict=True)}


_IS_SHOWN: ContextVar[bool] = ContextVar("outlast_is_shown", default=False)


def shown_json(make: Callable[[], object]) -> object:
    """Return the JSON data that `make` returns, made for people: dicts are objects in it.

    A key that JSON cannot have, such as a tuple, is given as its own JSON text. Programs that read
    values back get a list of pairs there, which keeps the keys' types.
    """
    token = _IS_SHOWN.set(True)
    try:
        return make()
    finally:
        _IS_SHOWN.reset(token)


def _json_text(key: object) -> str:
    return json.encode(key).decode()


def _json_key(key: object) -> str | None:
    if type(key) is str:
        return key
    if type(key) is bool:
        return "true" if key else "false"
    if type(key) is int or type(key) is float:
        return f"{key!r}"
    return None


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder()


encode_wire: Callable[[object], bytes] = _encoder.encode
"""Returns the msgpack bytes of a wire form."""


def decode_wire(data: bytes) -> object:
    """Return the wire form of msgpack bytes. Raises Fault for whatever bytes are no msgpack."""
    try:
        wire: object = _decoder.decode(data)
    except RecursionError:
        raise Fault(TOO_DEEP) from None
    except Exception as error:  # noqa: BLE001 - outside bytes: msgspec, Unicode, overflow, memory
        raise Fault(f"not valid msgpack ({type_name(type(error))})") from None
    return wire


def plain_json(data: object, depth: int = DEPTH_MAX) -> object:
    """Return any decoded msgpack as JSON data, to show it when its type is not known."""
    if (is_list(data) or is_dict(data)) and plain_size(data, depth) is not None:
        return data
    return _any_json(data, depth)


def _any_json(data: object, depth: int) -> object:
    if depth <= 0:
        return "..."
    found = read_tagged(data)
    if found is not None:
        return _any_json(found[1], depth - 1)
    if is_list(data):
        return [_any_json(item, depth - 1) for item in data]
    if is_dict(data):
        return json_mapping(
            [(_any_json(k, depth - 1), _any_json(v, depth - 1)) for k, v in data.items()]
        )
    try:
        return JSON_LIKE.to_json(JSON_LIKE.lift(data, depth))
    except Fault:
        return type_name(type(data))


def is_json(value: object, depth: int = DEPTH_MAX) -> bool:
    """Tell whether this is made of what JSON has, of nothing else, and is not too deep."""
    if depth < 0:
        return False
    if is_list(value):
        return all(is_json(item, depth - 1) for item in value)
    if is_dict(value):
        return all(type(key) is str and is_json(item, depth - 1) for key, item in value.items())
    return type(value) is not bytes and type(value) in SCALAR_NODES


def is_number(value: object) -> bool:
    """Tell whether this is an int or a finite float that can be stored."""
    if type(value) is int:
        return INT_MIN <= value <= INT_MAX
    return type(value) is float and math.isfinite(value)


JSON_LIKE = JsonLikeNode()
