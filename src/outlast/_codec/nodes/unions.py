"""Nodes of unions.

Invariants:
  * None is always nil, in every union;
  * arms that are plain scalars and literals only are written plainly; in any other union each
    value is written under the tag of its arm (see `tags`), so the order of arms has no meaning;
  * what is not tagged was stored when the type was another one, or by an older version as
    [index, value]: it is read only where a single arm takes it;
  * JSON from outside has no tags: the most specific arm that takes it gets it, and where that
    leaves two classes, it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import msgpack
from typing_extensions import override

from outlast._codec.faults import Fault, type_name
from outlast._codec.nodes.evolution import by_tag, renames
from outlast._codec.nodes.jsonlike import JSON_LIKE, encode_wire
from outlast._codec.nodes.node import Later, Node, NoneType, Walk, mismatch_in_union
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import AGAIN, covers, read_tagged, tag_of, tagged, union_tag
from outlast._shapes import is_list
from outlast.errors import PayloadTooLarge
from outlast.limits import DEPTH_MAX

_Reading = tuple[Node, object]


class UnionNode(Node):
    """A union of two or more types."""

    def __init__(self, members: tuple[Node, ...]) -> None:
        self.name = " | ".join(node.name for node in members)
        self.members = members
        others = [node for node in members if NoneType not in node.types]
        self.types = _union([node.types for node in members])
        self._has_nil = NoneType in self.types
        nil = frozenset({NoneType}) if self._has_nil else frozenset[type]()
        self._is_plain = len(others) <= 1 or all(node.is_self_describing for node in others)
        if self._is_plain:
            is_known = all(node.wire for node in others)
            self.wire = nil | _union([node.wire for node in others]) if is_known else frozenset()
            # A class that a member keeps must be dispatched to that member, not to another.
            self.kept = nil | _union([node.kept & node.types for node in others])
        else:
            self.wire = nil | {list}
            self.kept = nil
        self.is_self_describing = self._is_plain and all(n.is_self_describing for n in others)
        self._found: _Arms | None = None

    def check(self) -> None:
        """Refuse arms that cannot be told apart by their tags. Raises Fault."""
        self._arms()

    def _arms(self) -> _Arms:
        # Late: a recursive alias may be an arm, which is a union of arms once it is complete.
        if self._found is None:
            self._found = _Arms(list(flattened(self.members, ())), is_tagged=not self._is_plain)
        return self._found

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if value is None and self._has_nil:
            return None
        arms = self._found or self._arms()
        known = arms.by_type.get(type(value), ())
        first: Fault | None = None
        promoting: Node | None = None
        for arm in arms.candidates(known):
            before, promoted = walk.left, walk.promoted
            try:
                wire = arm.lower(value, depth, walk)
            except Fault as fault:
                walk.take_back(before)
                first = first or fault
                continue
            if walk.promoted == promoted:
                return self._written(arms, arm, wire, walk)
            # It would read back as another value: any arm that keeps its ints comes before.
            walk.take_back(before)
            promoting = promoting or arm
        if promoting is not None:
            wire = promoting.lower(value, depth, walk)
            return self._written(arms, promoting, wire, walk)
        if first is not None and (len(known) == 1 or len(arms.nodes) == 1):
            raise first
        raise mismatch_in_union(self.name, arms.by_type, value)

    def _written(self, arms: _Arms, arm: Node, wire: object, walk: Walk) -> object:
        if self._is_plain:
            return wire
        walk.left -= 2
        return tagged(arms.tag_in_ids(arm) if walk.is_for_id else arms.tag_of[arm], wire)

    @override
    def lift(self, wire: object, depth: int) -> object:
        if wire is None and self._has_nil:
            return None
        arms = self._found or self._arms()
        found = read_tagged(wire) if is_list(wire) else None
        if found is not None:
            return self._lift_tagged(arms, *found, depth)
        if self._is_plain:
            known = arms.by_wire.get(type(wire), arms.nodes)
            if len(known) == 1:
                return known[0].lift(wire, depth)
            # Of scalars the kind says which arms it can be from: an int is from no float.
            exact = list(_readings(known, wire, depth))
            if exact:
                return self._agreed(exact)
        return self._lift_untagged(arms, wire, depth)

    def _lift_tagged(self, arms: _Arms, tag: str, wire: object, depth: int) -> object:
        named = arms.by_tag.get(tag) or arms.covering(tag)
        if len(named) == 1:
            return named[0].lift(wire, depth)
        fault = Fault(
            f"the stored value is a {tag}, which is none of {self.name}: restore the arm, or "
            f"convert the value with @outlast.evolve to one of these"
        )
        if named:
            readings = list(_readings(named, wire, depth))
            if not readings:
                raise fault
            return readings[0][1]  # arms of one tag are plain, and agree on the value
        targets: dict[object, Node] = {
            arm.user_class: arm for arm in arms.nodes if arm.user_class is not None
        }
        return by_tag(tag, wire, depth, targets, fault)

    def _lift_untagged(self, arms: _Arms, wire: object, depth: int) -> object:
        readings = list(_readings(arms.nodes, wire, depth))
        if is_list(wire) and len(wire) == 2 and type(wire[0]) is int:
            readings += _readings(arms.nodes, wire[1], depth)
        if not readings:
            raise Fault(f"declared {self.name}, got {type_name(type(wire))} that fits none of them")
        return self._agreed(readings)

    def _agreed(self, readings: Sequence[_Reading]) -> object:
        """Return what all arms that take a stored value read from it. Raises Fault."""
        _, value = readings[0]
        for arm, other in readings[1:]:
            if not _is_same(value, other):
                raise Fault(
                    f"the stored value fits both {readings[0][0].tag()} and {arm.tag()}, and has "
                    f"no tag that says which: it was stored under another declared type, or by a "
                    f"version that numbered the arms. Declare only the right one, or convert the "
                    f"value that contains it with @outlast.evolve"
                )
        return value

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        if self in inside:
            return AGAIN
        here = (*inside, self)
        arms = [arm.tag(here) for arm in flattened(self.members, inside)]
        return union_tag([*arms, "None"] if self._has_nil else arms)

    @override
    def from_json(self, data: object, depth: int) -> object:
        arms = self._arms()
        if data is None and self._has_nil:
            return None
        faults: list[Fault] = []
        readings: list[_Reading] = []
        exact = arms.by_type.get(type(data), ()) if type(data) in _NUMBERS else ()
        for arm in [*exact, *arms.from_json]:
            try:
                value = arm.from_json(data, depth)
            except Fault as fault:
                faults.append(fault)
                continue
            if arm in exact or arm.json_rank != RANK_OF_CLASSES:
                return readings[0][1] if readings else value
            if readings and not _is_same(readings[0][1], value):
                raise Fault(
                    f"fits both {readings[0][0].name} and {arm.name}: give the classes a field "
                    f"that tells them apart, such as kind: Literal['a']"
                )
            readings.append((arm, value))
        if readings:
            return readings[0][1]
        # A fault from inside a member says more than "fits none", if only one got that far.
        inner = [fault for fault in faults if any(path for path, _ in fault.found)]
        if len(inner) == 1:
            raise inner[0]
        raise Fault(f"fits none of {self.name}")

    @override
    def to_json(self, value: object) -> object:
        if value is None and self._has_nil:
            return None
        arms = self._arms()
        promoting: Node | None = None
        for arm in arms.candidates(arms.by_type.get(type(value), ())):
            walk = Walk()
            try:
                arm.lower(value, _ANY_DEPTH, walk)
            except Fault:
                continue
            if not walk.promoted:  # it is the one that stores it, see `lower`
                return arm.to_json(value)
            promoting = promoting or arm
        return None if promoting is None else promoting.to_json(value)

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"anyOf": [node.schema(made) for node in self.members]}


class _Arms:
    """The arms of a union, without None, each once, in the order of their tags."""

    __slots__ = ("by_tag", "by_type", "by_wire", "from_json", "nodes", "tag_of")

    def __init__(self, arms: Sequence[Node], *, is_tagged: bool) -> None:
        by_tag: dict[str, list[Node]] = {}
        for arm in arms:
            same = by_tag.setdefault(arm.tag(), [])
            if arm in same or (same and not arm.is_self_describing and arm.types == same[0].types):
                continue
            if same and is_tagged and not arm.is_self_describing:
                raise Fault(
                    f"two arms of the union are called {arm.tag()} in stored data: give one of the "
                    f"classes another name, or declare only one of them"
                )
            same.append(arm)
        nodes = [arm for tag in sorted(by_tag) for arm in by_tag[tag]]
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self.by_tag = {tag: tuple(same) for tag, same in by_tag.items()}
        self.tag_of: dict[Node, msgpack.Ext] = {
            arm: tag_of(tag) for tag, same in by_tag.items() for arm in same
        }
        self.by_type = _grouped(nodes, [node.types for node in nodes])
        self.by_wire = _grouped(nodes, [node.wire for node in nodes])
        self.from_json = tuple(sorted(nodes, key=_json_rank))

    def candidates(self, first: tuple[Node, ...]) -> Iterator[Node]:
        """Return all arms, those first that are known to be of the value's class."""
        yield from first
        for arm in self.nodes:
            if arm not in first:
                yield arm

    def tag_in_ids(self, arm: Node) -> msgpack.Ext:
        """Return the tag of an arm without its arguments, which may gain arms of their own.

        Two arms of one class keep them.
        """
        base = _base_of(arm)
        is_alone = sum(_base_of(other) == base for other in self.nodes) == 1
        return tag_of(base) if is_alone else self.tag_of[arm]

    def covering(self, tag: str) -> tuple[Node, ...]:
        """Return the arms that take what an earlier form of their type stored."""
        return tuple(
            arm
            for known, same in self.by_tag.items()
            if covers(known, tag, renames)
            for arm in same
        )


