"""Payloads that come from outside under a name: encoded by type, or as the JSON that was sent.

Who sends by a declared name encodes by its type. The command line and HTTP may not know the type;
they leave JSON, and whoever receives it, knowing the type, reads it then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from outlast import limits
from outlast._codec import Adapter, is_json
from outlast.errors import DecodingError, EncodingError, PayloadTooLarge

_TYPED = b"t"
_JSON = b"j"


@dataclass(frozen=True, slots=True)
class ReadyPayload:
    """A payload in place of its value: a large one is encoded beside the loop."""

    data: bytes


def typed_payload(adapter: Adapter, value: object) -> bytes:
    """Return `value` as a payload of a declared type."""
    return _TYPED + adapter.encode(value)


def json_payload(data: object) -> bytes:
    """Return JSON data as a payload whose type is known only to its receiver.

    Raises:
        PayloadTooLarge
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    if len(text) > limits.PAYLOAD_BYTES_MAX:
        raise PayloadTooLarge("the value", len(text), limits.PAYLOAD_BYTES_MAX)
    return _JSON + text


def is_json_payload(payload: bytes) -> bool:
    """Say whether a payload is JSON whose sender did not know the type."""
    return payload[:1] == _JSON


def same_json(payload: bytes, other: bytes) -> bool:
    """Say whether two JSON payloads have the same value, in whatever order their members are."""
    if not (is_json_payload(payload) and is_json_payload(other)):
        return False
    one, two = (json.dumps(json.loads(data[1:]), sort_keys=True) for data in (payload, other))
    return one == two


def read_payload(adapter: Adapter, payload: bytes) -> object:
    """Return the value of a payload.

    Raises:
        DecodingError: it does not fit the type.
    """
    if payload[:1] == _JSON:
        return adapter.from_json(json.loads(payload[1:]))
    return adapter.decode(payload[1:])


def fitting_payload(adapter: Adapter, value: object) -> bytes:
    """Return a payload of a declared type for a value of it, or for the JSON data of one.

    What is JSON data by itself is read as such and nothing else: `true` is no int then, though
    `True` is one to Python.

    Raises:
        EncodingError, DecodingError: it is neither.
    """
    try:
        payload = json_payload(value)
    except (TypeError, ValueError):
        return typed_payload(adapter, value)
    try:
        return typed_payload(adapter, read_payload(adapter, payload))
    except DecodingError as as_json:
        if is_json(value):
            raise
        try:
            return typed_payload(adapter, value)
        except EncodingError:
            # Neither JSON that fits nor a value of the type: the first says where the fault is.
            raise as_json from None
