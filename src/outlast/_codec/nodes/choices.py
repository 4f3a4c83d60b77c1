"""Nodes of literals and enums: one of a closed set of values.

Invariants:
  * an enum whose values are all text is stored by value; any other by the name of its member,
    since values such as those of `auto()` depend on the order in which members are declared. A
    Literal of members follows the same rule, and names the class beside it;
  * what older versions stored is read where it means one member only.
"""

from __future__ import annotations

from enum import Enum, Flag

from typing_extensions import override

from outlast._codec.faults import Fault, type_name
from outlast._codec.nodes.evolution import ClassNode, by_tag
from outlast._codec.nodes.jsonlike import SCALAR_NODES
from outlast._codec.nodes.node import (
    Node,
    NoneType,
    Walk,
    class_mismatch,
    mismatch,
    mismatch_in_union,
)
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import class_tag
from outlast._shapes import as_object, is_list
from outlast.errors import RegistrationError
from outlast.limits import DEPTH_MAX

_MEMBERS_TOLD = 10
_ITSELF: frozenset[type] = frozenset({str, int, bool, bytes, NoneType})


class LiteralNode(Node):
    """`Literal[...]`: each value as itself, an enum's member as [tag of the enum, its wire form].

    Older versions wrote every member as ["module.Class.NAME"], or without the module.
    """

    is_self_describing = True
    json_rank = 0

    def __init__(self, values: tuple[object, ...]) -> None:
        self._wire_of: dict[tuple[type, object], object] = {}
        self._value_of: dict[tuple[type, object], object] = {}
        self._member_named: dict[str, object] = {}
        self._member_stored: dict[tuple[object, object], object] = {}
        self._enums: dict[str, EnumNode] = {}
        self._shown: dict[tuple[type, object], object] = {}
        for value in values:
            self._add(value)
        self.name = "Literal[...]"
        self.types = frozenset(kind for kind, _ in self._wire_of)
        self.wire = frozenset(kind for kind in self.types if kind in _ITSELF) | (
            frozenset({list}) if self._enums else frozenset()
        )

    def _add(self, value: object) -> None:
        kind = type(value)
        if isinstance(value, Enum):
            shown: object = value.name
            tag = class_tag(kind)
            node = self._enums.setdefault(tag, EnumNode(type(value)))
            if node.user_class is not kind:
                raise RegistrationError(
                    f"two enums are called {tag} in stored data: give one of them another name"
                )
            wire = node.lower(value, DEPTH_MAX, Walk())
            self._wire_of[kind, value.name] = [tag, wire]
            self._member_stored[tag, tuple(wire) if is_list(wire) else wire] = value
            self._member_named[f"{tag}.{value.name}"] = value
            short = f"{type_name(kind)}.{value.name}"
            if self._member_named.setdefault(short, value) is not value:
                self._member_named[short] = _AMBIGUOUS
        elif kind in _ITSELF:
            shown = SCALAR_NODES[kind].to_json(value)
            SCALAR_NODES[kind].lower(value, 1, Walk())
            self._wire_of[kind, value] = value
            self._value_of[kind, value] = value
        else:
            raise RegistrationError(f"{type_name(kind)} cannot be a value of a Literal")
        self._shown[type(shown), shown] = value

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        kind = type(value)
        if kind not in self.types:
            raise mismatch_in_union(self.name, self.types, value)
        key = value.name if isinstance(value, Enum) else value
        try:
            return self._wire_of[kind, key]
        except KeyError:
            raise Fault("the value is none of the declared literals") from None

    @override
    def lift(self, wire: object, depth: int) -> object:
        if not is_list(wire):
            try:
                return self._value_of[type(wire), wire]
            except (KeyError, TypeError):
                return self._member_of(wire, depth)
        if len(wire) == 1 and type(wire[0]) is str and wire[0] in self._member_named:
            found = self._member_named[wire[0]]
            if found is _AMBIGUOUS:
                raise Fault(f"the stored {wire[0]!a} may be a member of several enums of that name")
            return found
        tag = wire[0] if len(wire) == 2 else None
        if type(tag) is not str:
            return self._member_of(wire, depth)
        try:
            inner = wire[1]
            return self._member_stored[tag, tuple(inner) if is_list(inner) else inner]
        except (KeyError, TypeError):
            pass
        node = self._enums.get(tag)
        if node is not None:
            return self._declared(node.lift(wire[1], depth))
        try:
            targets: dict[object, Node] = {n.user_class: n for n in self._enums.values()}
            return self._declared(by_tag(tag, wire[1], depth, targets, _none_of_them()))
        except Fault:
            return self._member_of(wire, depth)  # two names of a Flag, perhaps

    def _member_of(self, wire: object, depth: int) -> object:
        """Read what was stored as a plain enum, which does not say of which class it is."""
        found: list[object] = []
        for node in self._enums.values():
            try:
                found.append(self._declared(node.lift(wire, depth)))
            except Fault:
                continue
        if len(found) > 1:
            raise Fault("the stored value may be a member of several of the declared enums")
        if not found:
            raise _none_of_them()
        return found[0]

    def _declared(self, value: object) -> object:
        if not isinstance(value, Enum) or (type(value), value.name) not in self._wire_of:
            raise _none_of_them()
        return value

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return "Literal"

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


