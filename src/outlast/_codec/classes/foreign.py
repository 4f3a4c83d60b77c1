"""Nodes of types that only pydantic understands: it writes them as JSON data, and reads them.

Such a type is a class in a model, as `AnyUrl`, or a whole type whose declaration uses pydantic's
metadata (a discriminator, a field, a serializer) and has a part that no node of ours stands for.

Invariants:
  * pydantic is never imported: its metadata can only exist if the user imported it;
  * a value that does not read back the same, in each of its parts, is refused when it is stored.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Callable
from typing import Protocol, TypeVar

from typing_extensions import override

from outlast._codec.faults import TOO_DEEP, Fault, error_text, key_segment, type_name
from outlast._codec.nodes.jsonlike import JSON_LIKE
from outlast._codec.nodes.node import SCALARS, Node, Walk, class_mismatch
from outlast._codec.schemas import Schema, Schemas
from outlast._codec.tags import class_tag
from outlast._shapes import is_any_tuple, is_class, is_dict, is_list
from outlast.limits import DEPTH_MAX


class TypeAdapter(Protocol):
    """What is used of pydantic's class of this name."""

    @property
    def pydantic_complete(self) -> bool:
        """Whether every name in the type is resolved."""
        ...

    def validate_json(self, data: bytes, /) -> object:
        """Read JSON."""
        ...

    def validate_python(self, data: object, /) -> object:
        """Read a value."""
        ...

    def dump_python(self, value: object, /, *, mode: str, warnings: str = "warn") -> object:
        """Write a value."""
        ...


def type_adapter(annotation: object) -> TypeAdapter:
    """Return pydantic's adapter of an annotation. Raises Fault where pydantic refuses it."""
    name = "TypeAdapter"
    make: Callable[[object], TypeAdapter] = getattr(sys.modules["pydantic"], name)
    try:
        adapter = make(annotation)
    except Exception as error:  # noqa: BLE001 - pydantic runs hooks of user classes here
        raise Fault(f"pydantic rejects the type: {error_text(error)}") from None
    if not adapter.pydantic_complete:
        raise Fault("pydantic cannot resolve a name in the type: use the class itself")
    return adapter


def is_pydantics(item: object) -> bool:
    """Tell whether an item of `Annotated[...]` is metadata of pydantic."""
    return any(
        cls.__module__.partition(".")[0] in ("pydantic", "pydantic_core")
        for cls in type(item).__mro__
    )


def is_declared_by_pydantic(annotation: object) -> bool:
    """Tell whether metadata of pydantic is part of an annotation, or of a class's own fields.

    Not where type variables are: pydantic would take anything for them.
    """
    if not is_class(annotation):
        return _mentions_pydantic(annotation) and not _has_variables(annotation)
    try:
        hints = typing.get_type_hints(annotation, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are code of the user's
        return False
    return any(map(_mentions_pydantic, hints.values())) and not any(
        map(_has_variables, hints.values())
    )


def _mentions_pydantic(annotation: object) -> bool:
    return any(
        typing.get_origin(part) is typing.Annotated
        and any(map(is_pydantics, typing.get_args(part)[1:]))
        for part in _parts(annotation)
    )


def _has_variables(annotation: object) -> bool:
    return any(isinstance(part, TypeVar) for part in _parts(annotation))


def _parts(annotation: object) -> list[object]:
    """Return an annotation with all that it is made of; aliases are looked into once."""
    found, aliases = [annotation], list[object]()
    for part in found:
        found.extend(typing.get_args(part))
        value: object = None if is_class(part) else getattr(part, "__value__", None)
        if value is not None and part not in aliases:
            aliases.append(part)
            found.append(value)
    return found


class ForeignNode(Node):
    """A type that only pydantic understands."""

    def __init__(self, annotation: object) -> None:
        self.name = "a type of pydantic's"
        self._class = annotation if is_class(annotation) else None
        if self._class is not None:
            self.name = type_name(self._class)
        self._adapter = type_adapter(annotation)

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if self._class is not None and not isinstance(value, self._class):
            raise class_mismatch(self._class, value)
        try:
            data = self._adapter.dump_python(value, mode="json", warnings="error")
            again = self._adapter.validate_python(data)
            differs = difference(value, again, depth)
        except Fault:
            raise
        except Exception as error:  # noqa: BLE001 - pydantic runs hooks of user classes here
            raise Fault(f"pydantic cannot serialize it: {error_text(error)}") from None
        if differs is not None:
            raise differs
        return JSON_LIKE.lower(data, depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        try:
            return self._adapter.validate_python(JSON_LIKE.lift(wire, depth))
        except Fault:
            raise
        except Exception as error:  # noqa: BLE001 - pydantic runs hooks of user classes here
            raise Fault(f"pydantic rejects the stored value: {error_text(error)}") from None

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return self.name if self._class is None else class_tag(self._class)

    @override
    def from_json(self, data: object, depth: int) -> object:
        try:
            value = self._adapter.validate_python(data)
        except Exception as error:  # noqa: BLE001 - pydantic runs hooks of user classes here
            raise Fault(f"pydantic rejects the value: {error_text(error)}") from None
        self.lower(value, depth, Walk())  # what pydantic accepts may still not read back
        return value

    @override
    def to_json(self, value: object) -> object:
        return self._adapter.dump_python(value, mode="json")

    @override
    def schema(self, made: Schemas) -> Schema:
        return {}


def difference(value: object, other: object, depth: int = DEPTH_MAX) -> Fault | None:
    """Return the first part of a value that was not read back the same, or None.

    Parts must be equal and of the same types, though 1 == True. But an int may become a float, as
    with every declared float, and an object one of a subclass that has the same fields.

    Raises:
        Fault: they are nested too deeply.
    """
    kind: type[object] = type(value)
    if kind is int and type(other) is float and value == other:
        return None
    parts = None if kind in SCALARS else _parts_of(value)
    is_narrowed = dataclasses.is_dataclass(kind) and isinstance(other, kind)
    if kind is not type(other) and not is_narrowed:
        found = type_name(type(other))
        return Fault(f"a {type_name(kind)} does not decode to the same value, but to a {found}")
    if parts is None:
        return None if value == other else Fault(_DIFFERS.format(type_name(kind)))
    if depth <= 0:
        raise Fault(TOO_DEEP)
    theirs = _parts_of(other) or {}
    if not is_narrowed and parts.keys() != theirs.keys():
        return Fault(_DIFFERS.format(type_name(kind)))
    for key, (segment, part) in parts.items():
        inner = difference(part, theirs.get(key, (segment, _ABSENT))[1], depth - 1)
        if inner is not None:
            return inner.under(segment)
    return None


_ABSENT = object()
_DIFFERS = "a {} does not decode to the same value"


def _parts_of(value: object) -> dict[object, tuple[str, object]] | None:
    """Return the parts of a value that equality sees, with their paths; None if it has none."""
    if is_dict(value):
        return {(type(key), key): (key_segment(key), item) for key, item in value.items()}
    if is_list(value) or is_any_tuple(value):
        return {index: (f"[{index}]", item) for index, item in enumerate(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.compare]
        return {name: (f".{name}", getattr(value, name, None)) for name in names}
    return None
