"""Nodes of pydantic models.

A model's state is stored field by field and restored through `__setstate__`, without running
validators again: they need not accept their own results. JSON from outside is validated by
pydantic, whose rules (aliases, lax conversions, bytes as text) are what its users expect.

Invariants:
  * pydantic is never imported: a model can only exist if the user imported it.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeGuard

import msgspec
from typing_extensions import override

from outlast._codec.classes.extras import EXTRA, extras_as_fields, with_extras
from outlast._codec.classes.fields import Build, Scope
from outlast._codec.classes.foreign import ForeignNode, TypeAdapter, type_adapter
from outlast._codec.classes.records import Member, RecordNode, unknown_fields
from outlast._codec.faults import Fault, SecretFault, error_text, key_segment, type_name
from outlast._codec.nodes.jsonlike import JSON_LIKE
from outlast._codec.nodes.node import Node, NoneType, Walk, mismatch
from outlast._codec.schemas import Schema, Schemas
from outlast._shapes import as_object, is_any_tuple, is_class, is_dict, is_list
from outlast.limits import DEPTH_MAX

_SET = "__set__"
_PRIVATE = "__private__"


class _FieldInfo(Protocol):
    annotation: object
    metadata: list[object]
    alias: str | None

    def is_required(self) -> bool: ...
    def get_default(self, *, call_default_factory: bool) -> object: ...


class _PrivateAttribute(Protocol):
    def get_default(self) -> object: ...


class _Model(Protocol):
    __pydantic_fields_set__: set[str]
    __pydantic_extra__: dict[str, object] | None
    __pydantic_private__: dict[str, object] | None

    def __setstate__(self, state: Mapping[str, object], /) -> None: ...
    def model_dump(self, *, mode: str, by_alias: bool) -> object: ...


def is_model(cls: type[object]) -> bool:
    """Tell whether this is a pydantic model's class."""
    module = sys.modules.get("pydantic.main")
    base: object = getattr(module, "BaseModel", None)
    return isinstance(base, type) and issubclass(cls, base)


def is_pydantic_dataclass(cls: type[object]) -> bool:
    """Tell whether pydantic made this dataclass."""
    return "__pydantic_validator__" in cls.__dict__ and not is_model(cls)


def generic_of(cls: type[object]) -> tuple[type[object], tuple[object, ...]] | None:
    """Return the generic model and the arguments that a model was made of."""
    made: object = getattr(cls, "__pydantic_generic_metadata__", None)
    if not is_dict(made):
        return None
    origin, arguments = made.get("origin"), made.get("args")
    return (origin, arguments) if is_class(origin) and is_any_tuple(arguments) else None


class ModelNode(RecordNode):
    """A pydantic model."""

    is_open = True
    also_stored = frozenset({_SET, EXTRA, _PRIVATE})

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> dict[str, object]:
        wire = super().lower(value, depth, walk)
        model = _as_model(value)
        if not walk.is_canonical and model.__pydantic_fields_set__ != set(wire):
            wire[_SET] = sorted(model.__pydantic_fields_set__)
        extra, private = model.__pydantic_extra__, model.__pydantic_private__
        if walk.is_for_id:
            private = self._without_defaults(private or {})
        if private:
            wire[_PRIVATE] = JSON_LIKE.lower(dict(private), depth, walk)
        return with_extras(wire, extra, depth, walk) if extra else wire

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        if not is_dict(wire):
            raise mismatch(self.name, wire)
        if EXTRA in wire:
            wire = extras_as_fields(self.name, self.by_json_name, wire, depth)
        model = _as_model(super().lift_exactly(wire, depth))
        given: object = wire.get(_SET, [name for name in wire if type(name) is str])
        extra = JSON_LIKE.lift(wire.get(EXTRA), depth)
        private = self._private(JSON_LIKE.lift(wire.get(_PRIVATE), depth))
        model.__setstate__(
            {
                "__dict__": model.__dict__,
                "__pydantic_fields_set__": _names(given),
                "__pydantic_extra__": extra if is_dict(extra) else self._empty_extra(),
                "__pydantic_private__": private,
            }
        )
        return model

    def _private(self, stored: object) -> dict[str, object] | None:
        """Return the private attributes: those that are stored, and defaults of newer ones."""
        declared: Mapping[str, _PrivateAttribute] = getattr(
            self._class, "__private_attributes__", {}
        )
        if not is_dict(stored):
            stored = {}
        if not stored.keys() <= declared.keys():
            raise unknown_fields(self.name, self._class, stored, declared.keys())
        values = {f"{name!s}": value for name, value in stored.items()}
        for name, attribute in declared.items():
            default = attribute.get_default()
            if (
                name not in values
                and type_name(type(as_object(default))) != "PydanticUndefinedType"
            ):
                values[name] = default
        return values if declared else None

    def _without_defaults(self, private: Mapping[str, object]) -> dict[str, object]:
        declared: Mapping[str, _PrivateAttribute] = getattr(
            self._class, "__private_attributes__", {}
        )
        kept: dict[str, object] = {}
        for name, value in private.items():
            attribute = declared.get(name)
            default = None if attribute is None else attribute.get_default
            lowered = JSON_LIKE.lower(value, DEPTH_MAX, Walk(is_canonical=True))
            if not Member(name, name, JSON_LIKE, default).is_default(lowered):
                kept[name] = value
        return kept

    def _empty_extra(self) -> dict[object, object] | None:
        config: object = getattr(self._class, "model_config", None)
        return {} if is_dict(config) and config.get("extra") == "allow" else None

    @override
    def from_json(self, data: object, depth: int) -> object:
        return validated(self, type_adapter(self._class), data, depth)

    @override
    def to_json(self, value: object) -> object:
        try:
            return _as_model(value).model_dump(mode="json", by_alias=True)
        except Exception:  # noqa: BLE001 - serialisers are the user's; ours cannot fail
            return super().to_json(value)


