"""How the fields of a class are found, and how its instances are restored.

Invariants:
  * the class of an instance comes from the declared type, never from data;
  * a type variable stands for what the declaration gave it, in the class that declares the field.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec
import typing_extensions

from outlast._codec.classes.records import Member, RecordNode, TypedDictNode
from outlast._codec.classes.tuples import NamedTupleNode
from outlast._codec.faults import Fault, type_name
from outlast._codec.nodes.jsonlike import JSON_LIKE
from outlast._codec.nodes.node import Node
from outlast._shapes import as_object, is_any_tuple, is_class, is_dict, is_frozenset


class Scope:
    """What type variables stand for; each with the scope that its own meaning is read in."""

    __slots__ = ("_meanings",)

    def __init__(self, meanings: Mapping[object, tuple[object, Scope]]) -> None:
        self._meanings = meanings

    def meaning(self, variable: object) -> tuple[object, Scope] | None:
        """Return what a type variable stands for, if the declaration said."""
        return self._meanings.get(variable) if isinstance(variable, TypeVar) else None


class Build(Protocol):
    """Gives the node of an annotation found at a path segment, in a scope."""

    def __call__(self, annotation: object, scope: Scope, segment: str) -> Node:
        """Return the node. Raises Fault with the segment in its path."""
        ...


class Hints:
    """The resolved annotations of one class, each with the scope of the class that wrote it."""

    def __init__(self, cls: type[object], arguments: tuple[object, ...], scope: Scope) -> None:
        try:
            self._hints = typing.get_type_hints(
                cls, localns={cls.__name__: cls}, include_extras=True
            )
        except Exception as error:  # noqa: BLE001 - annotations are code of the user's
            raise Fault(f"the annotations of {type_name(cls)} do not resolve: {error}") from None
        self._class = cls
        self._scopes = _scopes(cls, arguments, scope)

    def __contains__(self, name: str) -> bool:
        return name in self._hints

    def names(self) -> list[str]:
        """Return the annotated names, parents' first."""
        return list(self._hints)

    def of(self, name: str) -> tuple[object, Scope]:
        """Return the annotation of a field, and the scope to read it in."""
        annotation: object = self._hints.get(name, inspect.Parameter.empty)
        for owner in self._class.__mro__:
            if name in inspect.get_annotations(owner):
                return annotation, self._scopes.get(owner, Scope({}))
        return annotation, self._scopes.get(self._class, Scope({}))


_GENERIC: object = typing.Generic


def _scopes(cls: type[object], arguments: tuple[object, ...], scope: Scope) -> dict[type, Scope]:
    found: dict[type, Scope] = {}

    def visit(owner: type, given: tuple[object, ...], outer: Scope) -> None:
        parameters = type_parameters(owner)
        own = Scope({p: (a, outer) for p, a in zip(parameters, given, strict=False)})
        found.setdefault(owner, own)
        for base in owner.__dict__.get("__orig_bases__", owner.__bases__):
            origin = as_object(typing.get_origin(base) or base)
            if is_class(origin) and origin not in (_GENERIC, object):
                visit(origin, typing.get_args(base), own)

    visit(cls, arguments, scope)
    return found


def type_parameters(owner: object) -> tuple[object, ...]:
    """Return the type variables of a generic class or alias."""
    parameters: object = getattr(owner, "__parameters__", None) or getattr(
        owner, "__type_params__", ()
    )
    return parameters if is_any_tuple(parameters) else ()


# ---- dataclass -------------------------------------------------------------------------------


def dataclass_node(
    cls: type[object], hints: Hints, build: Build, kind: type[RecordNode] = RecordNode
) -> RecordNode:
    """Return the node of a dataclass."""
    members: list[Member] = []
    for field in _fields(cls):
        annotation, scope = hints.of(field.name)
        members.append(
            Member(
                name=field.name,
                json_name=field.name,
                node=build(annotation, scope, f".{field.name}"),
                default=_default_of(field.default, field.default_factory, dataclasses.MISSING),
                is_init=field.init,
            )
        )
    is_native = _is_plain_dataclass(cls) and all(
        member.is_init and member.node.native is not None for member in members
    )
    restore, create = _dataclass_makers(cls, tuple(members))
    return kind(
        cls,
        tuple(members),
        restore=restore,
        create=create,
        native=cls if is_native and not type_parameters(cls) else None,
    )


