"""Narrowing of `object` to builtin containers and awaitables, in the one place that may assert it.

A type checker cannot know what a list holds after `type(x) is list`; these guards say
"anything", which is `object`, so that nothing downstream is untyped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TypeGuard


def is_list(value: object) -> TypeGuard[list[object]]:
    """Tell whether this is exactly a list."""
    return type(value) is list


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Tell whether this is exactly a tuple."""
    return type(value) is tuple


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    """Tell whether this is exactly a dict."""
    return type(value) is dict


def is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    """Tell whether this is a mapping of any class."""
    return isinstance(value, Mapping)


def is_set(value: object) -> TypeGuard[set[object]]:
    """Tell whether this is exactly a set."""
    return type(value) is set


def is_frozenset(value: object) -> TypeGuard[frozenset[object]]:
    """Tell whether this is exactly a frozenset."""
    return type(value) is frozenset


def is_any_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Tell whether this is a tuple, or of a class derived from it."""
    return isinstance(value, tuple)


def as_object(value: object) -> object:
    """Return the value as nothing but an object: a narrowing that went too far is undone."""
    return value


def is_class(value: object) -> TypeGuard[type[object]]:
    """Tell whether this is a class and not an annotation such as `list[int]`."""
    return isinstance(value, type)


def is_subclass(cls: type, parent: type) -> bool:
    """Tell whether a class derives from another, without narrowing its type."""
    return issubclass(cls, parent)


def is_group(exc: BaseException) -> bool:
    """Tell whether an exception is a group, without narrowing its type."""
    return isinstance(exc, BaseExceptionGroup)


def is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    """Tell whether this can be awaited."""
    return isinstance(value, Awaitable)
