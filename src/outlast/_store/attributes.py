"""Attributes of runs: small facts that listings filter by."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from outlast import limits
from outlast.errors import UsageError

TRACEPARENT = "traceparent"
"""The attribute that says which trace a run belongs to, as W3C Trace Context writes it."""


def merged_attributes(old: str, changes: Mapping[str, object]) -> str:
    """Return the JSON of `old` with `changes` made; None removes an attribute.

    Raises:
        UsageError: a name or value that cannot be an attribute, or too many of them.
    """
    if not isinstance(changes, Mapping):
        raise UsageError(f"attributes are a mapping of names to values, not {changes!r}")
    attributes: dict[str, object] = json.loads(old)
    for name, value in changes.items():
        if value is None:
            attributes.pop(name, None)
        else:
            attributes[_checked_name(name)] = _checked_value(name, value)
    if len(attributes) > limits.ATTRIBUTES_MAX:
        raise UsageError(f"a run has at most {limits.ATTRIBUTES_MAX} attributes")
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False)


def inherited_attributes(attributes: str) -> str:
    """Return those attributes of a run that its children have too: the trace."""
    if f'"{TRACEPARENT}"' not in attributes:
        return "{}"
    return json.dumps({TRACEPARENT: json.loads(attributes).get(TRACEPARENT)})


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise UsageError(f"the name of an attribute is text, not {name!r}")
    reserved = ("status", "workflow", "since", "until", "id", "parent")
    if not name or len(name) > limits.NAME_CHARS_MAX or not name.isprintable():
        raise UsageError(f"{name[:50]!r} cannot be the name of an attribute")
    if name in reserved or ":" in name:
        raise UsageError(f"{name!r} cannot be an attribute: queries use it for something else")
    return name


def _checked_value(name: str, value: object) -> str | int | float | bool:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"attribute {name!r} is not valid text: {error}") from error
        if len(value) > limits.ATTRIBUTE_CHARS_MAX:
            raise UsageError(
                f"attribute {name!r} has {len(value):,} characters, the limit is "
                f"{limits.ATTRIBUTE_CHARS_MAX}: attributes are for finding runs, not for data"
            )
        return value
    if isinstance(value, bool | int):
        if abs(int(value)) >= 2**63:
            raise UsageError(f"attribute {name!r} does not fit into 64 bits")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise UsageError(
        f"attribute {name!r} must be text, a number or a truth value, not {type(value).__name__}"
    )
