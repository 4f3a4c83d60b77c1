"""Nodes of list, tuple, set, frozenset and dict with declared items.

Invariants:
  * exactly the declared class is accepted: a tuple where a list is declared would read back
    as a list;
  * sets are written in the order of their items' bytes, dicts in their own order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sized

import msgspec
from typing_extensions import override

from outlast._codec.faults import TOO_DEEP, Fault, key_segment
from outlast._codec.nodes.jsonlike import in_order, json_mapping, pair_of, pairs_to_dict
from outlast._codec.nodes.node import Node, Walk, mismatch
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import AGAIN
from outlast._shapes import (
    is_dict,
    is_frozenset,
    is_list,
    is_set,
    is_tuple,
)

_KEYS_OF_MAPS: frozenset[type] = frozenset({str, int, bytes})
_ARRAY: frozenset[type] = frozenset({list})

_ReadKey = Callable[[object, int], object]


def lower_items(node: Node, items: Collection[object], depth: int, walk: Walk) -> list[object]:
    """Lower each item by one node; a fault gets the item's index."""
    if depth <= 0:
        raise Fault(TOO_DEEP)
    walk.spend(len(items))
    out: list[object] = []
    lower, depth = node.lower, depth - 1
    try:
        for item in items:
            out.append(lower(item, depth, walk))
    except Fault as fault:
        fault.under(f"[{len(out)}]")
        raise
    walk.spend(0)
    return out


def lift_items(node: Node, wire: object, depth: int) -> list[object]:
    """Lift each item of a wire list by one node."""
    if not is_list(wire):
        raise mismatch("an array", wire)
    if depth <= 0:
        raise Fault(TOO_DEEP)
    out: list[object] = []
    lift, depth = node.lift, depth - 1
    try:
        for item in wire:
            out.append(lift(item, depth))
    except Fault as fault:
        fault.under(f"[{len(out)}]")
        raise
    return out


def items_from_json(nodes: Iterable[Node], data: list[object], depth: int) -> list[object]:
    """Read each item of a JSON array by its node, and report every fault at once."""
    if depth <= 0:
        raise Fault(TOO_DEEP)
    out: list[object] = []
    faults: list[Fault] = []
    for index, (node, item) in enumerate(zip(nodes, data, strict=False)):
        try:
            out.append(node.from_json(item, depth - 1))
        except Fault as fault:
            faults.append(fault.under(f"[{index}]"))
    if faults:
        raise Fault.together(faults)
    return out


class ListNode(Node):
    """`list[T]`."""

    types = frozenset({list})
    wire = _ARRAY
    json_rank = 3

    def __init__(self, item: Node) -> None:
        self.name = f"list[{item.name}]"
        self._item = item
        if item.native is not None:
            self.native = _generic(list, item.native)

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not is_list(value):
            raise mismatch(self.name, value)
        return lower_items(self._item, value, depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        return lift_items(self._item, wire, depth)

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        if self in inside:
            return AGAIN
        return f"list[{self._item.tag((*inside, self))}]"

    @override
    def from_json(self, data: object, depth: int) -> object:
        if not is_list(data):
            raise mismatch(self.name, data)
        return items_from_json([self._item] * len(data), data, depth)

    @override
    def to_json(self, value: object) -> object:
        to_json = self._item.to_json
        return [to_json(item) for item in value] if is_list(value) else None

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "array", "items": self._item.schema(made)}


class SetNode(Node):
    """`set[T]` and `frozenset[T]`."""

    wire = _ARRAY
    json_rank = 5

    def __init__(self, item: Node, *, is_frozen: bool) -> None:
        self.name = f"{'frozenset' if is_frozen else 'set'}[{item.name}]"
        self.types = frozenset({frozenset if is_frozen else set})
        self._item = item
        self._is_frozen = is_frozen

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not (is_frozenset(value) if self._is_frozen else is_set(value)):
            raise mismatch(self.name, value)
        if is_frozenset(value) or is_set(value):
            return in_order(lower_items(self._item, value, depth, walk))
        raise mismatch(self.name, value)

    @override
    def lift(self, wire: object, depth: int) -> object:
        items = lift_items(self._item, wire, depth)
        made = self._made(items)
        if isinstance(made, Sized) and len(made) != len(items):
            raise Fault(f"several items of the stored {self.name} are equal: its type has changed")
        return made

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        if self in inside:
            return AGAIN
        kind = "frozenset" if self._is_frozen else "set"
        return f"{kind}[{self._item.tag((*inside, self))}]"

    @override
    def from_json(self, data: object, depth: int) -> object:
        if not is_list(data):
            raise mismatch(f"{self.name} (as an array)", data)
        return self._made(items_from_json([self._item] * len(data), data, depth))

    @override
    def to_json(self, value: object) -> object:
        if is_set(value) or is_frozenset(value):
            return [self._item.to_json(item) for item in value]
        return None

    def _made(self, items: list[object]) -> object:
        try:
            return frozenset(items) if self._is_frozen else set(items)
        except TypeError:
            raise Fault(f"an item of {self.name} is not hashable") from None

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "array", "items": self._item.schema(made), "uniqueItems": True}


