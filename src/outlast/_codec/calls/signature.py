"""The parameters and the result of a function as a codec.

Arguments are stored by parameter name. Where a call is stored and replayed (workflows, handlers),
the defaults of parameters that the caller left out are part of it, so a default that changes in
the code changes no call that was stored before. A parameter that did not exist then takes the
default that it has when the call is read.

Invariants:
  * a stored default is read as a new object each time: calls share no mutable default;
  * hints are resolved on first use, once: they may name classes that are defined later;
  * what a callee gets from `isolate` shares no mutable object with its caller, and is what
    decoding the stored call gives;
  * a call is stored whole or not at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec

from outlast._codec.adapters import Adapter, adapter_for
from outlast._codec.calls.difference import first_difference
from outlast._codec.calls.digests import digest_in_ids, digest_of, flat_form, lowered
from outlast._codec.calls.parameters import (
    EMPTY,
    EXTRA,
    REST,
    Arguments,
    Bound,
    P,
    Parameters,
    UnresolvedName,
    names_around,
    resolved_hints,
    title_of,
)
from outlast._codec.classes.records import unknown_name
from outlast._codec.faults import TOO_DEEP, Fault, key_segment
from outlast._codec.jsontext import RepeatedName, refuse_repeated_names
from outlast._codec.nodes.containers import DictNode, TupleNode
from outlast._codec.nodes.jsonlike import decode_wire, encode_wire, plain_json
from outlast._codec.nodes.node import Walk
from outlast._codec.nodes.scalars import StrNode
from outlast._codec.schemas import Schema, Schemas, object_schema, whole
from outlast._shapes import is_dict
from outlast.errors import DecodingError, EncodingError, PayloadTooLarge, RegistrationError
from outlast.limits import DEPTH_MAX, PAYLOAD_BYTES_MAX

_TEXT: frozenset[type] = frozenset({str})

_Read = Callable[[Adapter, object], object]


@dataclass(frozen=True, slots=True)
class _Resolved:
    adapters: dict[str, Adapter]
    positional: tuple[Adapter, ...]
    extra: Adapter | None
    returns: Adapter


class SignatureCodec:
    """The codec of one function's calls and results.

    `is_method` leaves out the first parameter. `localns` resolves names that are not in the
    function's module, for definitions inside functions. With `stores_defaults` the defaults of
    parameters that a caller leaves out are part of the stored call; without it they belong to
    the code that makes the call.
    """

    __slots__ = ("_fn", "_localns", "_parameters", "_resolved", "_stores_defaults", "bind")

    def __init__(
        self,
        fn: Callable[P, object],
        *,
        is_method: bool = False,
        stores_defaults: bool = False,
        localns: Mapping[str, object] | None = None,
    ) -> None:
        self._stores_defaults = stores_defaults
        self._fn: object = fn
        self._localns = dict(localns or {})
        self._parameters = Parameters(fn, is_method=is_method)
        self.bind: Callable[[tuple[object, ...], Mapping[str, object]], Bound]
        self.bind = self._parameters.bind  # arguments in their order; TypeError: they do not fit
        self._resolved: _Resolved | None = None

    @property
    def signature(self) -> inspect.Signature:
        """The parameters that a caller gives, with annotations as written."""
        return self._parameters.signature

    @property
    def returns(self) -> Adapter:
        """The codec of the result."""
        return (self._resolved or self._ready()).returns

    def check(self) -> None:
        """Resolve the hints now.

        Raises:
            RegistrationError: a declared type cannot be stored, its name does not resolve, or a
                default that would be stored is not of its parameter's type.
        """
        self._ready()

    def encode(self, bound: Bound) -> bytes:
        """Return the stored form of a call's arguments.

        Raises:
            EncodingError: an argument cannot be stored; the path begins with its name.
            PayloadTooLarge: together they are too large.
        """
        if bound.encoded is not None:
            return bound.encoded
        adapters = (self._resolved or self._ready()).adapters
        data = encode_wire(lowered(adapters, self._stored_values(bound), Walk()))
        if len(data) > PAYLOAD_BYTES_MAX:
            raise PayloadTooLarge("the arguments", len(data), PAYLOAD_BYTES_MAX)
        return data

    def stored(self, bound: Bound) -> tuple[bytes, bytes]:
        """Return the stored form of a call's arguments (`encode`), and their `digest`.

        Raises:
            EncodingError, PayloadTooLarge: as `encode`.
        """
        if bound.encoded is None and bound.digest is None:
            values = self._stored_values(bound)
            if (data := flat_form(self._ready().adapters, values)) is not None:
                return data, digest_of(values)
        return self.encode(bound), self.digest(bound)

    def decode(self, data: bytes) -> Arguments:
        """Return (args, kwargs) to call the function with.

        Raises:
            DecodingError: the bytes are no call of this function.
        """
        try:
            return self._lift(decode_wire(data))
        except Fault as fault:
            raise fault.decoding_error() from None
        except RecursionError:
            raise DecodingError("$", TOO_DEEP) from None

    def isolate(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[Arguments, Mapping[object, object]]:
        """Return the same arguments, sharing nothing mutable with the given ones, and their wire.

        Raises:
            EncodingError: an argument cannot be stored; the path begins with its name.
        """
        ready = self._resolved or self._ready()
        if not kwargs and len(args) <= len(ready.positional):
            for adapter, value in zip(ready.positional, args, strict=False):
                if type(value) not in adapter.kept:
                    break
            else:
                return (args, {}), dict(zip(self._parameters.names, args, strict=False))
        try:
            wire = decode_wire(self.encode(Bound(args, dict(kwargs))))
            return self._lift(wire), wire if is_dict(wire) else {}
        except Fault as fault:
            raise fault.encoding_error() from None

    def digest(self, bound: Bound) -> bytes:
        """Return 16 bytes that are equal for equal arguments, in every process.

        Raises:
            EncodingError: an argument cannot be stored.
        """
        if bound.digest is not None:
            return bound.digest
        wire = lowered(self._ready().adapters, self._stored_values(bound), Walk(is_canonical=True))
        return digest_of(wire)

    def digest_given(self, bound: Bound) -> bytes:
        """Return the digest of the arguments without those, and those fields, that are defaults.

        An id that is made of it stays the same when a parameter or a field with a default is
        added, when fields change places, and when what `**kwargs` took gets a parameter of its
        own. Where a default has changed, two calls that differ may have one digest.

        Raises:
            EncodingError: an argument cannot be stored.
        """
        return digest_in_ids(self._ready().adapters, self._parameters, bound)

    def is_same_call(self, one: bytes, other: bytes) -> bool:
        """Tell whether two stored calls read as equal calls; unreadable ones compare by bytes."""
        if one == other:
            return True
        try:
            first, second = Bound(*self.decode(one)), Bound(*self.decode(other))
            return self.digest(first) == self.digest(second)
        except (DecodingError, EncodingError):
            return False

    # ---- JSON and text from outside ----------------------------------------------------------

    def from_json(self, data: object) -> Bound:
        """Return the call that a JSON object of arguments by name stands for.

        Raises:
            DecodingError: it names every unknown or missing argument and every value that
                does not fit, each with its path.
        """
        if not is_dict(data):
            raise DecodingError("$", "the arguments must be an object of names and values")
        return self._from_outside(data, _read_json)

    def from_strings(self, texts: Mapping[str, str]) -> Bound:
        """Return the call that `name=text` pairs of a command line stand for.

        A `str` parameter takes its text as it is; others read it as JSON, then as text.

        Raises:
            DecodingError: as `from_json`.
        """
        return self._from_outside(_objects(texts), _read_text)

    def to_json(self, data: bytes) -> dict[str, object]:
        """Return stored arguments as JSON data, by name.

        Raises:
            DecodingError: the bytes are no call of this function.
        """
        args, kwargs = self.decode(data)
        adapters = self._ready().adapters
        shown: dict[str, object] = {}
        for name, value in self._parameters.values_of(Bound(args, kwargs)).items():
            json = adapters[name].to_json(value)
            if name == self._parameters.extra and is_dict(json):
                shown.update({f"{key!s}": item for key, item in json.items()})
            else:
                shown[name] = json
        return shown

    def schema(self, made: Schemas | None = None) -> Schema:
        """Return the JSON Schema of the object that `from_json` takes.

        Named classes go into `made`; without it they are part of the schema.
        """
        found = made or Schemas()
        properties: dict[str, Schema] = {}
        for name, adapter in self._ready().adapters.items():
            if name == self._parameters.extra:
                continue
            schema = adapter.node.schema(found)
            default = self._parameters.by_name[name].default
            if type(default) in adapter.kept - {type(None)} or isinstance(default, Enum):
                schema = {**schema, "default": adapter.to_json(default)}
            properties[name] = schema
        required = [name for name in properties if self._parameters.needs(name)]
        is_open = self._parameters.extra is not None
        title = title_of(self._fn).removesuffix("()")
        whole_schema = object_schema(title, properties, required, is_open=is_open)
        return whole_schema if made is not None else whole(whole_schema, found)

    def first_difference(self, a: bytes, b: bytes) -> str:
        """Return the path and both values where two stored calls first differ."""
        try:
            return first_difference(self.to_json(a), self.to_json(b))
        except DecodingError:
            # Stored by an older version of the function: the bytes can still be compared.
            return first_difference(stored_json(a), stored_json(b))

    # ---- inside ------------------------------------------------------------------------------

    def _ready(self) -> _Resolved:
        if self._resolved is None:
            self._resolved = self._resolve()
        return self._resolved

    def _resolve(self) -> _Resolved:
        hints = resolved_hints(self._fn, self._localns)
        names = names_around(self._fn, self._localns)
        adapters: dict[str, Adapter] = {}
        extra: Adapter | None = None
        where = "return"
        try:
            returns = adapter_for(hints.get("return", EMPTY), names=names)
            for where, parameter in self._parameters.by_name.items():
                adapter = adapter_for(hints.get(where, EMPTY), names=names)
                if parameter.kind is REST:
                    adapter = Adapter(TupleNode(adapter.node))
                elif parameter.kind is EXTRA:
                    extra = adapter
                    adapter = Adapter(DictNode(StrNode(), adapter.node))
                adapters[where] = adapter
        except RegistrationError as error:
            raise RegistrationError(f"{title_of(self._fn)}: {where}: {error}") from None
        if self._stores_defaults:
            _check_defaults(title_of(self._fn), adapters, self._parameters.defaults)
        return _Resolved(
            adapters=adapters,
            positional=tuple(adapters[name] for name in self._parameters.names),
            extra=extra,
            returns=returns,
        )

    def _stored_values(self, bound: Bound) -> dict[str, object]:
        values = self._parameters.values_of(bound)
        if self._stores_defaults and self._parameters.defaults:
            return self._parameters.completed(values)
        return values

    def _lift(self, wire: object) -> Arguments:
        if not is_dict(wire):
            raise Fault("stored arguments must be a map of names and values")
        adapters = (self._resolved or self._ready()).adapters
        values: dict[str, object] = {}
        moved: Mapping[object, object] = {}
        if self._parameters.extra in wire:
            moved = self._parameters.moved_from_extra(wire)
            wire = {**wire, **moved}
        for name, item in wire.items():
            if type(name) is not str or name not in adapters:
                raise _not_taken(title_of(self._fn), name)
            try:
                values[name] = adapters[name].node.lift(item, DEPTH_MAX)
            except Fault as fault:
                raise (_was_extra(fault) if name in moved else fault).under(f".{name}") from None
        missing = self._parameters.missing(values)
        if missing:
            raise Fault.together(missing)
        if self._stores_defaults:
            for name, default in self._parameters.defaults.items():
                if name not in values:  # stored before there was such a parameter
                    _, values[name] = adapters[name].roundtrip(default)
        return self._parameters.call_of(values)

    def _from_outside(self, data: Mapping[object, object], read: _Read) -> Bound:
        ready = self._ready()
        extra_name = self._parameters.extra
        values: dict[str, object] = {}
        extra: dict[str, object] = {}
        faults: list[Fault] = []
        given: dict[str, object] = {}
        for name, item in data.items():
            is_own = name in ready.adapters and name != extra_name
            adapter = ready.adapters[f"{name!s}"] if is_own else ready.extra
            if type(name) is not str or adapter is None:
                fault = unknown_name(name, ready.adapters, "argument", found=len(faults))
                faults.append(fault)
                continue
            given[name] = item
            try:
                (values if is_own else extra)[name] = read(adapter, item)
            except Fault as fault:
                faults.append(fault.under(f".{name}"))
        if extra and extra_name is not None:
            values[extra_name] = extra
        # A name that was given with a value that does not fit is not missing too.
        faults += self._parameters.missing(given)
        if faults:
            raise Fault.together(faults).decoding_error()
        return Bound(*self._parameters.call_of(values))


class ClosureSignature(SignatureCodec):
    """The codec of a function without parameters, whose results have a codec that is known."""

    __slots__ = ()

    def __init__(self, returns: Adapter) -> None:
        super().__init__(_nothing)
        self._resolved = _Resolved({}, (), None, returns)


def _nothing() -> None:
    """Has no parameters."""


def check_types(signature: SignatureCodec) -> None:
    """Refuse types that cannot be stored, as far as their names are known already.

    Raises:
        RegistrationError: a declared type cannot be stored.
    """
    try:
        signature.check()
    except UnresolvedName:
        return  # defined further down, perhaps: looked at again on first use


def argument_of(signature: SignatureCodec, name: str) -> Adapter | None:
    """Return the codec of one parameter, None when there is none of this name."""
    return signature._ready().adapters.get(name)


def stored_json(data: bytes) -> object:
    """Return stored bytes of a type that is not known here as JSON data, to show them."""
    try:
        return plain_json(decode_wire(data))
    except Fault:
        return "unreadable"


def _check_defaults(
    title: str, adapters: Mapping[str, Adapter], defaults: Mapping[str, object]
) -> None:
    for name, default in defaults.items():
        try:
            adapters[name].encode(default)
        except (EncodingError, PayloadTooLarge) as error:
            raise RegistrationError(
                f"{title}: the default of {name} cannot be stored with a call: {error}. Give the "
                f"parameter a type that includes its default (`int | None = None`), or a default "
                f"that can be stored"
            ) from None


def _not_taken(title: str, name: object) -> Fault:
    return Fault(
        f"a stored argument that {title} no longer accepts. Stored data is never dropped: restore "
        f"the parameter (with a default, callers can omit it), or declare the changed function "
        f"under another name="
    ).under(key_segment(name))


def _was_extra(fault: Fault) -> Fault:
    segments, reason = fault.found[0]
    advice = (
        "It was stored when `**` accepted this argument: give the parameter its earlier type or "
        "another name, or declare the changed function under another name="
    )
    fault.found[0] = (segments, f"{reason}. {advice}")
    return fault


def _read_json(adapter: Adapter, data: object) -> object:
    try:
        return adapter.node.from_json(data, DEPTH_MAX)
    except RecursionError:
        raise Fault(TOO_DEEP) from None
    except PayloadTooLarge as error:
        raise Fault(f"{error}") from None


def _read_text(adapter: Adapter, text: object) -> object:
    if type(text) is not str or adapter.node.types == _TEXT:
        return _read_json(adapter, text)
    try:
        data: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        try:
            return _read_json(adapter, text)
        except Fault:
            if text[:1] in ("[", "{", '"'):
                raise Fault(f"it is not JSON: {error}") from None
            raise
    try:
        refuse_repeated_names(text)
    except RepeatedName as error:
        raise Fault(f"{error}") from None
    try:
        return _read_json(adapter, data)
    except Fault as fault:
        try:
            return _read_json(adapter, text)
        except Fault:
            raise fault from None


def _objects(texts: Mapping[str, str]) -> dict[object, object]:
    return {name: text for name, text in texts.items()}  # noqa: C416 - of wider types
