"""What a node is: the codec of one part of a declared type.

An annotation becomes a tree of nodes once, at registration. Each node knows six ways:

    lower      value -> wire    what msgpack holds: None, bool, int, float, str, bytes, list, dict
    lift       wire -> value
    from_json  what a person or another program sent as JSON -> value
    to_json    value -> what JSON can show
    schema     what JSON data looks like
    canonical  `lower` in a walk that `is_canonical`: equal values give equal wire; one that
               `is_for_id` also leaves out what equals its default, so that a class which gains
               a field with a default changes no id

Invariants:
  * `lower` accepts exactly what `lift` gives back, equal and of the same type;
  * no method calls a method of the user's value, except a tzinfo's `utcoffset`;
  * recursion ends: every container spends one level of `depth`;
  * work ends: a walk spends at least one unit of `left` for each node it meets, so a small
    value that refers to itself many times cannot expand without bound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable

from typing_extensions import override

from outlast._codec.faults import Fault, SecretFault, type_name
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import AGAIN
from outlast.errors import PayloadTooLarge
from outlast.limits import PAYLOAD_BYTES_MAX
from outlast.secret import Secret

RETRIED_UNITS_MAX = 8 * PAYLOAD_BYTES_MAX
"""Work on union members that did not fit, in one walk: nested guesses multiply."""

NoneType = type(None)

SCALARS: frozenset[type] = frozenset({str, int, float, bool, NoneType, bytes})
"""Immutable and identical after a round trip: they may skip it."""


class Walk:
    """One pass over one value: how many bytes it may still take, and for what it is done.

    `left` falls by a lower bound of what each node encodes to (at least a quarter of it), so a
    value that is too large is refused before more than four times the limit has been built.
    """

    __slots__ = ("is_canonical", "is_for_id", "left", "promoted", "retried")

    def __init__(self, *, is_canonical: bool = False, is_for_id: bool = False) -> None:
        self.left: int = PAYLOAD_BYTES_MAX
        self.retried: int = 0
        self.is_canonical: bool = is_canonical or is_for_id
        self.is_for_id: bool = is_for_id
        self.promoted: int = 0  # ints that were written as floats

    def spend(self, units: int) -> None:
        """Count `units` bytes.

        Raises:
            PayloadTooLarge: the value cannot fit the limit any more.
        """
        self.left -= units
        if self.left < 0:
            raise PayloadTooLarge("the value", PAYLOAD_BYTES_MAX - self.left, PAYLOAD_BYTES_MAX)

    def take_back(self, left_before: int) -> None:
        """Undo what a union member that did not fit has spent."""
        self.retried += left_before - self.left + 1
        self.left = left_before
        if self.retried > RETRIED_UNITS_MAX:
            raise PayloadTooLarge("the value", self.retried, RETRIED_UNITS_MAX)


class Node(ABC):
    """The codec of one part of a declared type; see the module.

    Attributes:
        name: how messages call the declared type.
        types: runtime classes that this node surely stands for; empty if it cannot tell.
        wire: wire classes that it surely gives; empty if it may give any.
        kept: scalar classes whose values `lift(lower(x))` returns as they are.
        flat: those of them whose wire form is the value itself; what does not fit msgpack, or is
            text that UTF-8 cannot hold, is refused by whoever encodes it.
        native: the type to hand to msgspec's decoder, when its rules are ours, but for stored
            fields that a class does not have: msgspec skips those.
        is_self_describing: what it writes tells its class by itself, beside other such nodes.
        arguments: what stands for the type variables of a generic class.
        user_class: the class of users that it stands for, for which `@evolve` can be declared.
        json_rank: arms of a union take JSON data in this order, the most specific first.
    """

    name: str = "?"
    types: frozenset[type] = frozenset()
    wire: frozenset[type] = frozenset()
    kept: frozenset[type] = frozenset()
    flat: frozenset[type] = frozenset()
    native: object | None = None
    is_self_describing: bool = False
    arguments: tuple[Node, ...] = ()
    user_class: type | None = None
    json_rank: int = 1

    @abstractmethod
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        """Return the wire form. Raises Fault."""

    @abstractmethod
    def lift(self, wire: object, depth: int) -> object:
        """Return the value. Raises Fault."""

    def lift_exactly(self, wire: object, depth: int) -> object:
        """Return the value of wire that was stored as this very type: no old shape. Raises Fault.

        Parts of the value may still be of old shapes.
        """
        return self.lift(wire, depth)

    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        """Return what stored unions call this type; see `tags`. It lies within `inside`."""
        return AGAIN if self in inside else self.name

    def argument_tags(self, inside: tuple[Node, ...]) -> list[str]:
        """Return the tags of the arguments of a generic class."""
        if self in inside:
            return []
        return [node.tag((*inside, self)) for node in self.arguments]

    @abstractmethod
    def from_json(self, data: object, depth: int) -> object:
        """Return the value that JSON data stands for. Raises Fault."""

    @abstractmethod
    def to_json(self, value: object) -> object:
        """Return JSON data for a value that `lower` has accepted."""

    @abstractmethod
    def schema(self, made: Schemas) -> Schema:
        """Return what JSON data of this type looks like; named classes go into `made`."""


class Later(Node):
    """Stands for a type inside its own definition, until that is complete."""

    def __init__(self, name: str, types: frozenset[type], wire: frozenset[type]) -> None:
        self.name = name
        # Said ahead, so that a union that holds the unfinished type is written the same way
        # from wherever its definition was entered.
        self.types = types
        self.wire = wire
        self._target: Node | None = None

    @property
    def target(self) -> Node:
        """The node that this one stands for."""
        if self._target is None:
            raise RuntimeError(f"the type {self.name} was used before it was complete")
        return self._target

    def complete(self, target: Node) -> None:
        """Say what this node stands for."""
        self._target = target

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        return self.target.lower(value, depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        return self.target.lift(wire, depth)

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        return self.target.lift_exactly(wire, depth)

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return self.target.tag(inside)

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self.target.from_json(data, depth)

    @override
    def to_json(self, value: object) -> object:
        return self.target.to_json(value)

    @override
    def schema(self, made: Schemas) -> Schema:
        return self.target.schema(made)


def mismatch(declared: str, value: object) -> Fault:
    """Return the fault of a value of another class than the declared one."""
    if type(value) is Secret:
        return SecretFault()
    if is_awaitable(value):
        return never_awaited(value)
    return Fault(f"declared {declared}, got {type_name(type(value))}")


def class_mismatch(declared: type, value: object) -> Fault:
    """Return the same for a declared class, with the modules of two classes of one name."""
    name, given = type_name(declared), type(value)
    if type_name(given) != name:
        return mismatch(name, value)
    here, there = _module_of(declared), _module_of(given)
    if here == there:
        return Fault(
            f"declared {here}.{name}, got another class of that name: it was defined again, by a "
            f"reload or by a function that ran twice. Define the class once, and create its values "
            f"from that class"
        )
    advice = "import the class from one module everywhere"
    if "__main__" in (here, there):
        module = there if here == "__main__" else here
        advice = (
            f"a file that runs as a script is __main__, and is loaded again when it is imported "
            f"as {module}. Move the class to a module that both import"
        )
    return Fault(f"declared {here}.{name}, got {there}.{name}, which is another class: {advice}")


def mismatch_in_union(name: str, classes: Iterable[type], value: object) -> Fault:
    """Return the same for several declared classes."""
    given = type_name(type(value))
    twins = [cls for cls in classes if type_name(cls) == given]
    return class_mismatch(twins[0], value) if twins else mismatch(name, value)


def _module_of(cls: type) -> str:
    module: object = type.__getattribute__(cls, "__module__")
    return module if type(module) is str else "?"


def is_awaitable(value: object) -> bool:
    """Tell whether a value only promises another one, without narrowing its type."""
    return isinstance(value, Awaitable)


def never_awaited(value: object) -> Fault:
    """Return the fault of a coroutine, a future or a call in place of what it would give."""
    return Fault(
        f"a {type_name(type(value))} is not a value: await it, and declare the function that "
        f"returns it as `async def`"
    )