class TupleNode(Node):
    """`tuple[T, ...]`."""

    types = frozenset({tuple})
    wire = _ARRAY
    json_rank = 4

    def __init__(self, item: Node) -> None:
        self.name = f"tuple[{item.name}, ...]"
        self._item = item

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not is_tuple(value):
            raise mismatch(self.name, value)
        return lower_items(self._item, value, depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        return tuple(lift_items(self._item, wire, depth))

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        if self in inside:
            return AGAIN
        return f"tuple[{self._item.tag((*inside, self))}, ...]"

    @override
    def from_json(self, data: object, depth: int) -> object:
        if not is_list(data):
            raise mismatch(f"{self.name} (as an array)", data)
        return tuple(items_from_json([self._item] * len(data), data, depth))

    @override
    def to_json(self, value: object) -> object:
        return [self._item.to_json(item) for item in value] if is_tuple(value) else None

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "array", "items": self._item.schema(made)}


class DictNode(Node):
    """`dict[K, V]`. Keys that msgpack maps hold well make a map; others an array of pairs."""

    types = frozenset({dict})
    json_rank = 3

    def __init__(self, key: Node, item: Node) -> None:
        self.name = f"dict[{key.name}, {item.name}]"
        self._key = key
        self._item = item
        self._is_map = bool(key.wire) and key.wire <= _KEYS_OF_MAPS
        self.wire = frozenset({dict if self._is_map else list})
        if key.native is str and item.native is not None:
            self.native = _generic(dict, str, item.native)

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if not is_dict(value):
            raise mismatch(self.name, value)
        if depth <= 0:
            raise Fault(TOO_DEEP)
        walk.spend(2 * len(value))
        pairs: list[tuple[object, object]] = []
        key: object = None
        lower_key, lower_item, depth = self._key.lower, self._item.lower, depth - 1
        try:
            for key, item in value.items():
                pairs.append((lower_key(key, depth, walk), lower_item(item, depth, walk)))
        except Fault as fault:
            fault.under(key_segment(key))
            raise
        if walk.is_canonical:
            return in_order([list(pair) for pair in pairs])
        return dict(pairs) if self._is_map else pairs

    def lower_keys(self, value: dict[object, object], depth: int, walk: Walk) -> list[object]:
        """Return the keys alone, in the dict's own order."""
        return [self._key.lower(key, depth - 1, walk) for key in value]

    @override
    def lift(self, wire: object, depth: int) -> object:
        if depth <= 0:
            raise Fault(TOO_DEEP)
        # A map, whatever this key would give: enums were written by value before.
        if is_dict(wire):
            return pairs_to_dict([self._lift_pair(key, item, depth) for key, item in wire.items()])
        if self._is_map or not is_list(wire):
            raise mismatch(self.name, wire)
        pairs = [pair_of(pair) for pair in wire]
        return pairs_to_dict([self._lift_pair(key, item, depth) for key, item in pairs])

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        if self in inside:
            return AGAIN
        here = (*inside, self)
        return f"dict[{self._key.tag(here)}, {self._item.tag(here)}]"

    @override
    def from_json(self, data: object, depth: int) -> object:
        if depth <= 0:
            raise Fault(TOO_DEEP)
        if is_dict(data):
            pairs = [(key, item) for key, item in data.items()]
            read_key: _ReadKey = self._key_from_text
        elif is_list(data) and all(is_list(pair) and len(pair) == 2 for pair in data):
            pairs = [(key, item) for key, item in map(pair_of, data)]
            read_key = self._key.from_json
        else:
            raise mismatch(f"{self.name} (as an object or an array of pairs)", data)
        out: list[list[object]] = []
        faults: list[Fault] = []
        for key, item in pairs:
            try:
                out.append([read_key(key, depth - 1), self._item.from_json(item, depth - 1)])
            except Fault as fault:
                faults.append(fault.under(key_segment(key)))
        if faults:
            raise Fault.together(faults)
        return pairs_to_dict(out)

    @override
    def to_json(self, value: object) -> object:
        if not is_dict(value):
            return None
        return json_mapping(
            [(self._key.to_json(key), self._item.to_json(item)) for key, item in value.items()]
        )

    def _lift_pair(self, key: object, item: object, depth: int) -> list[object]:
        try:
            return [self._key.lift(key, depth - 1), self._item.lift(item, depth - 1)]
        except Fault as fault:
            fault.under(key_segment(key))
            raise

    def _key_from_text(self, key: object, depth: int) -> object:
        """Read a key of a JSON object, which is always text, also for `dict[int, ...]`."""
        try:
            return self._key.from_json(key, depth)
        except Fault:
            if type(key) is not str:
                raise
            try:
                parsed: object = msgspec.json.decode(key)
            except (msgspec.DecodeError, RecursionError, ValueError):
                parsed = key
            if parsed == key:
                raise
            return self._key.from_json(parsed, depth)

    @override
    def schema(self, made: Schemas) -> Schema:
        item = self._item.schema(made)
        if self._key.types == frozenset({str}):
            return {"type": "object", "additionalProperties": item}
        pair: Schema = {
            "type": "array",
            "prefixItems": [self._key.schema(made), item],
            "minItems": 2,
            "maxItems": 2,
        }
        pairs: Schema = {"type": "array", "items": pair}
        return {"anyOf": [{"type": "object", "additionalProperties": item}, pairs]}


def _generic(origin: type, *args: object) -> object:
    from types import GenericAlias

    return GenericAlias(origin, args)
