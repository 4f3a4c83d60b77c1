"""Where two data first differ, for the message of an IdempotencyMismatch.

Invariants:
  * the text is bounded, whatever the data.
"""

from __future__ import annotations

from itertools import zip_longest

import msgspec

from outlast._codec.faults import key_segment, type_name
from outlast._shapes import is_dict, is_list

_SHOWN_CHARS_MAX = 80
_ABSENT = object()


def first_difference(a: object, b: object) -> str:
    """Return the path and both values where two JSON data first differ."""
    found = _find(a, b, "$")
    if found is None:
        return "$: the values look the same, but their types differ"
    path, left, right = found
    return f"{path}: {_shown(left)} is not {_shown(right)}"


def _find(a: object, b: object, path: str) -> tuple[str, object, object] | None:
    if is_dict(a) and is_dict(b):
        for key in [*a, *(key for key in b if key not in a)]:
            found = _find(a.get(key, _ABSENT), b.get(key, _ABSENT), path + key_segment(key))
            if found is not None:
                return found
        return None
    if is_list(a) and is_list(b):
        for index, (left, right) in enumerate(zip_longest(a, b, fillvalue=_ABSENT)):
            found = _find(left, right, f"{path}[{index}]")
            if found is not None:
                return found
        return None
    return None if type(a) is type(b) and a == b else (path, a, b)


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "nothing"
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = type_name(type(value))
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 3] + "..."