def _fields(cls: type[object]) -> tuple[dataclasses.Field[object], ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def _default_of(default: object, factory: object, missing: object) -> Callable[[], object] | None:
    if default is not missing:
        return lambda: default
    if factory is not missing and callable(factory):
        made: Callable[[], object] = factory
        return made
    return None


def _is_plain_dataclass(cls: type[object]) -> bool:
    """Tell whether msgspec, which skips `__init__`, would make the same instance."""
    params: object = getattr(cls, "__dataclass_params__", None)
    init_code: object = getattr(getattr(cls, "__init__", None), "__code__", None)
    return (
        getattr(params, "init", False) is True
        # dataclass compiles the __init__ it generates from no file.
        and getattr(init_code, "co_filename", "") == "<string>"
        and not hasattr(cls, "__post_init__")
        and not hasattr(cls, "__pydantic_validator__")
        and _inherits(cls, "__new__")
        and (getattr(params, "frozen", False) is True or _inherits(cls, "__setattr__"))
        and not any(name.startswith("_") for name in getattr(cls, "__dataclass_fields__", ()))
    )


def _inherits(cls: type[object], method: str) -> bool:
    """Tell whether a method is object's own."""
    own: object = getattr(cls, method, None)
    return own is getattr(object, method)


def _dataclass_makers(
    cls: type[object], members: tuple[Member, ...]
) -> tuple[Callable[[dict[str, object]], object], Callable[[dict[str, object]], object]]:
    """Return (restore, create).

    `restore` runs the constructor where it takes just the fields, since `__post_init__` may
    set attributes that are no fields, and then sets every stored field once more, since it may
    also have changed some. A constructor with other parameters is not run.
    """
    init_names = frozenset(member.name for member in members if member.is_init)
    takes_fields = _takes_just(cls, init_names)
    is_generated = _is_plain_dataclass(cls) and len(init_names) == len(members)

    def restore(values: dict[str, object]) -> object:
        if is_generated:
            return cls(**values)
        if takes_fields:
            instance = as_object(cls(**{k: v for k, v in values.items() if k in init_names}))
        else:
            instance = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(instance, name, value)
        return instance

    def create(values: dict[str, object]) -> object:
        if not takes_fields:
            for member in members:
                if member.name not in values and member.default is not None:
                    values[member.name] = member.default()
            return restore(values)
        instance: object = cls(**{k: v for k, v in values.items() if k in init_names})
        for name, value in values.items():
            if name not in init_names:
                object.__setattr__(instance, name, value)
        return instance

    return restore, create


def _takes_just(cls: type[object], names: frozenset[str]) -> bool:
    if hasattr(cls, "__pydantic_validator__"):
        # Its constructor validates, which may change values; the stored ones were valid.
        return False
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return False
    by_keyword = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return all(
        name in parameters and parameters[name].kind in by_keyword for name in names
    ) and all(
        name in names
        or parameter.default is not inspect.Parameter.empty
        or parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
        for name, parameter in parameters.items()
    )


# ---- attrs -----------------------------------------------------------------------------------


class _Attribute(Protocol):
    name: str
    alias: str | None
    default: object
    init: bool
    validator: object
    converter: object


def is_attrs(cls: type[object]) -> bool:
    """Tell whether this is a class of attrs, which is never imported here."""
    return "__attrs_attrs__" in cls.__dict__


def attrs_node(cls: type[object], hints: Hints, build: Build) -> RecordNode:
    """Return the node of an attrs class.

    What is stored is restored attribute by attribute, without converters and validators: they
    need not accept their own results. JSON from outside goes through the constructor.
    """
    attribute_name = "__attrs_attrs__"
    attributes: tuple[_Attribute, ...] = getattr(cls, attribute_name)
    members: list[Member] = []
    aliases: dict[str, str] = {}
    for attribute in attributes:
        annotation, scope = hints.of(attribute.name)
        node = build(annotation, scope, f".{attribute.name}")
        default = _attrs_default(attribute.default)
        members.append(Member(attribute.name, attribute.name, node, default, attribute.init))
        # Older versions of attrs have no alias: they take underscores off.
        aliases[attribute.name] = attribute.alias or attribute.name.lstrip("_")
    names = frozenset(member.name for member in members if member.is_init)
    runs_init = not any(a.validator is not None or a.converter is not None for a in attributes)

    def restore(values: dict[str, object]) -> object:
        if runs_init:
            instance = as_object(cls(**{aliases[k]: v for k, v in values.items() if k in names}))
        else:
            instance = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(instance, name, value)
        return instance

    def create(values: dict[str, object]) -> object:
        return cls(**{aliases[name]: value for name, value in values.items() if name in names})

    return RecordNode(cls, tuple(members), restore=restore, create=create)


def _attrs_default(default: object) -> Callable[[], object] | None:
    if type(default).__name__ == "Factory":
        if getattr(default, "takes_self", False):
            return None
        attribute = "factory"
        made: Callable[[], object] = getattr(default, attribute)
        return made
    return None if f"{default!r}" == "NOTHING" else lambda: default


# ---- msgspec.Struct --------------------------------------------------------------------------


def struct_node(cls: type[msgspec.Struct], hints: Hints, build: Build) -> RecordNode:
    """Return the node of a msgspec Struct. Its tag and `array_like` do not matter here."""
    members: list[Member] = []
    for info in msgspec.structs.fields(cls):
        annotation, scope = hints.of(info.name)
        members.append(
            Member(
                name=info.name,
                json_name=info.encode_name,
                node=build(annotation, scope, f".{info.name}"),
                default=_default_of(info.default, info.default_factory, msgspec.NODEFAULT),
            )
        )
    config = cls.__struct_config__
    is_native = (
        config.tag is None
        and not config.array_like
        and not config.forbid_unknown_fields
        and not hasattr(cls, "__post_init__")
        and not type_parameters(cls)
        and all(m.node.native is not None and m.name == m.json_name for m in members)
    )

    def restore(values: dict[str, object]) -> object:
        instance = cls(**values)
        for name, value in values.items():
            msgspec.structs.force_setattr(instance, name, value)
        return instance

    def create(values: dict[str, object]) -> object:
        return cls(**values)

    return RecordNode(
        cls,
        tuple(members),
        restore=restore,
        create=create,
        native=cls if is_native else None,
    )


# ---- TypedDict and NamedTuple ----------------------------------------------------------------


def typed_dict_node(cls: type[object], hints: Hints, build: Build) -> TypedDictNode:
    """Return the node of a TypedDict."""
    members: list[Member] = []
    required: set[str] = set()
    stated: object = getattr(cls, "__required_keys__", None)
    for name in hints.names():
        annotation, scope = hints.of(name)
        # With postponed annotations the class itself has not seen its qualifiers.
        is_required = is_frozenset(stated) and name in stated
        while (origin := typing.get_origin(annotation)) is not None and origin in QUALIFIERS:
            is_required = origin in _REQUIRED or (is_required and origin not in _NOT_REQUIRED)
            (annotation,) = typing.get_args(annotation)
        if is_required:
            required.add(name)
        node = build(annotation, scope, f".{name}")
        members.append(Member(name, name, node, default=None, is_init=is_required))
    return TypedDictNode(cls, tuple(members), frozenset(required))


def _both(name: str) -> tuple[object, ...]:
    # typing's and typing_extensions' are different objects on older Pythons.
    return tuple(getattr(module, name, None) for module in (typing, typing_extensions))


_REQUIRED = _both("Required")
_NOT_REQUIRED = _both("NotRequired")
QUALIFIERS = (*_REQUIRED, *_NOT_REQUIRED, *_both("ReadOnly"))
"""What stands around the type of a TypedDict's key."""


def named_tuple_node(cls: type[object], hints: Hints, build: Build) -> NamedTupleNode:
    """Return the node of a NamedTuple; one without annotations holds JSON-like data."""
    fields: object = getattr(cls, "_fields", ())
    labels = tuple(f"{name!s}" for name in fields) if is_any_tuple(fields) else ()
    stated: object = getattr(cls, "_field_defaults", None)
    defaults: dict[object, object] = stated if is_dict(stated) else {}
    members: list[Member] = []
    for name in labels:
        node: Node = JSON_LIKE
        if name in hints:
            annotation, scope = hints.of(name)
            node = build(annotation, scope, f".{name}")
        default = _default_of(defaults.get(name, _NONE), _NONE, _NONE)
        members.append(Member(name, name, node, default))

    attribute = "_make"
    make: Callable[[list[object]], object] = getattr(cls, attribute)
    return NamedTupleNode(cls, tuple(members), make)


_NONE = object()
