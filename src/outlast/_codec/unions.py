"""Nodes of unions, literals and enums.

Invariants:
  * None is always nil, in every union;
  * members whose wire classes differ are written plainly; where they could be confused, each
    value is written as [index of the member in the declared union, value];
  * the member is chosen by the value's exact class first, then by trying in declared order.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, Flag

from typing_extensions import override

from outlast._codec.faults import Fault, type_name
from outlast._codec.jsonlike import SCALAR_NODES
from outlast._codec.nodes import Node, NoneType, Walk, mismatch
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.shapes import as_object, is_list
from outlast.errors import RegistrationError

_ITSELF: frozenset[type] = frozenset({str, int, bool, bytes, NoneType})


def union_node(members: tuple[Node, ...]) -> Node:
    """Return the node of a union, in declared order, None included."""
    others = [node for node in members if NoneType not in node.types]
    is_plain = all(node.wire and NoneType not in node.wire for node in others)
    return UnionNode(members, is_plain=is_plain and _all_differ(others))


def _all_differ(nodes: list[Node]) -> bool:
    count = sum(len(node.wire) for node in nodes)
    return count == len(frozenset[type]().union(*(node.wire for node in nodes)))


class UnionNode(Node):
    """A union of two or more types."""

    def __init__(self, members: tuple[Node, ...], *, is_plain: bool) -> None:
        self.name = " | ".join(node.name for node in members)
        self._members = members
        self._is_plain = is_plain
        self._by_type: dict[type, list[int]] = {}
        self._by_wire: dict[type, int] = {}
        for index, node in enumerate(members):
            for kind in node.types:
                self._by_type.setdefault(kind, []).append(index)
            for kind in node.wire:
                self._by_wire.setdefault(kind, index)
        self.types = _union([node.types for node in members])
        nil = frozenset({NoneType}) if NoneType in self.types else frozenset[type]()
        if is_plain:
            self.wire = _union([node.wire for node in members])
            # A class that a member keeps must be dispatched to that member, not to another.
            self.kept = _union([node.kept & node.types for node in members])
        else:
            self.wire = nil | {list}
            self.kept = nil

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if value is None and NoneType in self.types:
            return None
        first: Fault | None = None
        for index in self._candidates(self._by_type.get(type(value), [])):
            before = walk.left
            try:
                wire = self._members[index].lower(value, depth, walk)
            except Fault as fault:
                walk.take_back(before)
                first = first or fault
                continue
            if self._is_plain:
                return wire
            walk.left -= 2
            return [index, wire]
        known = self._by_type.get(type(value))
        if first is not None and known is not None and len(known) == 1:
            raise first
        raise mismatch(self.name, value)

    @override
    def lift(self, wire: object, depth: int) -> object:
        if wire is None and NoneType in self.types:
            return None
        if not self._is_plain:
            return self._lift_tagged(wire, depth)
        found = self._by_wire.get(type(wire))
        if found is not None:
            return self._members[found].lift(wire, depth)
        for node in self._members:
            try:
                return node.lift(wire, depth)
            except Fault:
                continue
        raise mismatch(self.name, wire)

    def _lift_tagged(self, wire: object, depth: int) -> object:
        if not is_list(wire) or len(wire) != 2:
            raise Fault(f"declared {self.name}, got no [index, value]")
        index = wire[0]
        if type(index) is not int or not 0 <= index < len(self._members):
            raise Fault(f"the stored member of the union {self.name} does not exist")
        return self._members[index].lift(wire[1], depth)

    @override
    def from_json(self, data: object, depth: int) -> object:
        faults: list[Fault] = []
        exact = [index for index in self._by_type.get(type(data), []) if type(data) in _NUMBERS]
        for index in self._candidates(exact):
            try:
                return self._members[index].from_json(data, depth)
            except Fault as fault:
                faults.append(fault)
        # A fault from inside a member says more than "fits none", if only one got that far.
        inner = [fault for fault in faults if any(path for path, _ in fault.found)]
        if len(inner) == 1:
            raise inner[0]
        raise Fault(f"fits none of {self.name}")

    @override
    def to_json(self, value: object) -> object:
        for index in self._candidates(self._by_type.get(type(value), [])):
            node = self._members[index]
            try:
                # The first member that accepts the value is the one that stored it.
                node.lower(value, _ANY_DEPTH, Walk())
            except Fault:
                continue
            return node.to_json(value)
        return None

    def _candidates(self, first: list[int]) -> Iterator[int]:
        yield from first
        for index in range(len(self._members)):
            if index not in first:
                yield index

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"anyOf": [node.schema(made) for node in self._members]}


_NUMBERS: frozenset[type] = frozenset({int, float, bool})
_ANY_DEPTH = 1_000


def _union(sets: list[frozenset[type]]) -> frozenset[type]:
    return frozenset[type]().union(*sets)


class LiteralNode(Node):
    """`Literal[...]`: each value as itself, an enum's member as ["Class.NAME"]."""

    def __init__(self, values: tuple[object, ...]) -> None:
        self._wire_of: dict[tuple[type, object], object] = {}
        self._value_of: dict[tuple[type, object], object] = {}
        self._shown: dict[tuple[type, object], object] = {}
        for value in values:
            self._add(value)
        self.name = "Literal[...]"
        self.types = frozenset(kind for kind, _ in self._wire_of)
        enums = any(isinstance(value, Enum) for value in values)
        self.wire = frozenset(kind for kind in self.types if kind in _ITSELF) | (
            frozenset({list}) if enums else frozenset()
        )

    def _add(self, value: object) -> None:
        kind = type(value)
        if isinstance(value, Enum):
            shown: object = value.name
            text = f"{type_name(kind)}.{value.name}"
            self._wire_of[kind, value.name] = [text]
            self._value_of[list, text] = value
        elif kind in _ITSELF:
            shown = SCALAR_NODES[kind].to_json(value)
            SCALAR_NODES[kind].lower(value, 1, Walk())
            self._wire_of[kind, value] = value
            self._value_of[kind, value] = value
        else:
            raise RegistrationError(f"{type_name(kind)} is no value of a Literal")
        self._shown[type(shown), shown] = value

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        kind = type(value)
        if kind not in self.types:
            raise mismatch(self.name, value)
        key = value.name if isinstance(value, Enum) else value
        try:
            return self._wire_of[kind, key]
        except KeyError:
            raise Fault("the value is none of the declared literals") from None

    @override
    def lift(self, wire: object, depth: int) -> object:
        key = wire[0] if is_list(wire) and len(wire) == 1 else wire
        try:
            return self._value_of[type(wire), key]
        except (KeyError, TypeError):
            raise Fault("the stored value is none of the declared literals") from None

    @override
    def from_json(self, data: object, depth: int) -> object:
        try:
            return self._shown[type(data), data]
        except (KeyError, TypeError):
            raise Fault("the value is none of the declared literals") from None

    @override
    def to_json(self, value: object) -> object:
        if isinstance(value, Enum):
            return value.name
        node = SCALAR_NODES.get(type(value))
        return None if node is None else node.to_json(value)

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"enum": [shown for _, shown in self._shown]}


