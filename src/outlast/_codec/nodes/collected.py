"""Nodes of the containers of `collections`: deque, Counter, OrderedDict, defaultdict.

Invariants:
  * what comes back is of the same class, with the same `maxlen`, order and default factory;
  * equal values have one digest: `maxlen` and the factory have no part in equality, nor have
    the zeros of a Counter; the order of an OrderedDict has.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sized
from typing import TypeGuard

from typing_extensions import override

from outlast._codec.faults import Fault, type_name
from outlast._codec.nodes.containers import DictNode, items_from_json, lift_items, lower_items
from outlast._codec.nodes.node import Node, Walk, mismatch
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import AGAIN
from outlast._shapes import as_object, is_class, is_dict, is_list

COLLECTIONS: frozenset[object] = frozenset(
    {collections.deque, collections.Counter, collections.OrderedDict, collections.defaultdict}
)
_ARRAY: frozenset[type] = frozenset({list})


class DequeNode(Node):
    """`deque[T]`: [maxlen, items]."""

    types = frozenset[type]({collections.deque})
    wire = _ARRAY
    json_rank = 5

    def __init__(self, item: Node) -> None:
        self.name = f"deque[{item.name}]"
        self._item = item

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not _is_deque(value):
            raise mismatch(self.name, value)
        items = lower_items(self._item, value, depth, walk)
        return items if walk.is_canonical else [value.maxlen, items]

    @override
    def lift(self, wire: object, depth: int) -> object:
        if not is_list(wire) or len(wire) != 2:
            raise mismatch(self.name, wire)
        maxlen = wire[0]
        if maxlen is not None and (type(maxlen) is not int or maxlen < 0):
            raise mismatch(self.name, wire)
        items = lift_items(self._item, wire[1], depth)
        if maxlen is not None and len(items) > maxlen:
            raise Fault(f"a stored {self.name} has more items than its maxlen")
        return collections.deque(items, maxlen)

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return AGAIN if self in inside else f"deque[{self._item.tag((*inside, self))}]"

    @override
    def from_json(self, data: object, depth: int) -> object:
        if not is_list(data):
            raise mismatch(f"{self.name} (as an array)", data)
        return collections.deque(items_from_json([self._item] * len(data), data, depth))

    @override
    def to_json(self, value: object) -> object:
        return [self._item.to_json(item) for item in value] if _is_deque(value) else None

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "array", "items": self._item.schema(made)}


class SubDictNode(Node):
    """`Counter[K]` and `OrderedDict[K, V]`: as the dict that they are."""

    json_rank = 5

    def __init__(self, cls: type, inner: DictNode) -> None:
        self.name = f"{type_name(cls)}{inner.name.removeprefix('dict')}"
        self.types = frozenset({cls})
        self.wire = inner.wire
        self._class = cls
        self._inner = inner

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not self._class:
            raise mismatch(self.name, value)
        if self._class is collections.OrderedDict:
            wire = self._inner.lower(_plain(value), depth, walk)
            if not walk.is_canonical:
                return wire
            keys = self._inner.lower_keys(_plain(value), depth, walk)
            return [keys, wire]
        kept = {k: n for k, n in _plain(value).items() if n != 0 or not walk.is_canonical}
        return self._inner.lower(kept, depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        return self._made(self._inner.lift(wire, depth))

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        name = type_name(self._class)
        return AGAIN if self in inside else f"{name}{self._inner.tag(inside).removeprefix('dict')}"

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self._made(self._inner.from_json(data, depth))

    @override
    def to_json(self, value: object) -> object:
        return self._inner.to_json(_plain(value))

    def _made(self, plain: object) -> object:
        if not is_dict(plain):
            raise mismatch(self.name, plain)
        make: Callable[[dict[object, object]], object] = self._class
        return make(plain)

    @override
    def schema(self, made: Schemas) -> Schema:
        return self._inner.schema(made)


class DefaultDictNode(Node):
    """`defaultdict[K, V]`, whose factory is `V`, or None: [whether it has one, dict]."""

    types = frozenset[type]({collections.defaultdict})
    wire = _ARRAY
    json_rank = 5

    def __init__(self, inner: DictNode, factory: object) -> None:
        self.name = f"default{inner.name}"
        self._inner = inner
        self._factory = factory if is_class(factory) and factory is not object else None

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not _is_defaultdict(value):
            raise mismatch(self.name, value)
        factory = as_object(value.default_factory)
        if factory is not None and factory is not self._factory:
            advice = "the class of the declared values" if self._factory is None else self._factory
            raise Fault(
                f"the default factory of a {self.name} can be stored only if it is None or "
                f"{advice if type(advice) is str else type_name(self._factory or object)}: use one "
                f"of these, or declare a dict and use setdefault()"
            )
        wire = self._inner.lower(_plain(value), depth, walk)
        return wire if walk.is_canonical else [factory is not None, wire]

    @override
    def lift(self, wire: object, depth: int) -> object:
        if not is_list(wire) or len(wire) != 2 or type(wire[0]) is not bool:
            raise mismatch(self.name, wire)
        return self._made(self._inner.lift(wire[1], depth), has_factory=wire[0])

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return AGAIN if self in inside else f"default{self._inner.tag(inside)}"

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self._made(self._inner.from_json(data, depth), has_factory=True)

    @override
    def to_json(self, value: object) -> object:
        return self._inner.to_json(_plain(value))

    def _made(self, plain: object, *, has_factory: bool) -> object:
        if not is_dict(plain):
            raise mismatch(self.name, plain)
        if has_factory and self._factory is None:
            raise Fault(f"the default factory of the stored {self.name} is no longer known")
        return collections.defaultdict(self._factory if has_factory else None, plain)

    @override
    def schema(self, made: Schemas) -> Schema:
        return self._inner.schema(made)


def _is_deque(value: object) -> TypeGuard[collections.deque[object]]:
    return type(value) is collections.deque


def _is_defaultdict(value: object) -> TypeGuard[collections.defaultdict[object, object]]:
    return type(value) is collections.defaultdict


def _is_any_dict(value: object) -> TypeGuard[dict[object, object]]:
    return isinstance(value, dict) and isinstance(value, Sized)


def _plain(value: object) -> dict[object, object]:
    return dict(value.items()) if _is_any_dict(value) else {}
