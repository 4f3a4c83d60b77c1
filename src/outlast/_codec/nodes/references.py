"""Payload classes that belong to other modules: handles such as `Run[R]`, and codecs of users.

Invariants:
  * a class with a codec comes back through that codec, as exactly that class, or is refused when
    it is stored;
  * a reference is stored as JSON-like data, and comes back through the function that was
    registered with its class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override

from outlast._codec.faults import Fault, error_text, type_name
from outlast._codec.nodes.evolution import ClassNode
from outlast._codec.nodes.jsonlike import JSON_LIKE, encode_wire
from outlast._codec.nodes.node import Node, Walk, class_mismatch
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import class_tag

ToData = Callable[[object], object]
FromData = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class ClassCodec:
    """How instances of a class become standard data and back; and what unions call the class."""

    encode: ToData
    decode: FromData
    name: str = ""


_registered: dict[type, tuple[ToData, FromData]] = {}
_codecs: dict[type, ClassCodec] = {}


class ReferenceNode(Node):
    """A registered class, or any class derived from it."""

    def __init__(self, cls: type, to_data: ToData, from_data: FromData) -> None:
        self.name = type_name(cls)
        self.types = frozenset({cls})
        self._class = cls
        self._to_data = to_data
        self._from_data = from_data

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not isinstance(value, self._class):
            raise class_mismatch(self._class, value)
        return JSON_LIKE.lower(self._to_data(value), depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        return self._made(JSON_LIKE.lift(wire, depth))

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self._made(JSON_LIKE.from_json(data, depth))

    @override
    def to_json(self, value: object) -> object:
        return JSON_LIKE.to_json(self._to_data(value))

    def _made(self, data: object) -> object:
        try:
            return self._from_data(data)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            raise Fault(f"the data is not a {self.name}") from None

    @override
    def schema(self, made: Schemas) -> Schema:
        return {}


class CodecNode(ClassNode):
    """A class that the user has registered a codec for."""

    def __init__(self, cls: type, codec: ClassCodec) -> None:
        super().__init__(cls)
        self._codec = codec

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not self._class:
            raise class_mismatch(self._class, value)
        wire = JSON_LIKE.lower(self._encoded(value), depth, walk)
        if not walk.is_canonical:
            # Not by `==`, which classes such as arrays define as something else.
            again = self._decoded(JSON_LIKE.lift(wire, depth))
            if encode_wire(JSON_LIKE.lower(self._encoded(again), depth, Walk())) != encode_wire(
                wire
            ):
                raise Fault(f"the codec of {self.name} does not decode to the same value")
        return wire

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        return self._decoded(JSON_LIKE.lift(wire, depth))

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return self._codec.name or class_tag(self._class)

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self._decoded(JSON_LIKE.from_json(data, depth))

    @override
    def to_json(self, value: object) -> object:
        return JSON_LIKE.to_json(self._encoded(value))

    def _encoded(self, value: object) -> object:
        try:
            return self._codec.encode(value)
        except Exception as error:
            raise Fault(f"the codec of {self.name} failed: {error_text(error)}") from error

    def _decoded(self, data: object) -> object:
        try:
            made = self._codec.decode(data)
        except Exception as error:
            raise Fault(f"the codec of {self.name} failed: {error_text(error)}") from error
        if type(made) is not self._class:
            raise Fault(f"the codec of {self.name} gave a {type_name(type(made))}")
        return made

    @override
    def schema(self, made: Schemas) -> Schema:
        return {}


def register(cls: type, to_data: ToData, from_data: FromData) -> None:
    """Let instances of a class be payload."""
    _registered[cls] = (to_data, from_data)


def register_class(cls: type, codec: ClassCodec) -> None:
    """Let instances of a class be payload by a codec of the user's."""
    _codecs[cls] = codec


def codec_of(cls: type) -> ClassCodec | None:
    """Return the codec that the user has registered for a class."""
    return _codecs.get(cls)


def reference_node(cls: type) -> Node | None:
    """Return the node of a registered class."""
    codec = codec_of(cls)
    if codec is not None:
        return CodecNode(cls, codec)
    found = _registered.get(cls)
    return None if found is None else ReferenceNode(cls, *found)
