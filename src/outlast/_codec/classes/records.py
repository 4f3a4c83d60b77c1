"""Nodes of classes with named fields: dataclass, msgspec Struct, pydantic model, TypedDict.

Stored data restores the state that was stored; data from outside goes through the class's own
constructor, so that its `__post_init__` or validators see it.

Invariants:
  * exactly the declared class is accepted: a subclass would read back as the parent;
  * restoring sets every stored field to the stored value, whatever the constructor made of it;
  * a field missing in stored data takes its default, since a class may grow while runs are open;
  * an unknown field is a fault, in stored data as in JSON from outside: data is never dropped.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from typing_extensions import override

from outlast._codec.faults import (
    FAULTS_SHOWN_MAX,
    SEGMENT_CHARS_MAX,
    TOO_DEEP,
    Fault,
    error_text,
    key_segment,
    type_name,
)
from outlast._codec.modules import name_of_class
from outlast._codec.nodes.evolution import ClassNode
from outlast._codec.nodes.jsonlike import encode_wire
from outlast._codec.nodes.node import Node, Walk, class_mismatch, mismatch
from outlast._codec.schemas import Schema, Schemas, object_schema
from outlast._codec.tags import class_tag
from outlast._shapes import is_dict
from outlast.limits import DEPTH_MAX

_MAP: frozenset[type] = frozenset({dict})


@dataclass(frozen=True, slots=True)
class Member:
    """One field: its name in the class and in JSON, and what stands in when it is missing."""

    name: str
    json_name: str
    node: Node
    default: Callable[[], object] | None
    is_init: bool = True

    def is_default(self, wire: object) -> bool:
        """Tell whether a canonical wire form is that of the default."""
        if self.default is None:
            return False
        try:
            default = self.node.lower(self.default(), DEPTH_MAX, Walk(is_canonical=True))
        except Exception:  # noqa: BLE001 - factories are the user's, and may give any type
            return False
        return encode_wire(default) == encode_wire(wire)


def canonical_fields(
    node: Node, members: Iterable[Member], value: object, wire: dict[str, object], walk: Walk
) -> dict[str, object]:
    """Return lowered fields ordered by name; for an id, without those that equal their defaults.

    `node` is that of the whole value.
    """
    if walk.is_for_id:
        whole = node.lower(value, DEPTH_MAX, Walk(is_canonical=True))
        known: dict[object, object] = whole if is_dict(whole) else {}
        for member in members:
            if member.name in wire and member.is_default(known[member.name]):
                del wire[member.name]
    return in_order_of_names(wire)


def in_order_of_names(wire: Mapping[str, object]) -> dict[str, object]:
    """Return lowered fields ordered by name: the order of a class has no meaning in a digest."""
    return dict(sorted(wire.items(), key=_name_of))


class RecordNode(ClassNode):
    """A class whose instances have named fields."""

    wire = _MAP
    is_open = False  # whether other fields are taken, or names may be aliases
    also_stored: frozenset[str] = frozenset()  # keys of the stored map that are no fields

    def __init__(
        self,
        cls: type,
        members: tuple[Member, ...],
        *,
        restore: Callable[[dict[str, object]], object],
        create: Callable[[dict[str, object]], object],
        native: object | None = None,
    ) -> None:
        super().__init__(cls)
        self.native = native
        self.members = members
        self.tag_class = cls
        self._stored_names = frozenset(member.name for member in members) | self.also_stored
        self._cost = sum(len(member.name) + 2 for member in members) + 1
        self._restore = restore
        self._create = create
        self.by_json_name = {member.json_name: member for member in members} | {
            member.name: member for member in members
        }

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> dict[str, object]:
        if type(value) is not self._class:
            raise self._other_class(value)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        walk.spend(self._cost)
        depth -= 1
        out: dict[str, object] = {}
        for member in self.members:
            name = member.name
            try:
                item: object = getattr(value, name)
            except AttributeError:
                # A field without default that is not set yet: `init=False`, or slots.
                walk.left += len(name) + 2
                continue
            try:
                out[name] = member.node.lower(item, depth, walk)
            except Fault as fault:
                fault.under(f".{name}")
                raise
        if walk.is_canonical:
            return canonical_fields(self, self.members, value, out, walk)
        return out

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        return self._restored(self.values_of(wire, depth))

    def values_of(self, wire: object, depth: int) -> dict[str, object]:
        """Return the values of the stored fields, and defaults of those that are missing."""
        if not is_dict(wire):
            raise mismatch(self.name, wire)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        if not wire.keys() <= self._stored_names:
            raise unknown_fields(self.name, self._class, wire, self._stored_names)
        depth -= 1
        values: dict[str, object] = {}
        for member in self.members:
            name = member.name
            try:
                if name in wire:
                    values[name] = member.node.lift(wire[name], depth)
                elif member.default is not None:
                    values[name] = member.default()
                elif member.is_init:
                    raise Fault(f"missing in the stored {self.name}")
            except Fault as fault:
                fault.under(f".{name}")
                raise
        return values

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return class_tag(self.tag_class, self.argument_tags(inside))

    @override
    def from_json(self, data: object, depth: int) -> object:
        if not is_dict(data):
            raise mismatch(f"{self.name} (as an object)", data)
        values = members_from_json(self.members, self.by_json_name, data, depth)
        try:
            return self._create(values)
        except Fault:
            raise
        except Exception as error:
            raise Fault(f"{self.name} rejects the value: {error_text(error)}") from error

    @override
    def to_json(self, value: object) -> object:
        return {
            member.json_name: member.node.to_json(getattr(value, member.name))
            for member in self.members
            if hasattr(value, member.name)
        }

    def _restored(self, values: dict[str, object]) -> object:
        try:
            return self._restore(values)
        except Exception as error:
            reason = f"{self.name} does not accept its stored state: {error_text(error)}"
            raise Fault(reason) from error

    def _other_class(self, value: object) -> Fault:
        if isinstance(value, self._class):
            return Fault(
                f"declared {self.name}, got its subclass {type_name(type(value))}: declare the "
                f"union of the possible classes"
            )
        return class_mismatch(self._class, value)

    @override
    def schema(self, made: Schemas) -> Schema:
        return made.reference(self._class, self.name, lambda: self._object_schema(made))

    def _object_schema(self, made: Schemas) -> Schema:
        members = [member for member in self.members if member.is_init]
        properties = {member.json_name: member.node.schema(made) for member in members}
        required = [member.json_name for member in members if member.default is None]
        return object_schema(self.name, properties, required, is_open=self.is_open)


class TypedDictNode(ClassNode):
    """A TypedDict: a dict with declared keys."""

    wire = _MAP

    def __init__(self, cls: type, members: tuple[Member, ...], required: frozenset[str]) -> None:
        super().__init__(cls)
        self.types = frozenset({dict})
        self.members = members
        self.required = required
        self._by_name = {member.name: member for member in members}

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not is_dict(value):
            raise mismatch(self.name, value)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        self._check_names(value)
        out: dict[str, object] = {}
        # In the dict's own order, which a TypedDict does not fix.
        names = sorted(map(str, value)) if walk.is_canonical else value
        for name in names:
            if type(name) is not str:
                raise mismatch("str", name)
            walk.spend(len(name) + 2)
            try:
                out[name] = self._by_name[name].node.lower(value[name], depth - 1, walk)
            except Fault as fault:
                fault.under(key_segment(name))
                raise
        return out

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        if not is_dict(wire):
            raise mismatch(self.name, wire)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        if not wire.keys() <= self._by_name.keys():
            raise unknown_fields(self.name, self._class, wire, self._by_name)
        self._check_required(wire)
        out: dict[object, object] = {}
        for name, item in wire.items():
            member = self._by_name[f"{name!s}"]
            try:
                out[member.name] = member.node.lift(item, depth - 1)
            except Fault as fault:
                fault.under(f".{member.name}")
                raise
        return out

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return class_tag(self._class, self.argument_tags(inside))

    @override
    def from_json(self, data: object, depth: int) -> object:
        if not is_dict(data):
            raise mismatch(f"{self.name} (as an object)", data)
        return members_from_json(self.members, self._by_name, data, depth)

    @override
    def to_json(self, value: object) -> object:
        if not is_dict(value):
            return None
        return {
            member.name: member.node.to_json(value[member.name])
            for member in self.members
            if member.name in value
        }

    def _check_names(self, value: Mapping[object, object]) -> None:
        for key in value:
            if type(key) is not str or key not in self._by_name:
                raise Fault(f"{self.name} has no such key").under(key_segment(key))
        self._check_required(value)

    def _check_required(self, value: Mapping[object, object]) -> None:
        for name in self.required:
            if name not in value:
                raise Fault(f"missing in {self.name}").under(f".{name}")

    @override
    def schema(self, made: Schemas) -> Schema:
        properties = {member.json_name: member.node.schema(made) for member in self.members}
        return object_schema(self.name, properties, sorted(self.required))


def members_from_json(
    members: Iterable[Member],
    by_name: Mapping[str, Member],
    data: Mapping[object, object],
    depth: int,
) -> dict[str, object]:
    """Read each field from a JSON object, and report every fault at once."""
    if depth <= 0:
        raise Fault(TOO_DEEP)
    values: dict[str, object] = {}
    faults: list[Fault] = []
    given: set[str] = set()
    for key, item in data.items():
        member = by_name.get(key) if type(key) is str else None
        if member is None:
            faults.append(unknown_name(key, by_name, found=len(faults)))
            continue
        given.add(member.name)
        try:
            values[member.name] = member.node.from_json(item, depth - 1)
        except Fault as fault:
            faults.append(fault.under(f".{member.json_name}"))
    for member in members:
        if member.name not in given and member.default is None and member.is_init:
            faults.append(Fault("missing").under(f".{member.json_name}"))
    if faults:
        raise Fault.together(faults)
    return values


def unknown_fields(
    name: str, cls: type, stored: Mapping[object, object], known: Collection[str]
) -> Fault:
    """Return the fault of stored data with fields that its class does not have any more."""
    texts = sorted(key if type(key) is str else type_name(type(key)) for key in stored)
    gone = [text[:SEGMENT_CHARS_MAX] for text in texts if text not in known][:FAULTS_SHOWN_MAX]
    plural = "fields" if len(gone) > 1 else "a field"
    return Fault(
        f"the stored {name} has {plural} that the class does not have: {', '.join(gone)}. Stored "
        f"data is never dropped: restore the renamed or removed names, or convert the old shape "
        f"with @outlast.evolve(Old), where Old declares the stored fields and the function returns "
        f"{'.'.join(name_of_class(cls))}"
    )


def unknown_name(
    name: object, known: Iterable[str], what: str = "field", *, found: int = 0
) -> Fault:
    """Return the fault of a name that does not exist, with the nearest one that does.

    Looking for that takes time, so it is left out of faults that are never shown: `found` is how
    many there are before this one.
    """
    is_shown = type(name) is str and found < FAULTS_SHOWN_MAX
    near = difflib.get_close_matches(f"{name!s}"[:100], list(known), n=1) if is_shown else []
    advice = f"; did you mean {near[0]}?" if near else ""
    return Fault(f"unknown {what}{advice}").under(key_segment(name))


def _name_of(item: tuple[str, object]) -> str:
    return item[0]
