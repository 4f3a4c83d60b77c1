"""Values as text in which what may differ between two runs is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime, time
from typing import TypeGuard

from outlast._shapes import is_dict

_SHAPELESS = (str, bytes, bytearray, int, float, complex, bool, type(None))


def comparable(value: object, ignore: frozenset[str]) -> str:
    """Return a value as text: dates and times, and the fields named in `ignore`, say nothing."""
    if isinstance(value, date | datetime | time):
        return f"<{_name_of(value)}>"
    if isinstance(value, _SHAPELESS):
        return repr(value)
    if is_dict(value):
        return f"{{{_pairs(value, ignore, quoted=True)}}}"
    if _is_list(value):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return f"{kind}({', '.join(comparable(v, ignore) for v in value)})"
    if _is_set(value):
        return f"{{{', '.join(sorted(comparable(v, ignore) for v in value))}}}"
    fields = _fields_of(value)
    if fields is None:
        return repr(value)
    return f"{_name_of(value)}({_pairs(fields, ignore, quoted=False)})"


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return not hasattr(value, "_fields") and isinstance(value, list | tuple)


def _is_set(value: object) -> TypeGuard[Set[object]]:
    return isinstance(value, set | frozenset)


def _name_of(value: object) -> str:
    return type(value).__name__


def _pairs(values: Mapping[object, object], ignore: frozenset[str], *, quoted: bool) -> str:
    kept = [(k, v) for k, v in values.items() if f"{k}" not in ignore]
    sign = ": " if quoted else "="
    return ", ".join(f"{repr(k) if quoted else k}{sign}{comparable(v, ignore)}" for k, v in kept)


def _fields_of(value: object) -> dict[object, object] | None:
    """Return the fields of a dataclass, Struct, named tuple, pydantic model or attrs class."""
    names: Iterable[str] | None = None
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    for attribute in ("__struct_fields__", "_fields", "__pydantic_fields__"):
        names = getattr(type(value), attribute, None) if names is None else names
    attrs: Iterable[object] = getattr(type(value), "__attrs_attrs__", ())
    if names is None and attrs:
        names = [f"{getattr(one, 'name', '')}" for one in attrs]
    return None if names is None else {name: getattr(value, name) for name in names}
