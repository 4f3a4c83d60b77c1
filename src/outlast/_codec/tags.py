"""Tags: how stored data names the arm of a union that a value belongs to.

A tagged value is written as [Ext(6, tag), value]. No other stored form has an Ext of this code,
so a tagged value cannot be mistaken for a list, nor for the [index, value] of older files.

A tag is text made of names alone: `shop.Charge`, `list[shop.Charge | shop.Refund]`.

Invariants:
  * the tag of a type does not depend on the order of its arms, nor on which modules are loaded;
  * a recursive alias has the same tag from wherever it is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import msgpack

from outlast._codec.modules import name_of_class
from outlast._shapes import is_list

TAG = 6
"""The Ext code of a tag; `jsonlike` has the codes 1 to 5."""

AGAIN = "^"
"""Stands for a type inside itself."""


def tagged(tag: msgpack.Ext, wire: object) -> list[object]:
    """Return the wire form of a value under a tag that `tag_of` made."""
    return [tag, wire]


def tag_of(text: str) -> msgpack.Ext:
    """Return the wire form of a tag."""
    return msgpack.Ext(TAG, text.encode())


def read_tagged(wire: object) -> tuple[str, object] | None:
    """Return the tag and the value of a tagged wire form, or None if it is not tagged."""
    if not is_list(wire) or len(wire) != 2:
        return None
    tag = wire[0]
    if type(tag) is not msgpack.Ext or tag.code != TAG:
        return None
    return bytes(tag.data).decode("utf-8", "replace"), wire[1]


def class_tag(cls: type, arguments: Sequence[str] = ()) -> str:
    """Return the tag of a class: its module and qualified name, and what fills its variables."""
    name = ".".join(name_of_class(cls))
    return f"{name}[{', '.join(arguments)}]" if arguments else name


def union_tag(arms: Sequence[str]) -> str:
    """Return the tag of a union inside another type: its arms in a fixed order."""
    return " | ".join(sorted(frozenset(arms)))


def covers(wider: str, stored: str, renames: Callable[[str, str], bool]) -> bool:
    """Tell whether a type takes what was stored under another tag.

    That is so when they are equal but for unions inside of them that have gained arms, and classes
    inside of them that `renames` says have become others: `list[A | B | C]` covers `list[A | B]`.
    """
    if wider == stored:
        return True
    arms, (given, *others) = _parsed(wider), _parsed(stored)
    if others:
        return False  # only within another type is a union stored by a tag of its own
    return any(arm.base == given.base and _takes_arguments(arm, given, renames) for arm in arms)


@dataclass(frozen=True, slots=True)
class _Shape:
    base: str
    arguments: tuple[tuple[_Shape, ...], ...]


def _takes_arguments(arm: _Shape, given: _Shape, renames: Callable[[str, str], bool]) -> bool:
    return len(arm.arguments) == len(given.arguments) and all(
        any(_takes(one, other, renames) for one in wider)
        for wider, stored in zip(arm.arguments, given.arguments, strict=True)
        for other in stored
    )


def _takes(arm: _Shape, given: _Shape, renames: Callable[[str, str], bool]) -> bool:
    is_same = arm.base == given.base or renames(given.base, arm.base)
    return is_same and _takes_arguments(arm, given, renames)


def _parsed(text: str) -> tuple[_Shape, ...]:
    return tuple(_shape(part) for part in _split(text, " | "))


def _shape(text: str) -> _Shape:
    base, bracket, rest = text.partition("[")
    if not bracket:
        return _Shape(base, ())
    return _Shape(base, tuple(_parsed(part) for part in _split(rest.removesuffix("]"), ", ")))


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that is not inside brackets."""
    parts: list[str] = []
    depth = 0
    for part in text.split(separator):
        if depth > 0:
            parts[-1] += separator + part
        else:
            parts.append(part)
        depth += part.count("[") - part.count("]")
    return parts