def _none_of_them() -> Fault:
    return Fault("the stored value is none of the declared literals")


_AMBIGUOUS = object()


class EnumNode(ClassNode):
    """An Enum: by value where all values are text, else as [name]; a Flag as names of its bits.

    A bare text is a value, and never a name, whatever the class has become since. Older versions
    wrote an Enum whose values were all ints, and a Flag, by value.
    """

    json_rank = 0

    def __init__(self, cls: type[Enum]) -> None:
        super().__init__(cls)
        self._enum = cls
        self._tag = class_tag(cls)
        self._is_flag = issubclass(cls, Flag)
        kinds: set[type] = {type(as_object(m._value_)) for m in cls.__members__.values()}
        self._by_value = kinds == {str}
        self._shows_value = self._by_value or kinds == {int} or self._is_flag
        self._shown_kinds = frozenset({int}) if self._is_flag else frozenset(kinds)
        self.wire = frozenset({str if self._by_value else list})

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not isinstance(value, Enum) or type(value) is not self._enum:
            raise class_mismatch(self._enum, value)
        if isinstance(value, Flag):
            return self._bits(value, depth, walk)
        wire: object = value._value_ if self._by_value else value._name_
        text = SCALAR_NODES[str].lower(wire, depth, walk)
        return text if self._by_value else [text]

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        if is_list(wire):
            if len(wire) == 2 and wire[0] == self._tag:  # stored as the member of a Literal
                return self.lift_exactly(wire[1], depth)
            return self._flag_of(wire) if self._is_flag else self._named(wire)
        if type(wire) is int and self._shows_value and not self._by_value:
            return self._of_value(wire)
        if type(wire) is not str or self._is_flag:
            raise mismatch(self.name, wire)
        if self._by_value:
            return self._of_value(wire)
        return self._of_text(wire)

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return self._tag

    def stored_members(self) -> list[object]:
        """Return what is stored for each member."""
        return [self.lower(member, DEPTH_MAX, Walk()) for member in self._enum]

    @override
    def from_json(self, data: object, depth: int) -> object:
        if type(data) is str and data in self._enum.__members__:
            return self._enum.__members__[data]
        if self._shows_value and type(data) in self._shown_kinds:
            return self._of_value(data)
        raise self._no_member()

    @override
    def to_json(self, value: object) -> object:
        if not isinstance(value, Enum):
            return None
        return value._value_ if self._shows_value else value._name_

    def _bits(self, value: Flag, depth: int, walk: Walk) -> object:
        names: list[object] = []
        left = as_object(value._value_)
        if type(left) is not int:
            raise Fault(f"the value of a {self.name} is not an int")
        for name, member in self._enum.__members__.items():
            bit = as_object(member._value_)
            if type(bit) is int and bit.bit_count() == 1 and left & bit == bit:
                names.append(SCALAR_NODES[str].lower(name, depth, walk))
                left &= ~bit
        names.sort(key=str)
        return [*names, left] if left else names

    def _flag_of(self, wire: list[object]) -> object:
        bits = 0
        for part in wire:
            value = as_object(self._member_named(part)._value_) if type(part) is str else part
            if type(value) is not int:
                raise mismatch(self.name, wire)
            bits |= value
        return self._of_value(bits)

    def _named(self, wire: list[object]) -> object:
        if len(wire) != 1:
            raise mismatch(self.name, wire)
        return self._member_named(wire[0])

    def _of_text(self, text: str) -> object:
        """Read a bare text: the value of a member, stored when all values were text."""
        valued = [m for m in self._enum if as_object(m._value_) == text]
        if not valued:
            raise Fault(
                f"the stored {text[:100]!a} is not the value of any member of {self.name}: its "
                f"values were strings when this was stored"
            )
        return valued[0]

    def _member_named(self, name: object) -> Enum:
        # Older versions stored the member of a Literal by its full name.
        own = name.removeprefix(f"{self._tag}.") if type(name) is str else ""
        found = self._enum.__members__.get(own)
        if found is None:
            raise Fault(
                f"no member of {self.name} is called {f'{name!a}'[:100]}: keep a renamed member's "
                f"old name as an alias (OLD = NEW)"
            )
        return found

    def _of_value(self, value: object) -> object:
        try:
            found: object = self._enum(value)
        except (ValueError, KeyError, TypeError):
            raise self._no_member() from None
        if type(found) is not self._enum:
            raise self._no_member()
        return found

    def _no_member(self) -> Fault:
        members = list(self._enum.__members__)
        more = ", …" if len(members) > _MEMBERS_TOLD else ""
        return Fault(
            f"no member of {self.name}: its members are {', '.join(members[:_MEMBERS_TOLD])}{more}"
        )

    @override
    def schema(self, made: Schemas) -> Schema:
        if self._is_flag:
            return {"type": "integer", "title": self.name}
        members = self._enum.__members__.values()
        values: list[object] = [m._value_ if self._shows_value else m._name_ for m in members]
        return {"enum": values, "title": self.name}
