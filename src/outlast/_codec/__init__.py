"""Values to bytes and back, by declared types.

    adapters    one declared type; what everything else stands on
    signature   the parameters and the result of a function
    failures    exceptions
    chain       what stored bytes pass through: compression, later encryption

Below `adapters`: `build` makes a tree of `nodes` of an annotation (`scalars`, `texts`,
`containers`, `unions`, `records`, `classes`, `models`, `references`, `jsonlike`).

Invariants:
  * the class of what is read comes from code, never from data: no pickle, no import by name;
  * what is accepted reads back equal and of the same type; the rest is refused with its path.
"""

from __future__ import annotations

from outlast._codec.adapters import Adapter, adapter_for, register_reference
from outlast._codec.chain import Chain, Codec, Zlib
from outlast._codec.failures import Failure, capture, decode_failure, encode_failure, revive
from outlast._codec.jsonlike import is_json
from outlast._codec.modules import home_of, name_of_class
from outlast._codec.parameters import Bound
from outlast._codec.signature import SignatureCodec, check_types, stored_json

__all__ = [
    "Adapter",
    "Bound",
    "Chain",
    "Codec",
    "Failure",
    "SignatureCodec",
    "Zlib",
    "adapter_for",
    "capture",
    "check_types",
    "decode_failure",
    "encode_failure",
    "home_of",
    "is_json",
    "name_of_class",
    "register_reference",
    "revive",
    "stored_json",
]
