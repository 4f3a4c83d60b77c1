"""Payload classes that belong to other modules: handles such as `Run[R]`.

Invariants:
  * a reference is stored as JSON-like data, and comes back through the function that was
    registered with its class.
"""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from outlast._codec.faults import Fault, type_name
from outlast._codec.jsonlike import JSON_LIKE
from outlast._codec.nodes import Node, Walk, mismatch
from outlast._codec.schemas import Schema, Schemas

ToData = Callable[[object], object]
FromData = Callable[[object], object]

_registered: dict[type, tuple[ToData, FromData]] = {}


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
            raise mismatch(self.name, value)
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
            raise Fault(f"the data is no {self.name}") from None

    @override
    def schema(self, made: Schemas) -> Schema:
        return {}


def register(cls: type, to_data: ToData, from_data: FromData) -> None:
    """Let instances of a class be payload."""
    _registered[cls] = (to_data, from_data)


def reference_node(cls: type) -> ReferenceNode | None:
    """Return the node of a registered class."""
    found = _registered.get(cls)
    return None if found is None else ReferenceNode(cls, *found)
