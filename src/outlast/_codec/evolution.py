"""Stored data of older classes: the conversions that bring it to today's.

`@evolve(Old)` registers how a value of an old shape becomes one of a new class. Where stored
data is not that of the declared class, it is read as each of the old shapes in turn.

Invariants:
  * stored data that is today's is never converted;
  * a conversion is used only when it is the only one that fits: nothing is guessed;
  * conversions form no circle, so reading ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from outlast._codec.faults import Fault, error_text
from outlast._codec.nodes import Node, Walk
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
    olds = [e for e in registered.get(cls, ()) if e.old is not cls]
    if not olds:
        raise fault
    direct = list(_readings(olds, wire, depth, is_exact=True))
    readings = direct or list(_readings(olds, wire, depth, is_exact=False))
    if not readings:
        names = ", ".join(e.tag for e in olds)
        segments, reason = fault.found[0]
        fault.found[0] = (segments, f"{reason} (nor is it the old shape {names})")
        raise fault
    if len(readings) > 1:
        names = " and ".join(e.tag for e, _ in readings)
        raise Fault(
            f"the stored {node.name} fits several old shapes, {names}: remove an @evolve, "
            f"or give the old classes fields that tell them apart"
        )
    return _converted(*readings[0])


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
    first = paths[0][0]
    value = first.shape.lift(wire, depth)
    for evolution in paths[0]:
        value = _converted(evolution, value)
    return value


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


def _readings(
    olds: Sequence[Evolution], wire: object, depth: int, *, is_exact: bool
) -> Iterator[tuple[Evolution, object]]:
    for evolution in olds:
        lift = evolution.shape.lift_exactly if is_exact else evolution.shape.lift
        try:
            value = lift(wire, depth)
        except Fault:
            continue
        yield evolution, value


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
            f"the conversion of the stored {evolution.tag} in {evolution.place} returned no "
            f"{evolution.target.name}: {path}: {reason}"
        ) from None
    return made
