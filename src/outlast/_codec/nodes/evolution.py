"""Stored data of older classes: the conversions that bring it to today's.

`@evolve(Old)` registers how a value of an old shape becomes one of a new class. Where stored
data is not that of the declared class, it is read as each of the old shapes in turn.

Invariants:
  * stored data that is today's is never converted;
  * a conversion is used only when it is the only one that fits: nothing is guessed;
  * conversions form no circle, so reading ends.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from outlast._codec.faults import Fault, error_text, type_name
from outlast._codec.nodes.node import Node, Walk
from outlast._codec.tags import read_tagged
from outlast.limits import DEPTH_MAX


@dataclass(frozen=True, slots=True)
class Evolution:
    """One conversion.

    Attributes:
        tag: what a union calls the old shape in stored data.
        old: the old class; None when the old shape is no class, such as `dict[str, int]`.
        shape: reads the old shape.
        new: today's class.
        target: the node of `new`.
        place: where the function is, for messages.
    """

    tag: str
    old: object
    shape: Node
    new: object
    target: Node
    convert: Callable[[object], object]
    place: str


class ClassNode(Node):
    """The node of a class of a user's: data that is not of today's shape may be of an old one."""

    def __init__(self, cls: type) -> None:
        self.name = type_name(cls)
        self.types = frozenset({cls})
        self._class = self.user_class = cls

    @override
    def lift(self, wire: object, depth: int) -> object:
        try:
            return self.lift_exactly(wire, depth)
        except Fault as fault:
            return recovered(self, self._class, wire, depth, fault)

    @abstractmethod
    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        """Return the value of wire that was stored as this very type. Raises Fault."""


registered: dict[object, list[Evolution]] = {}


def add(evolution: Evolution) -> None:
    """Register a conversion, in place of the one between the same two shapes."""
    known = registered.setdefault(evolution.new, [])
    known[:] = [e for e in known if (e.old, e.tag) != (evolution.old, evolution.tag)]
    known.append(evolution)


def between(new: object, old: object, tag: str) -> Evolution | None:
    """Return the conversion that is registered between two shapes."""
    found = [e for e in registered.get(new, ()) if (e.old, e.tag) == (old, tag)]
    return found[0] if found else None


def leads_to(start: object, end: object) -> bool:
    """Tell whether conversions lead from one class to another."""
    return start is end or any(
        e.new is not e.old and leads_to(e.new, end) for e in _from(start) if e.new is not start
    )


def recovered(node: Node, cls: object, wire: object, depth: int, fault: Fault) -> object:
    """Return the value of stored data that is not that of its declared class as it is today.

    Raises:
        Fault: `fault`, or that of a conversion: the data cannot be read.
    """
    found = read_tagged(wire)
    if found is not None:
        tag, inner = found
        if tag == node.tag():
            return node.lift(inner, depth)  # a union of several classes has become this one
        return by_tag(tag, inner, depth, {cls: node}, fault)
    paths = list(_paths_to(cls, ()))
    if not paths:
        raise fault
    readings: dict[str, tuple[list[Evolution], object]] = {}
    for path in paths:
        try:
            value = path[0].shape.lift_exactly(wire, depth)
        except Fault:
            continue
        before = readings.setdefault(path[0].tag, (path, value))[0]
        if before is not path and len(before) == len(path):
            names = " and ".join(_route(one) for one in (before, path))
            raise Fault(f"several conversions lead to {node.name}, {names}: remove an @evolve")
    if not readings:
        names = ", ".join(dict.fromkeys(path[0].tag for path in paths))
        segments, reason = fault.found[0]
        fault.found[0] = (segments, f"{reason} (and it does not have the old shape {names})")
        raise fault
    if len(readings) > 1:
        names = " and ".join(readings)
        raise Fault(
            f"the stored {node.name} fits several old shapes, {names}: remove an @evolve, "
            f"or give the old classes fields that tell them apart"
        )
    ((path, value),) = readings.values()
    return _through(path, value)


def by_tag(
    tag: str, wire: object, depth: int, targets: Mapping[object, Node], fault: Fault
) -> object:
    """Return the value of stored data whose tag names an old shape, as one of the targets.

    Raises:
        Fault: `fault`, when no conversion leads from the tag to a target.
    """
    begins = [e for known in registered.values() for e in known if e.tag == tag]
    paths = [path for e in begins for path in _paths(e, targets, DEPTH_MAX)]
    if not paths:
        raise fault
    if len(paths) > 1:
        raise Fault(f"several conversions lead from the stored {tag} to the declared type")
    return _through(paths[0], paths[0][0].shape.lift(wire, depth))


def renames(stored: str, tag: str) -> bool:
    """Tell whether conversions lead from a class that unions stored by one name to another."""
    begins = [e for known in registered.values() for e in known if e.tag == stored]
    return any(leads_to(e.new, t.new) for e in begins for t in _to_tag(tag))


def _to_tag(tag: str) -> list[Evolution]:
    return [e for known in registered.values() for e in known if e.target.tag() == tag]


def _from(cls: object) -> list[Evolution]:
    return [e for known in registered.values() for e in known if e.old is cls]


def _paths(
    start: Evolution, targets: Mapping[object, Node], steps: int
) -> Iterator[list[Evolution]]:
    if start.new in targets:
        yield [start]
    elif steps > 0:
        for following in _from(start.new):
            for rest in _paths(following, targets, steps - 1):
                yield [start, *rest]


def _paths_to(
    cls: object, behind: tuple[Evolution, ...], steps: int = DEPTH_MAX
) -> Iterator[list[Evolution]]:
    """Return the chains of conversions that end in a class, the shortest first."""
    known = [e for e in registered.get(cls, ()) if e.old is not cls]
    here = [(e, *behind) for e in known]
    yield from (list(path) for path in here)
    if steps > 0:
        for path in here:
            yield from _paths_to(path[0].old, path, steps - 1)


def _route(path: Sequence[Evolution]) -> str:
    return " -> ".join(e.tag for e in path)


def _through(path: Sequence[Evolution], value: object) -> object:
    for evolution in path:
        value = _converted(evolution, value)
    return value


def _converted(evolution: Evolution, value: object) -> object:
    try:
        made = evolution.convert(value)
    except Exception as error:
        raise Fault(
            f"the conversion of the stored {evolution.tag} in {evolution.place} failed: "
            f"{error_text(error)}"
        ) from error
    try:
        evolution.target.lower(made, DEPTH_MAX, Walk())
    except Fault as fault:
        path, reason = fault.decoding_error().path, fault.decoding_error().reason
        raise Fault(
            f"the conversion of the stored {evolution.tag} in {evolution.place} did not return a "
            f"valid {evolution.target.name}: {path}: {reason}"
        ) from None
    return made
