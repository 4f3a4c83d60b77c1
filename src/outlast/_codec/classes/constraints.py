"""Constraints of `Annotated[...]`: of msgspec, annotated_types and pydantic.

A constraint holds wherever a value enters: when it is stored, and when it comes as JSON. What
is stored already was checked then: a constraint that is made stricter leaves it readable.

Invariants:
  * a constraint is enforced or refused when the type is declared; none is ignored;
  * neither library is imported: constraints can only exist if the user imported it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Annotated, TypeGuard

import msgspec
from typing_extensions import override

from outlast._codec.classes.foreign import TypeAdapter, is_pydantics, type_adapter
from outlast._codec.faults import Fault, error_text, type_name
from outlast._codec.nodes.node import Node, Walk
from outlast._codec.schemas import Schema, Schemas
from outlast._shapes import as_object

Check = Callable[[object], bool]

_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")
_SCHEMA_NAMES = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
}
# What says nothing about values.
_SILENT = frozenset({"DocInfo", "Unit"})


class ConstrainedNode(Node):
    """A type whose values must fulfil constraints."""

    def __init__(self, inner: Node, rules: list[_Rule]) -> None:
        self.name = inner.name
        self.types = inner.types
        self.wire = inner.wire
        self.is_self_describing = inner.is_self_describing
        self.user_class = inner.user_class
        self.json_rank = inner.json_rank
        self._inner = inner
        self._rules = rules

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        wire = self._inner.lower(value, depth, walk)
        self._check(value)
        return wire

    @override
    def lift(self, wire: object, depth: int) -> object:
        return self._inner.lift(wire, depth)

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        return self._inner.lift_exactly(wire, depth)

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return self._inner.tag(inside)

    @override
    def from_json(self, data: object, depth: int) -> object:
        value = self._inner.from_json(data, depth)
        self._check(value)
        return value

    @override
    def to_json(self, value: object) -> object:
        return self._inner.to_json(value)

    @override
    def schema(self, made: Schemas) -> Schema:
        schema = self._inner.schema(made)
        for rule in self._rules:
            if rule.name in _SCHEMA_NAMES and schema.get("type") in ("integer", "number"):
                schema = {**schema, _SCHEMA_NAMES[rule.name]: rule.limit}
        return schema

    def _check(self, value: object) -> None:
        for rule in self._rules:
            rule.check(value)


class _Rule:
    """One constraint."""

    __slots__ = ("_holds", "limit", "name")

    def __init__(self, name: str, limit: object, holds: Check) -> None:
        self.name = name
        self.limit = limit
        self._holds = holds

    def check(self, value: object) -> None:
        """Raise Fault unless the value fulfils it."""
        try:
            is_fulfilled = self._holds(value)
        except Fault:
            raise
        except Exception as error:
            raise Fault(f"{self.name} cannot be checked: {error_text(error)}") from error
        if not is_fulfilled:
            raise Fault(f"violates the declared constraint {self.name} {self.limit!r}"[:300])


def constrained(node: Node, annotation: object, metadata: tuple[object, ...]) -> Node:
    """Return the node with the constraints among the metadata. Raises Fault for unknown ones."""
    flat = list(_flattened(metadata))
    rules = [rule for item in flat for rule in _rules(item)]
    of_pydantic = tuple(item for item in flat if is_pydantics(item))
    if of_pydantic:
        rules.append(_pydantic_rule(annotation, of_pydantic))
    return ConstrainedNode(node, rules) if rules else node


def has_constraint(metadata: tuple[object, ...]) -> bool:
    """Tell whether metadata may say something about values."""
    return any(
        isinstance(item, msgspec.Meta) or _library(item) in ("annotated_types", "pydantic")
        for item in metadata
    )


def _library(item: object) -> str:
    for cls in type(item).__mro__:
        library = cls.__module__.partition(".")[0]
        if library in ("annotated_types", "pydantic", "pydantic_core"):
            return library.removesuffix("_core")
    return ""


def _flattened(metadata: Iterable[object]) -> Iterator[object]:
    for item in metadata:
        inner = _inner(item)
        if inner is not None:
            yield from _flattened(inner)
        else:
            yield item


def _inner(item: object) -> list[object] | None:
    """Return what a pydantic Field, or a group such as Interval or Len, consists of."""
    name = type_name(type(item))
    if name == "FieldInfo" and _library(item) == "pydantic":
        attribute = "metadata"
        found: list[object] = getattr(item, attribute)
        return found
    if _library(item) == "annotated_types" and _is_group(item):
        return [part for part in item if part is not item]
    return None


def _is_group(item: object) -> TypeGuard[Iterable[object]]:
    return isinstance(item, Iterable)


def _rules(item: object) -> Iterator[_Rule]:
    is_meta = isinstance(item, msgspec.Meta)
    library = _library(item)
    if not is_meta and library != "annotated_types":
        return
    name = type_name(type(item))
    if name == "Predicate":
        attribute = "func"
        yield _Rule("predicate", item, _truth_of(getattr(item, attribute)))
        return
    count = 0
    for limit_name in _LIMITS:
        limit = as_object(getattr(item, limit_name, None))
        if limit is None and not (limit_name == "tz" and hasattr(item, "tz") and not is_meta):
            continue
        count += 1
        yield _Rule(limit_name, limit, _check_of(limit_name, limit))
    if count == 0 and not is_meta and name not in _SILENT:
        raise Fault(f"the constraint {item!r} is not supported and would not be enforced"[:300])


def _truth_of(function: Callable[[object], object]) -> Check:
    return lambda value: bool(function(value))


def _check_of(name: str, limit: object) -> Check:
    if name in ("min_length", "max_length"):
        return _length_check(name, limit)
    if name == "pattern":
        pattern = re.compile(f"{limit!s}")
        return lambda value: isinstance(value, str) and pattern.search(value) is not None
    if name == "tz":
        return _zone_check(limit)
    method = "__mod__" if name == "multiple_of" else f"__{name}__"

    def holds(value: object) -> bool:
        operation: Callable[[object], object] | None = getattr(value, method, None)
        found = NotImplemented if operation is None else operation(limit)
        if found is NotImplemented:
            converted = _reversed(method, value, limit)
            if converted is NotImplemented:
                raise Fault(f"a {type_name(type(value))} cannot be compared with {limit!r}"[:200])
            found = converted
        return found == 0 if name == "multiple_of" else bool(found)

    return holds


_MIRRORED = {"__gt__": "__lt__", "__ge__": "__le__", "__lt__": "__gt__", "__le__": "__ge__"}


def _reversed(method: str, value: object, limit: object) -> object:
    mirrored = _MIRRORED.get(method, "__rmod__")
    operation: Callable[[object], object] | None = getattr(limit, mirrored, None)
    return NotImplemented if operation is None else operation(value)


def _length_check(name: str, limit: object) -> Check:
    if type(limit) is not int:
        raise Fault(f"{name} must be a whole number, not {limit!r}")

    def holds(value: object) -> bool:
        if not isinstance(value, Sized):
            raise Fault(f"a {type_name(type(value))} has no length")
        return len(value) >= limit if name == "min_length" else len(value) <= limit

    return holds


def _zone_check(limit: object) -> Check:
    """True or `...`: with a zone. False or None: without. Else: of that zone."""

    def holds(value: object) -> bool:
        zone = as_object(getattr(value, "tzinfo", None))
        if limit is True or limit is ...:
            return zone is not None
        if limit is False or limit is None:
            return zone is None
        return f"{zone}" == f"{limit}"

    return holds


def _pydantic_rule(annotation: object, metadata: tuple[object, ...]) -> _Rule:
    adapter: TypeAdapter = type_adapter(Annotated[(annotation, *metadata)])

    def holds(value: object) -> bool:
        try:
            again = adapter.validate_python(value)
        except Exception as error:
            raise Fault(f"pydantic rejects the value: {error_text(error)}") from error
        if type(again) is not type(value) or again != value:
            raise Fault(
                "pydantic's validators would change the value: convert it before you pass it"
            )
        return True

    return _Rule("of pydantic", metadata, holds)
