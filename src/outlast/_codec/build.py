"""From an annotation to its node.

Invariants:
  * whatever is not listed here is refused, with its path, when the definition is registered;
  * the node of an annotation depends on the annotation alone, so that what one process wrote
    another one reads: not on the order of a union's arms, which `typing` may swap.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import ForwardRef, Literal, NewType, TypeVar

import msgspec
import typing_extensions

from outlast._codec.classes.constraints import constrained, has_constraint
from outlast._codec.classes.extras import dataclass_kind
from outlast._codec.classes.fields import (
    QUALIFIERS,
    Hints,
    Scope,
    attrs_node,
    dataclass_node,
    is_attrs,
    named_tuple_node,
    struct_node,
    type_parameters,
    typed_dict_node,
)
from outlast._codec.classes.foreign import ForeignNode, is_declared_by_pydantic
from outlast._codec.classes.models import (
    ValidatedDataclassNode,
    generic_of,
    is_model,
    is_pydantic_dataclass,
    model_node,
)
from outlast._codec.classes.records import RecordNode
from outlast._codec.classes.tuples import RowNode
from outlast._codec.faults import Fault, SecretFault, type_name
from outlast._codec.modules import names_of_module
from outlast._codec.nodes.choices import EnumNode, LiteralNode
from outlast._codec.nodes.collected import COLLECTIONS, DefaultDictNode, DequeNode, SubDictNode
from outlast._codec.nodes.containers import DictNode, ListNode, SetNode, TupleNode
from outlast._codec.nodes.jsonlike import JSON_LIKE, JsonLikeNode
from outlast._codec.nodes.node import Later, Node, NoneType
from outlast._codec.nodes.references import reference_node
from outlast._codec.nodes.scalars import BoolNode, BytesNode, FloatNode, IntNode, NoneNode, StrNode
from outlast._codec.nodes.texts import PATHS, path_node, text_node_of
from outlast._codec.nodes.unions import UnionNode
from outlast._shapes import as_object, is_class, is_subclass
from outlast.errors import RegistrationError
from outlast.secret import Secret

_SCALARS: dict[object, Node] = {
    str: StrNode(),
    int: IntNode(),
    float: FloatNode(),
    bool: BoolNode(),
    bytes: BytesNode(),
    NoneType: NoneNode(),
}

_ANYTHING: tuple[object, ...] = (inspect.Parameter.empty, object, typing.Any, typing_extensions.Any)

_LITERALS: tuple[object, ...] = (Literal, typing_extensions.Literal)

_UNIONS: tuple[object, ...] = (typing.Union, types.UnionType)

_WRAPPERS: tuple[object, ...] = (*QUALIFIERS, typing.Final)

_ALIASES: tuple[type, ...] = tuple(
    {
        kind
        for module in (typing, typing_extensions)
        if isinstance(kind := getattr(module, "TypeAliasType", None), type)
    }
)

# What an abstract type may hold at run time, written as a union of exactly these.
_ABSTRACT: dict[object, tuple[type, ...]] = {
    collections.abc.Sequence: (list, tuple),
    collections.abc.MutableSequence: (list,),
    collections.abc.Mapping: (dict,),
    collections.abc.MutableMapping: (dict,),
    collections.abc.Set: (set, frozenset),
    collections.abc.MutableSet: (set,),
    collections.abc.Iterable: (list, tuple, set, frozenset),
    collections.abc.Collection: (list, tuple, set, frozenset),
    collections.abc.Reversible: (list, tuple),
}

BUILT_IN: frozenset[object] = frozenset(
    {*_SCALARS, *_ABSTRACT, object, list, tuple, set, frozenset, dict}
)
"""Classes that cannot be given a codec: those that every value is made of."""

_MAP: frozenset[type] = frozenset({dict})
_LIST: frozenset[type] = frozenset({list})


def build_node(annotation: object, names: Mapping[str, object] | None = None) -> Node:
    """Return the node of an annotation; `names` resolves those left in a recursive alias.

    Raises:
        RegistrationError: a part of it cannot be stored; the message says which.
    """
    try:
        builder = _Builder(names or {})
        node = builder.node(annotation, Scope({}), "")
        builder.check_unions()
        return node
    except Fault as fault:
        found = fault.decoding_error()
        raise RegistrationError(
            f"the declared type cannot be stored, at {found.path}: {found.reason}"
        ) from None
    except RecursionError:
        raise RegistrationError("the declared type is nested infinitely") from None


def has_name(annotation: object) -> bool:
    """Tell whether names are left in an annotation: what it means depends on where it stands."""
    return isinstance(annotation, (str, ForwardRef)) or (
        typing.get_origin(annotation) not in _LITERALS
        and any(has_name(argument) for argument in typing.get_args(annotation))
    )


def ordered_key(annotation: object, scope: Scope | None = None) -> Hashable:
    """Return a key that is equal only for annotations with the same node, while they exist."""
    if scope is not None and (meaning := scope.meaning(annotation)) is not None:
        return ordered_key(*meaning)
    origin: object = typing.get_origin(annotation)
    if origin is None:
        try:
            hash(annotation)
        except TypeError:
            return ("unhashable", id(annotation))
        return _hashable(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return ("annotated", ordered_key(arguments[0], scope), _metadata_key(arguments[1:]))
    if origin in _LITERALS:
        return ("literal", *(_literal_key(value) for value in arguments))
    return (_hashable(origin), *(ordered_key(argument, scope) for argument in arguments))


def _literal_key(value: object) -> Hashable:
    # Literal[1] and Literal[True] differ, though 1 == True.
    return (type(value), f"{value!r}")


def _hashable(origin: object) -> Hashable:
    hashable: Hashable = origin
    return hashable


def _metadata_key(metadata: tuple[object, ...]) -> Hashable:
    """Return a key of constraints: equal only for the same ones, though 1 == True."""
    if not has_constraint(metadata):
        return ()
    return tuple((type(item), f"{item!r}", id(item)) for item in metadata)


class _Builder:
    """One build: knows the classes under construction, so that a type may contain itself."""

    def __init__(self, names: Mapping[str, object]) -> None:
        self._names = names
        self._open: dict[Hashable, Later] = {}
        self._done: dict[Hashable, Node] = {}
        self._unions: list[UnionNode] = []
        self._foreign = 0  # parts so far that are left to pydantic as a whole
        self._with_foreign: set[Hashable] = set()  # what has such parts, of `_done`
        self._in_model = False  # pydantic may understand classes there that we do not

    def check_unions(self) -> None:
        """Refuse unions whose arms cannot be told apart. Raises Fault."""
        for union in self._unions:
            union.check()

    def node(self, annotation: object, scope: Scope, segment: str) -> Node:
        """Return the node of an annotation; a fault gets the segment."""
        try:
            return self._node(annotation, scope)
        except Fault as fault:
            if segment:
                fault.under(segment)
            raise

    def _node(self, annotation: object, scope: Scope) -> Node:
        if any(annotation is anything for anything in _ANYTHING):
            return JSON_LIKE
        if annotation is None:
            return _SCALARS[NoneType]
        if isinstance(annotation, TypeVar):
            return self._variable(annotation, scope)
        if isinstance(annotation, NewType):
            supertype: object = annotation.__supertype__
            return self._node(supertype, scope)
        if isinstance(annotation, (str, ForwardRef)):
            return self._named(annotation, scope)
        if type(annotation) in _ALIASES:
            return self._alias(annotation, (), scope)
        origin: object = typing.get_origin(annotation)
        if origin is not None:
            return self._parametrised(annotation, origin, typing.get_args(annotation), scope)
        if isinstance(annotation, dataclasses.InitVar):
            raise Fault("an InitVar is not part of the value")
        if is_class(annotation):
            return self._class(annotation, (), scope)
        raise Fault(f"{_shown(annotation)} is not a type that can be stored")

    def _parametrised(
        self, annotation: object, origin: object, arguments: tuple[object, ...], scope: Scope
    ) -> Node:
        if origin is typing.Annotated:
            make = partial(self._annotated, arguments, scope)
            return self._or_foreign(annotation, make, is_one=True)
        if origin in _LITERALS:
            return _literal(arguments)
        if origin in _UNIONS:
            return self._union(arguments, scope)
        if origin in _WRAPPERS:
            return self._node(arguments[0], scope)
        if type(origin) in _ALIASES:
            return self._alias(origin, arguments, scope)
        if is_class(origin):
            return self._class(origin, arguments, scope)
        raise Fault(f"{_shown(annotation)} is not a type that can be stored")

    def _annotated(self, arguments: tuple[object, ...], scope: Scope) -> Node:
        node = self._node(arguments[0], scope)
        metadata = arguments[1:]
        # pydantic checks the fields of its models, by validators that may change what they get.
        if self._in_model or not has_constraint(metadata):
            return node
        return constrained(node, arguments[0], metadata)

    def _variable(self, variable: TypeVar, scope: Scope) -> Node:
        meaning = scope.meaning(variable)
        if meaning is not None:
            return self._node(*meaning)
        constraints: tuple[object, ...] = variable.__constraints__
        if constraints:
            return self._union(constraints, scope)
        # Before Python 3.13 only typing_extensions gives defaults.
        default: object = getattr(variable, "__default__", None)
        if default is not None and default is not typing_extensions.NoDefault:
            return self._node(default, scope)
        bound: object = variable.__bound__
        return JSON_LIKE if bound is None else self._node(bound, scope)

    def _union(self, arguments: tuple[object, ...], scope: Scope) -> Node:
        nodes = [self.node(argument, scope, "") for argument in arguments]
        if all(isinstance(node, (JsonLikeNode, NoneNode)) for node in nodes):
            return JSON_LIKE
        members = tuple(nodes)
        if len(members) == 1:
            return members[0]
        nil_or_one = len(members) == 2 and any(isinstance(node, NoneNode) for node in members)
        union = UnionNode(members)
        self._unions.append(union)
        if nil_or_one:
            natives = [node.native for node in members if not isinstance(node, NoneNode)]
            if natives and natives[0] is not None:
                union.native = typing.Optional[natives[0]]  # noqa: UP045 - a run-time value
        return union

    def _named(self, reference: str | ForwardRef, scope: Scope) -> Node:
        """Look up a name that Python left alone, as in `Json = dict[str, "Json"] | str`."""
        name = reference if isinstance(reference, str) else reference.__forward_arg__
        if name not in self._names:
            raise Fault(f"the annotation {name[:100]!a} is a name that was not resolved")
        later = Later(name, frozenset(), frozenset())
        key = ("name", name, id(self._names))
        return self._recursive(key, later, lambda: self._node(self._names[name], scope))

    def _alias(self, alias: object, arguments: tuple[object, ...], scope: Scope) -> Node:
        name = f"{getattr(alias, '__name__', 'alias')}"
        parameters = type_parameters(alias)
        inner = Scope({p: (a, scope) for p, a in zip(parameters, arguments, strict=False)})
        key = ("alias", id(alias), *(ordered_key(argument, scope) for argument in arguments))

        def make() -> Node:
            attribute = "__value__"
            value: object = getattr(alias, attribute)
            return self._node(value, inner)

        return self._recursive(key, Later(name, frozenset(), frozenset()), make)

    def _class(self, cls: type[object], arguments: tuple[object, ...], scope: Scope) -> Node:
        scalar = _SCALARS.get(cls)
        if scalar is not None:
            return scalar
        container = self._container(cls, arguments, scope)
        if container is not None:
            return container
        reference = reference_node(cls)
        if reference is not None:
            return reference
        if cls is Secret:
            raise SecretFault
        if issubclass(cls, Enum):
            if not cls.__members__:
                raise Fault(f"the enum {type_name(cls)} has no members")
            return EnumNode(cls)
        text = text_node_of(cls)
        if text is not None:
            return text
        if cls in PATHS and issubclass(cls, PurePath):
            return path_node(cls)
        key = (cls, *(ordered_key(argument, scope) for argument in arguments))
        is_tuple = is_subclass(cls, tuple)
        kinds = frozenset({dict}) if typing_extensions.is_typeddict(cls) else frozenset({cls})
        if self._in_model and not has_fields(cls):
            return ForeignNode(cls)
        later = Later(type_name(cls), kinds, _LIST if is_tuple else _MAP)
        record = partial(self._record, cls, arguments, scope)
        make = partial(self._recursive, key, later, record)
        return make() if is_model(cls) else self._or_foreign(cls, make, is_one=False)

    def _or_foreign(self, annotation: object, make: Callable[[], Node], *, is_one: bool) -> Node:
        """Return a node; pydantic's own where a part has none, or an arm of a union is its."""
        done, unions, foreign = len(self._done), len(self._unions), self._foreign
        try:
            node = make()
        except SecretFault:
            raise
        except Fault:
            if self._in_model or not is_declared_by_pydantic(annotation):
                raise
        else:
            if self._foreign == foreign or not (is_one and is_declared_by_pydantic(annotation)):
                return node
        # Nodes made on the way may refer to the type that could not be completed.
        for key in list(self._done)[done:]:
            del self._done[key]
        del self._unions[unions:]
        self._foreign = foreign + 1
        return ForeignNode(annotation)

    def _record(self, cls: type[object], arguments: tuple[object, ...], scope: Scope) -> Node:
        outer, self._names = (self._names, self._in_model), names_of_module(cls)
        self._in_model = False
        try:
            node = self._fields(cls, arguments, scope)
        finally:
            self._names, self._in_model = outer
        if arguments and not is_model(cls):
            node.arguments = tuple(self._argument(argument, scope) for argument in arguments)
        return node

    def _argument(self, argument: object, scope: Scope) -> Node:
        """Return the node of what stands for a type variable; it need not be stored itself."""
        try:
            return self._node(argument, scope)
        except Fault:
            return JSON_LIKE

    def _fields(self, cls: type[object], arguments: tuple[object, ...], scope: Scope) -> Node:
        if is_model(cls):
            return self._model(cls, scope)
        if typing_extensions.is_typeddict(cls):
            return typed_dict_node(cls, Hints(cls, arguments, scope), self.node)
        if is_subclass(cls, tuple) and hasattr(cls, "_fields"):
            return named_tuple_node(cls, Hints(cls, arguments, scope), self.node)
        if issubclass(cls, msgspec.Struct):
            return struct_node(cls, Hints(cls, arguments, scope), self.node)
        if dataclasses.is_dataclass(cls):
            is_validated = is_pydantic_dataclass(cls)
            kind = dataclass_kind(cls) if is_validated else RecordNode
            stored = dataclass_node(cls, Hints(cls, arguments, scope), self.node, kind)
            return ValidatedDataclassNode(cls, stored) if is_validated else stored
        if is_attrs(cls):
            return attrs_node(cls, Hints(cls, arguments, scope), self.node)
        raise Fault(
            f"{type_name(cls)} is not a type that can be stored; make it a dataclass, a msgspec "
            f"Struct, a pydantic model or an attrs class, or register a codec before it is used: "
            f"outlast.codec({type_name(cls)}, encode=..., decode=...)"
        )

    def _model(self, cls: type[object], scope: Scope) -> Node:
        outer, self._in_model = self._in_model, True
        try:
            node = model_node(cls, self.node)
        finally:
            self._in_model = outer
        generic = generic_of(cls)
        if generic is not None:
            # pydantic makes a class of `Box[A | B]` whose name has its arguments in their order.
            node.tag_class, arguments = generic
            node.arguments = tuple(self._argument(argument, scope) for argument in arguments)
        return node

    def _container(
        self, cls: type[object], arguments: tuple[object, ...], scope: Scope
    ) -> Node | None:
        if cls in _ABSTRACT:
            of_tuple = (*arguments, Ellipsis) if arguments else ()
            kinds = [
                self._container(kind, of_tuple if kind is tuple else arguments, scope)
                for kind in _ABSTRACT[cls]
            ]
            members = tuple(node for node in kinds if node is not None)
            return members[0] if len(members) == 1 else UnionNode(members)
        if cls in COLLECTIONS:
            return self._collection(cls, arguments, scope)
        if cls is dict:
            key, item = arguments if len(arguments) == 2 else (object, object)
            return DictNode(self.node(key, scope, "[key]"), self.node(item, scope, "[value]"))
        if cls is tuple:
            return self._tuple(arguments, scope)
        if cls not in (list, set, frozenset):
            return None
        item_node = self.node(arguments[0] if arguments else object, scope, "[]")
        if cls is list:
            return ListNode(item_node)
        return SetNode(item_node, is_frozen=cls is frozenset)

    def _collection(self, cls: type, arguments: tuple[object, ...], scope: Scope) -> Node:
        if cls is collections.deque:
            return DequeNode(self.node(arguments[0] if arguments else object, scope, "[]"))
        key, item = arguments if len(arguments) == 2 else (object, object)
        if cls is collections.Counter:
            key, item = arguments[0] if arguments else object, as_object(int)
        inner = DictNode(self.node(key, scope, "[key]"), self.node(item, scope, "[value]"))
        if cls is collections.defaultdict:
            return DefaultDictNode(inner, typing.get_origin(item) or item)
        return SubDictNode(cls, inner)

    def _tuple(self, arguments: tuple[object, ...], scope: Scope) -> Node:
        if not arguments:
            return TupleNode(JSON_LIKE)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return TupleNode(self.node(arguments[0], scope, "[]"))
        return RowNode(
            tuple(
                self.node(argument, scope, f"[{index}]")
                for index, argument in enumerate(arguments)
                if argument != ()
            )
        )

    def _recursive(self, key: Hashable, later: Later, make: Callable[[], Node]) -> Node:
        done = self._done.get(key)
        if done is not None:
            self._foreign += key in self._with_foreign
            return done
        under_way = self._open.get(key)
        if under_way is not None:
            return under_way
        self._open[key] = later
        foreign = self._foreign
        try:
            node = make()
        finally:
            del self._open[key]
        if self._foreign > foreign:
            self._with_foreign.add(key)
        later.complete(node)
        self._done[key] = node
        return node


def has_fields(cls: type[object]) -> bool:
    """Tell whether a class is of a kind whose fields are known."""
    return (
        is_model(cls)
        or typing_extensions.is_typeddict(cls)
        or (is_subclass(cls, tuple) and hasattr(cls, "_fields"))
        or issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or is_attrs(cls)
    )


def _literal(values: tuple[object, ...]) -> Node:
    try:
        return LiteralNode(values)
    except RegistrationError as error:
        raise Fault(f"{error}") from None


def _shown(annotation: object) -> str:
    try:
        return f"{annotation!r}"[:200]
    except Exception:  # noqa: BLE001 - an annotation may be any object
        return type_name(type(annotation))