RANK_OF_CLASSES = 1
"""The `json_rank` of classes with fields, of which two may take the same object."""

_NUMBERS: frozenset[type] = frozenset({int, float, bool})
_ANY_DEPTH = 1_000


def flattened(members: Sequence[Node], inside: tuple[Node, ...]) -> Iterator[Node]:
    """Return the arms of a union, those of unions within it one by one, without None."""
    for member in members:
        node = member.target if isinstance(member, Later) else member
        if isinstance(node, UnionNode):
            if node not in inside:
                yield from flattened(node.members, (*inside, node))
        elif NoneType not in node.types:
            yield node


def _base_of(arm: Node) -> str:
    return arm.tag().partition("[")[0]


def _json_rank(node: Node) -> int:
    return node.json_rank


def _grouped(
    nodes: Sequence[Node], keys: Sequence[frozenset[type]]
) -> dict[type, tuple[Node, ...]]:
    groups: dict[type, list[Node]] = {}
    for node, kinds in zip(nodes, keys, strict=True):
        for kind in kinds:
            groups.setdefault(kind, []).append(node)
    return {kind: tuple(group) for kind, group in groups.items()}


def _readings(nodes: Sequence[Node], wire: object, depth: int) -> Iterator[_Reading]:
    for node in nodes:
        try:
            value = node.lift(wire, depth)
        except Fault:
            continue
        yield node, value


def _is_same(one: object, other: object) -> bool:
    """Tell whether two values are the same standard data; never by methods of users' classes."""
    if type(one) is not type(other):
        return False
    try:
        wires = [JSON_LIKE.lower(v, DEPTH_MAX, Walk(is_canonical=True)) for v in (one, other)]
    except (Fault, PayloadTooLarge):
        return False
    return encode_wire(wires[0]) == encode_wire(wires[1])


def _union(sets: list[frozenset[type]]) -> frozenset[type]:
    return frozenset[type]().union(*sets)
