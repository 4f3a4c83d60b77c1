"""Recognizing what is nothing but JSON data, level by level and not item by item.

Most of what clients send and what is stored without a declared type is: then its wire form, its
value and its JSON are one and the same, and a walk with a call for each item is saved. Of 200,000
items that is 15 to 30 ms instead of 300.
"""

from __future__ import annotations

import math
from itertools import chain, compress, repeat
from operator import is_
from typing import TypeVar, cast

from outlast.limits import PAYLOAD_BYTES_MAX

T = TypeVar("T")

_SCALARS: frozenset[type] = frozenset({str, int, float, bool, type(None)})
_PLAIN: frozenset[type] = _SCALARS | {list, dict}
_TEXT: frozenset[type] = frozenset({str})
_INT_MIN = -(2**63)
_INT_MAX = 2**64 - 1


def plain_size(value: object, depth: int) -> int | None:
    """Return a lower bound of the bytes of plain JSON data; None for everything else.

    Plain are lists, dicts with text as keys, and scalars that can be stored, nested at most `depth`
    levels; texts are such that UTF-8 can hold. Nothing is looked at beyond the payload limit.
    """
    size = 0
    level: list[object] = [value]
    while True:
        types = list(map(type, level))
        kinds = frozenset(types)
        if not kinds <= _PLAIN or not _are_storable(kinds, level, types):
            return None
        size += len(level)
        if str in kinds:
            texts: list[str] = _of(str, level, types)
            if not _are_text(texts):
                return None
            size += sum(map(len, texts))
        if kinds <= _SCALARS:
            return size
        lists: list[list[object]] = _of(list, level, types) if list in kinds else []
        dicts: list[dict[object, object]] = _of(dict, level, types) if dict in kinds else []
        if depth <= 0 or size + sum(map(len, lists)) + sum(map(len, dicts)) > PAYLOAD_BYTES_MAX:
            return None  # it may hold itself, again and again: a walk that counts finds out
        depth -= 1
        level = list(chain.from_iterable(lists))
        if dicts:
            names = _names_in(dicts)
            if names is None:
                return None
            size += len(names) + sum(map(len, names))
            level += chain.from_iterable(map(dict[object, object].values, dicts))


def _of(kind: type[T], level: list[object], types: list[type]) -> list[T]:
    """Return those of a level that are exactly of this type."""
    return cast("list[T]", list(compress(level, map(is_, types, repeat(kind)))))


def _names_in(dicts: list[dict[object, object]]) -> list[str] | None:
    """Return the keys of dicts; None if one of them is none that JSON can have."""
    keys = list(chain.from_iterable(dicts))
    if not _TEXT.issuperset(map(type, keys)):
        return None
    names = cast("list[str]", keys)
    return names if _are_text(names) else None


def _are_storable(kinds: frozenset[type], level: list[object], types: list[type]) -> bool:
    if int in kinds:
        numbers = _of(int, level, types)
        if min(numbers) < _INT_MIN or max(numbers) > _INT_MAX:
            return False
    return float not in kinds or all(map(math.isfinite, _of(float, level, types)))


def _are_text(texts: list[str]) -> bool:
    if all(map(str.isascii, texts)):
        return True
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
