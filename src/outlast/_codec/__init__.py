"""Values to bytes and back, by declared types.

    adapters    one declared type; what everything else stands on
    signature   the parameters and the result of a function; `digests` of its calls
    failures    exceptions, and `revival` of them
    chain       what stored bytes pass through: compression
    stored      keys, and the envelope of encrypted bodies

Below `adapters`: `build` makes a tree of `nodes` of an annotation (`scalars`, `texts`,
`containers`, `unions`, `records`, `classes`, `models` and their `extras`, `references`,
`jsonlike`).

Invariants:
  * the class of what is read comes from code, never from data: no pickle, no import by name;
  * what is accepted reads back equal and of the same type; the rest is refused with its path.
"""

from __future__ import annotations

from outlast._codec.adapters import Adapter, adapter_for, register_codec, register_reference
from outlast._codec.build import has_name
from outlast._codec.calls.parameters import Bound, resolved_hints
from outlast._codec.calls.signature import (
    ClosureSignature,
    SignatureCodec,
    argument_of,
    check_types,
    stored_json,
)
from outlast._codec.chain import Chain, Codec, Zlib
from outlast._codec.classes.covering import reads_all_of
from outlast._codec.failures import Failure, capture, decode_failure, encode_failure
from outlast._codec.modules import home_of, name_of_class
from outlast._codec.nodes.evolution import Evolution
from outlast._codec.nodes.evolution import add as add_evolution
from outlast._codec.nodes.evolution import between as evolution_between
from outlast._codec.nodes.evolution import leads_to as evolution_leads_to
from outlast._codec.nodes.jsonlike import encode_wire, is_json, shown_json
from outlast._codec.nodes.references import ClassCodec
from outlast._codec.revival import class_of, explained, lost, noted, revive

__all__ = [
    "Adapter",
    "Bound",
    "Chain",
    "ClassCodec",
    "ClosureSignature",
    "Codec",
    "Evolution",
    "Failure",
    "SignatureCodec",
    "Zlib",
    "adapter_for",
    "add_evolution",
    "argument_of",
    "capture",
    "check_types",
    "class_of",
    "decode_failure",
    "encode_failure",
    "encode_wire",
    "evolution_between",
    "evolution_leads_to",
    "explained",
    "has_name",
    "home_of",
    "is_json",
    "lost",
    "name_of_class",
    "noted",
    "reads_all_of",
    "register_codec",
    "register_reference",
    "resolved_hints",
    "revive",
    "shown_json",
    "stored_json",
]
