"""Whether one class reads all that another one stores, so that a conversion would never be called.

The answer is yes only where that is sure: a conversion that may be of use is not refused.
"""

from __future__ import annotations

from outlast._codec.classes.models import ValidatedDataclassNode
from outlast._codec.classes.records import Member, RecordNode, TypedDictNode
from outlast._codec.classes.tuples import NamedTupleNode
from outlast._codec.faults import Fault
from outlast._codec.nodes.choices import EnumNode
from outlast._codec.nodes.evolution import leads_to
from outlast._codec.nodes.node import Node
from outlast._codec.tags import union_tag
from outlast.limits import DEPTH_MAX


def reads_all_of(new: Node, old: Node) -> bool:
    """Tell whether whatever is stored as `old` is read as `new`, with no conversion."""
    if isinstance(new, EnumNode) and isinstance(old, EnumNode):
        return all(_reads(new, wire) for wire in old.stored_members())
    before, after = _fields(old), _fields(new)
    if before is None or after is None:
        return False
    written = {member.name for member, is_written in before if is_written}
    nodes = {member.name: member.node for member, _ in after}
    if not all(member.name in nodes for member, _ in before):
        return False
    is_complete = all(
        member.name in written or _may_be_missing(new, member, is_required=is_required)
        for member, is_required in after
    )
    return is_complete and all(_reads_field(nodes[m.name], m.node) for m, _ in before)


def _fields(node: Node) -> list[tuple[Member, bool]] | None:
    """Return the fields of a class, and of each whether it is always stored."""
    if isinstance(node, ValidatedDataclassNode):
        node = node.stored
    if isinstance(node, RecordNode):
        # What is stored beside the fields of a model may be read by no other class.
        return None if node.is_open else [(m, m.is_init) for m in node.members]
    if isinstance(node, NamedTupleNode):
        return [(member, True) for member in node.members]
    if isinstance(node, TypedDictNode):
        return [(member, member.name in node.required) for member in node.members]
    return None


def _may_be_missing(new: Node, member: Member, *, is_required: bool) -> bool:
    if isinstance(new, TypedDictNode):
        return not is_required
    return member.default is not None or not member.is_init


def _reads_field(new: Node, old: Node) -> bool:
    stored = old.tag()
    if new.tag() in (stored, union_tag([stored, "None"])):
        return True
    if new.user_class is None or old.user_class is None:
        return False
    return leads_to(old.user_class, new.user_class)


def _reads(node: EnumNode, wire: object) -> bool:
    try:
        node.lift_exactly(wire, DEPTH_MAX)
    except Fault:
        return False
    return True