class EnumNode(Node):
    """An Enum: by value where all values are text, or all ints; else by name."""

    def __init__(self, cls: type[Enum]) -> None:
        self.name = type_name(cls)
        self.types = frozenset({cls})
        self._class = cls
        kinds: set[type] = {type(as_object(m._value_)) for m in cls.__members__.values()}
        self._by_value = bool(kinds) and (kinds == {str} or kinds == {int})
        self._is_flag = issubclass(cls, Flag)
        self.wire = frozenset(kinds) if self._by_value else frozenset({str})
        if self._is_flag:
            self._by_value = True
            self.wire = frozenset({int})

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not isinstance(value, Enum) or type(value) is not self._class:
            raise mismatch(self.name, value)
        wire: object = value._value_ if self._by_value else value._name_
        return SCALAR_NODES[type(wire)].lower(wire, depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        if type(wire) not in self.wire:
            raise mismatch(self.name, wire)
        return self._member(wire, by_value=self._by_value)

    @override
    def from_json(self, data: object, depth: int) -> object:
        if type(data) is str and data in self._class.__members__:
            return self._class.__members__[data]
        if type(data) in self.wire:
            return self._member(data, by_value=True)
        raise Fault(f"no member of {self.name}")

    @override
    def to_json(self, value: object) -> object:
        if not isinstance(value, Enum):
            return None
        return value._value_ if self._by_value else value._name_

    def _member(self, wire: object, *, by_value: bool) -> object:
        try:
            found: object = self._class(wire) if by_value else self._class.__members__[f"{wire!s}"]
        except (ValueError, KeyError, TypeError):
            raise Fault(f"no member of {self.name}") from None
        if type(found) is not self._class:
            raise Fault(f"no member of {self.name}")
        return found

    @override
    def schema(self, made: Schemas) -> Schema:
        if self._is_flag:
            return {"type": "integer", "title": self.name}
        members = self._class.__members__.values()
        values: list[object] = [m._value_ if self._by_value else m._name_ for m in members]
        return {"enum": values, "title": self.name}
