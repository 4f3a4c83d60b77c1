"""The arguments of a call on their way to bytes, and the digests that stand for them.

Invariants:
  * equal calls have one digest, in every process;
  * a digest for an id outlives the changes of a function and of its classes that need no
    conversion. Two calls that differ may share it, when a default has changed: whoever uses it
    compares the calls.
"""

from __future__ import annotations

from collections.abc import Mapping

from outlast._codec.adapters import Adapter, digest_bytes
from outlast._codec.calls.parameters import Bound, Parameters
from outlast._codec.faults import TOO_DEEP, Fault
from outlast._codec.nodes.jsonlike import encode_wire, pair_of, pairs_to_dict
from outlast._codec.nodes.node import Walk
from outlast._shapes import is_list
from outlast.errors import EncodingError, PayloadTooLarge
from outlast.limits import DEPTH_MAX, PAYLOAD_BYTES_MAX


def lowered(
    adapters: Mapping[str, Adapter], values: Mapping[str, object], walk: Walk
) -> dict[str, object]:
    """Return the wire forms of arguments by name.

    Raises:
        EncodingError: an argument cannot be stored; the path begins with its name.
    """
    wire: dict[str, object] = {}
    name = ""
    try:
        for name, value in values.items():
            walk.spend(len(name) + 2)
            wire[name] = adapters[name].node.lower(value, DEPTH_MAX, walk)
    except Fault as fault:
        raise fault.under(f".{name}").encoding_error() from None
    except RecursionError:
        raise EncodingError(f"$.{name}", TOO_DEEP) from None
    return wire


def flat_form(adapters: Mapping[str, Adapter], values: Mapping[str, object]) -> bytes | None:
    """Return the stored form of arguments that are their own wire forms; None: others are there.

    It is their canonical form as well.
    """
    for name, value in values.items():
        if type(value) not in adapters[name].flat:
            return None
    try:
        data = encode_wire(values)
    except (OverflowError, UnicodeEncodeError):
        return None  # whoever lowers them says what is wrong
    return data if len(data) <= PAYLOAD_BYTES_MAX else None


def digest_of(wire: Mapping[str, object]) -> bytes:
    """Return the digest of the canonical wire forms of arguments."""
    return digest_bytes(encode_wire(sorted(wire.items(), key=_name_of)))


def digest_in_ids(adapters: Mapping[str, Adapter], parameters: Parameters, bound: Bound) -> bytes:
    """Return the digest of a call without what equals a default.

    Raises:
        EncodingError: an argument cannot be stored.
    """
    values = parameters.values_of(bound)
    extra = values.pop(parameters.extra or "", None)
    wire = lowered(adapters, values, Walk(is_for_id=True))
    whole = lowered(adapters, values, Walk(is_canonical=True))
    for name, default in parameters.defaults.items():
        if name in wire and _is_default(adapters, name, default, whole[name]):
            del wire[name]
    if extra is not None:
        wire |= _extra_in_ids(adapters, parameters, extra)
    return digest_of(wire)


def _is_default(adapters: Mapping[str, Adapter], name: str, default: object, wire: object) -> bool:
    try:
        known = lowered(adapters, {name: default}, Walk(is_canonical=True))
    except (EncodingError, PayloadTooLarge):
        return False
    return encode_wire(known[name]) == encode_wire(wire)


def _extra_in_ids(
    adapters: Mapping[str, Adapter], parameters: Parameters, extra: object
) -> dict[str, object]:
    """Return what `**kwargs` took, each as a parameter unless there is one of that name."""
    own = parameters.extra or ""
    wire = lowered(adapters, {own: extra}, Walk(is_for_id=True))
    pairs = wire[own]
    named = pairs_to_dict([pair_of(pair) for pair in pairs] if is_list(pairs) else [])
    if not named.keys().isdisjoint(parameters.by_name):
        return wire
    return {f"{name!s}": item for name, item in named.items()}


def _name_of(item: tuple[str, object]) -> str:
    return item[0]
