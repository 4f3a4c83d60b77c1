"""What instances of pydantic classes hold beside their fields, with `extra="allow"`.

Extras are stored beside the fields, as JSON-like data. An extra whose name is a field by the time
it is read is the value of that field: its default would hide what was stored.

Invariants:
  * an extra is read as a field only if it is of the field's type; anything else is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from outlast._codec.classes.records import Member, RecordNode, in_order_of_names, unknown_fields
from outlast._codec.faults import Fault
from outlast._codec.nodes.jsonlike import JSON_LIKE
from outlast._codec.nodes.node import Walk
from outlast._shapes import is_dict

EXTRA = "__extra__"
"""The key of extras in stored data."""


def with_extras(
    wire: dict[str, object], extra: Mapping[str, object], depth: int, walk: Walk
) -> dict[str, object]:
    """Return lowered fields with the extras beside them; in an id they stand among the fields."""
    lowered = JSON_LIKE.lower(dict(extra), depth, walk)
    if not walk.is_for_id:
        return {**wire, EXTRA: lowered}
    for name, item in extra.items():
        wire[name] = JSON_LIKE.lower(item, depth, walk)
    return in_order_of_names(wire)


def extras_as_fields(
    name: str, by_json_name: Mapping[str, Member], wire: dict[object, object], depth: int
) -> dict[object, object]:
    """Return stored data with those extras among its fields that are fields today. Raises Fault."""
    extra = wire.get(EXTRA)
    if not is_dict(extra):
        return dict(wire)
    fields: dict[object, object] = {}
    others: dict[object, object] = {}
    for key, item in extra.items():
        member = by_json_name.get(key) if type(key) is str else None
        # A field that is stored was declared then: an extra of its name lay beside it.
        if member is None or member.name in wire:
            others[key] = item
            continue
        value = JSON_LIKE.lift(item, depth)
        try:
            fields[member.name] = member.node.lower(value, depth, Walk())
        except Fault as fault:
            segments, reason = fault.found[0]
            advice = (
                f"It was stored as an extra field of {name} before the class declared it: declare "
                f"the field with the type of the stored value, or under another name"
            )
            fault.found[0] = (segments, f"{reason}. {advice}")
            fault.under(f".{member.name}")
            raise
    rest: dict[object, object] = {EXTRA: others} if others else {}
    return {**{k: v for k, v in wire.items() if k != EXTRA}, **fields, **rest}


class PydanticDataclassNode(RecordNode):
    """The stored form of a pydantic dataclass, which may have taken extras before."""

    @override
    def values_of(self, wire: object, depth: int) -> dict[str, object]:
        try:
            return super().values_of(wire, depth)
        except Fault:
            if not is_dict(wire) or EXTRA not in wire:
                raise
        wire = extras_as_fields(self.name, self.by_json_name, wire, depth)
        extra = JSON_LIKE.lift(wire.pop(EXTRA, None), depth)
        values = super().values_of(wire, depth)
        if not is_dict(extra):
            return values
        if not self.is_open:
            raise unknown_fields(self.name, self._class, extra, frozenset())
        return values | {f"{name!s}": item for name, item in extra.items()}


class OpenDataclassNode(PydanticDataclassNode):
    """The stored form of one that takes extras: they are attributes of its instances."""

    is_open = True

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> dict[str, object]:
        wire = super().lower(value, depth, walk)
        attributes: Mapping[str, object] = getattr(value, "__dict__", {})
        names = frozenset(member.name for member in self.members)
        extra = {name: item for name, item in attributes.items() if name not in names}
        return with_extras(wire, extra, depth, walk) if extra else wire


def dataclass_kind(cls: type[object]) -> type[PydanticDataclassNode]:
    """Return the kind of node that a pydantic dataclass takes."""
    config: object = getattr(cls, "__pydantic_config__", None)
    is_open = is_dict(config) and config.get("extra") == "allow"
    return OpenDataclassNode if is_open else PydanticDataclassNode
