"""Nodes of tuples with a fixed number of items, each of its own type.

Invariants:
  * a named tuple is stored by the names of its fields, so their order has no meaning; older
    versions stored it by position;
  * the number of stored items is that of the declared type: nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from outlast._codec.classes.records import Member, canonical_fields, unknown_fields
from outlast._codec.faults import TOO_DEEP, Fault, key_segment
from outlast._codec.nodes.containers import items_from_json
from outlast._codec.nodes.evolution import ClassNode
from outlast._codec.nodes.node import Node, Walk, class_mismatch, mismatch
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import AGAIN, class_tag
from outlast._shapes import is_any_tuple, is_dict, is_list, is_tuple
from outlast._wording.plurals import counted

_ARRAY: frozenset[type] = frozenset({list})
_MAP: frozenset[type] = frozenset({dict})


class RowNode(Node):
    """`tuple[A, B]`."""

    types = frozenset({tuple})
    wire = _ARRAY
    json_rank = 4

    def __init__(self, items: tuple[Node, ...]) -> None:
        self.name = f"tuple[{', '.join(item.name for item in items) or '()'}]"
        self._items = items

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not is_tuple(value):
            raise mismatch(self.name, value)
        if len(value) != len(self._items):
            raise Fault(f"declared {self.name}, got {counted(len(value), 'item')}")
        if depth <= 0:
            raise Fault(TOO_DEEP)
        walk.spend(len(value) + 1)
        out: list[object] = []
        try:
            for node, item in zip(self._items, value, strict=True):
                out.append(node.lower(item, depth - 1, walk))
        except Fault as fault:
            fault.under(f"[{len(out)}]")
            raise
        return out

    @override
    def lift(self, wire: object, depth: int) -> object:
        if not is_list(wire):
            raise mismatch(self.name, wire)
        if len(wire) != len(self._items):
            raise Fault(f"declared {self.name}, got {counted(len(wire), 'item')}")
        if depth <= 0:
            raise Fault(TOO_DEEP)
        return tuple(_lifted(self._items, wire, depth - 1))

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        if self in inside:
            return AGAIN
        here = (*inside, self)
        return f"tuple[{', '.join(item.tag(here) for item in self._items) or '()'}]"

    @override
    def from_json(self, data: object, depth: int) -> object:
        if not is_list(data):
            raise mismatch(f"{self.name} (as an array)", data)
        items = items_from_json(self._items, data, depth)
        if len(data) != len(self._items):
            raise Fault(f"declared {self.name}, got {counted(len(data), 'item')}")
        return tuple(items)

    @override
    def to_json(self, value: object) -> object:
        if not is_any_tuple(value):
            return None
        return [node.to_json(item) for node, item in zip(self._items, value, strict=True)]

    @override
    def schema(self, made: Schemas) -> Schema:
        return {
            "type": "array",
            "title": self.name,
            "prefixItems": [node.schema(made) for node in self._items],
            "minItems": len(self._items),
            "maxItems": len(self._items),
        }


class NamedTupleNode(ClassNode):
    """A named tuple; from JSON as an array or as an object."""

    wire = _MAP

    def __init__(
        self, cls: type, members: tuple[Member, ...], make: Callable[[list[object]], object]
    ) -> None:
        super().__init__(cls)
        self.members = members
        # Not the constructor: `__new__` may be the user's and take something else.
        self._make = make
        self._labels = tuple(member.name for member in members)
        self._names = frozenset(self._labels)
        self._cost = sum(len(label) + 2 for label in self._labels) + 1

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not self._class or not is_any_tuple(value):
            raise class_mismatch(self._class, value)
        if len(value) != len(self.members):
            raise Fault(f"declared {self.name}, got {counted(len(value), 'item')}")
        if depth <= 0:
            raise Fault(TOO_DEEP)
        walk.spend(self._cost)
        out: dict[str, object] = {}
        for member, item in zip(self.members, value, strict=True):
            try:
                out[member.name] = member.node.lower(item, depth - 1, walk)
            except Fault as fault:
                fault.under(f".{member.name}")
                raise
        if walk.is_canonical:
            return canonical_fields(self, self.members, value, out, walk)
        return out

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        if depth <= 0:
            raise Fault(TOO_DEEP)
        if is_list(wire):
            return self._of_position(wire, depth)
        if not is_dict(wire):
            raise mismatch(self.name, wire)
        if not wire.keys() <= self._names:
            raise unknown_fields(self.name, self._class, wire, self._names)
        out: list[object] = []
        for member in self.members:
            try:
                if member.name in wire:
                    out.append(member.node.lift(wire[member.name], depth - 1))
                elif member.default is not None:
                    out.append(member.default())
                else:
                    raise Fault(f"missing in the stored {self.name}")
            except Fault as fault:
                fault.under(f".{member.name}")
                raise
        return self._make(out)

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return class_tag(self._class, self.argument_tags(inside))

    @override
    def from_json(self, data: object, depth: int) -> object:
        if is_dict(data):
            data = self._in_order(data)
        if not is_list(data):
            raise mismatch(f"{self.name} (as an array or an object)", data)
        nodes = [member.node for member in self.members]
        return self._completed(items_from_json(nodes, data, depth), len(data))

    @override
    def to_json(self, value: object) -> object:
        if not is_any_tuple(value):
            return None
        return [m.node.to_json(item) for m, item in zip(self.members, value, strict=True)]

    def _of_position(self, wire: list[object], depth: int) -> object:
        items = _lifted([member.node for member in self.members], wire, depth - 1)
        return self._completed(items, len(wire))

    def _completed(self, items: list[object], count: int) -> object:
        """Return the tuple; items at the end that have a default may be missing."""
        for member in self.members[count:]:
            if member.default is not None:
                items.append(member.default())
        if count > len(self.members) or len(items) != len(self.members):
            raise Fault(f"declared {self.name}, got {counted(count, 'item')}")
        return self._make(items)

    def _in_order(self, data: dict[object, object]) -> list[object]:
        unknown = [key for key in data if key not in self._names]
        if unknown:
            raise Fault("unknown field").under(key_segment(unknown[0]))
        given = [label for label in self._labels if label in data]
        if tuple(given) != self._labels[: len(given)]:
            missing = next(label for label in self._labels if label not in data)
            raise Fault("missing").under(f".{missing}")
        return [data[label] for label in given]

    @override
    def schema(self, made: Schemas) -> Schema:
        return {
            "type": "array",
            "title": self.name,
            "prefixItems": [member.node.schema(made) for member in self.members],
            "minItems": sum(member.default is None for member in self.members),
            "maxItems": len(self.members),
        }


def _lifted(nodes: tuple[Node, ...] | list[Node], wire: list[object], depth: int) -> list[object]:
    out: list[object] = []
    try:
        for node, item in zip(nodes, wire, strict=False):
            out.append(node.lift(item, depth))
    except Fault as fault:
        fault.under(f"[{len(out)}]")
        raise
    return out