class ValidatedDataclassNode(Node):
    """A pydantic dataclass: stored as a dataclass, read from outside by pydantic."""

    def __init__(self, cls: type[object], stored: RecordNode) -> None:
        self.name = stored.name
        self.types = stored.types
        self.wire = stored.wire
        self._class = self.user_class = cls
        self.stored = stored

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        return self.stored.lower(value, depth, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        return self.stored.lift(wire, depth)

    @override
    def lift_exactly(self, wire: object, depth: int) -> object:
        return self.stored.lift_exactly(wire, depth)

    @override
    def tag(self, inside: tuple[Node, ...] = ()) -> str:
        return self.stored.tag(inside)

    @override
    def from_json(self, data: object, depth: int) -> object:
        return validated(self.stored, type_adapter(self._class), data, depth)

    @override
    def to_json(self, value: object) -> object:
        try:
            return type_adapter(self._class).dump_python(value, mode="json")
        except Exception:  # noqa: BLE001 - serialisers are the user's; ours cannot fail
            return self.stored.to_json(value)

    @override
    def schema(self, made: Schemas) -> Schema:
        return self.stored.schema(made)


def model_node(cls: type[object], build: Build) -> ModelNode:
    """Return the node of a pydantic model."""
    name = "model_fields"
    fields: Mapping[str, _FieldInfo] = getattr(cls, name)
    members: list[Member] = []
    for field_name, info in fields.items():
        try:
            node = build(info.annotation, Scope({}), f".{field_name}")
        except SecretFault:
            raise
        except Fault:
            # Which arm of a union pydantic reads depends on the order of the arms.
            if _holds_union(info.annotation):
                raise
            node = _foreign(info, field_name)
        default = None if info.is_required() else _default(info)
        members.append(Member(field_name, info.alias or field_name, node, default))

    def restore(values: dict[str, object]) -> object:
        model = as_object(object.__new__(cls))
        _as_model(model).__setstate__(
            {
                "__dict__": values,
                "__pydantic_fields_set__": set(values),
                "__pydantic_extra__": None,
                "__pydantic_private__": None,
            }
        )
        return model

    return ModelNode(cls, tuple(members), restore=restore, create=restore)


def _holds_union(annotation: object) -> bool:
    arms = typing.get_args(annotation)
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return (is_union and len(arms) - (NoneType in arms) > 1) or any(map(_holds_union, arms))


def _foreign(info: _FieldInfo, name: str) -> ForeignNode:
    annotation = info.annotation
    for metadata in info.metadata:
        annotation = typing.Annotated[annotation, metadata]
    try:
        return ForeignNode(annotation)
    except Fault as fault:
        fault.under(f".{name}")
        raise


def _default(info: _FieldInfo) -> Callable[[], object]:
    return lambda: info.get_default(call_default_factory=True)


def validated(node: Node, adapter: TypeAdapter, data: object, depth: int) -> object:
    """Read JSON data by pydantic; every fault of its report keeps its path."""
    try:
        value = adapter.validate_json(msgspec.json.encode(data))
    except Exception as error:  # noqa: BLE001 - validators are the user's
        raise _fault_of(error) from None
    # What pydantic accepts may still be nothing that can be stored: a naive datetime, NaN.
    node.lower(value, min(depth, DEPTH_MAX), Walk())
    return value


def _fault_of(error: Exception) -> Fault:
    if type_name(type(error)) != "ValidationError":
        return Fault(error_text(error))
    name = "errors"
    report: Callable[[], Iterable[Mapping[str, object]]] | None = getattr(error, name, None)
    if report is None:
        return Fault(error_text(error))
    faults: list[Fault] = []
    for entry in report():
        fault = Fault(f"{entry.get('msg')}")
        location = entry.get("loc")
        for part in reversed(location) if is_any_tuple(location) else ():
            fault.under(key_segment(part))
        faults.append(fault)
    return Fault.together(faults) if faults else Fault(error_text(error))


def _names(given: object) -> set[str]:
    if not is_list(given):
        raise Fault("malformed model in stored data")
    return {f"{name!s}" for name in given if f"{name!s}" not in {_SET, EXTRA, _PRIVATE}}


def _as_model(value: object) -> _Model:
    if not _is_instance(value):
        raise Fault("not a pydantic model")
    return value


def _is_instance(value: object) -> TypeGuard[_Model]:
    # pydantic's own class cannot be named without importing it.
    return is_model(type(value))
