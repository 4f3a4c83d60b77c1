"""Nodes of single values: numbers, text, bytes, and classes that are written as text.

Datetimes, dates, times, durations, decimals, UUIDs and paths have one text form, the same in
msgpack and in JSON, so that a journal can be read by a person.

Invariants:
  * a datetime has a zone and keeps it: `2024-03-31T03:30:00+02:00[Europe/Berlin]`, as RFC 9557
    writes it. The offset decides about the instant, the name about arithmetic afterwards;
  * NaN, infinity, lone surrogates and ints beyond 64 bits are faults in both directions.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable

from typing_extensions import override

from outlast._codec.faults import Fault, type_name
from outlast._codec.nodes.node import Node, NoneType, Walk, mismatch
from outlast._codec.schemas import Schema, Schemas, text_schema

INT_MIN = -(2**63)
INT_MAX = 2**64 - 1


class NoneNode(Node):
    """None."""

    name = "None"
    types = wire = kept = flat = frozenset({NoneType})
    is_self_describing = True
    json_rank = 0
    native = NoneType

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if value is not None:
            raise mismatch(self.name, value)
        return None

    @override
    def lift(self, wire: object, depth: int) -> object:
        if wire is not None:
            raise mismatch(self.name, wire)
        return None

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self.lift(data, depth)

    @override
    def to_json(self, value: object) -> object:
        return None

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "null"}


class BoolNode(Node):
    """True and False."""

    name = "bool"
    types = wire = kept = flat = frozenset({bool})
    is_self_describing = True
    json_rank = 0
    native = bool

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not bool:
            raise mismatch(self.name, value)
        return value

    @override
    def lift(self, wire: object, depth: int) -> object:
        if type(wire) is not bool:
            raise mismatch(self.name, wire)
        return wire

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self.lift(data, depth)

    @override
    def to_json(self, value: object) -> object:
        return value

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "boolean"}


class IntNode(Node):
    """Integers of 64 bits. A bool is an int to every type checker: it is stored, as a bool."""

    name = "int"
    types = wire = frozenset({int})
    kept = flat = frozenset({int, bool})
    is_self_describing = True
    json_rank = 0
    native = int

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is int:
            if -0x8000 <= value < 0x8000:
                return value
            if INT_MIN <= value <= INT_MAX:
                walk.left -= 4
                return value
            raise Fault("the int does not fit 64 bits")
        if type(value) is bool:
            return value
        raise mismatch(self.name, value)

    @override
    def lift(self, wire: object, depth: int) -> object:
        if type(wire) is int or type(wire) is bool:
            return wire
        raise mismatch(self.name, wire)

    @override
    def from_json(self, data: object, depth: int) -> object:
        if type(data) is not int:
            raise mismatch(self.name, data)
        if not INT_MIN <= data <= INT_MAX:
            raise Fault("the int does not fit 64 bits")
        return data

    @override
    def to_json(self, value: object) -> object:
        return value

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "integer", "minimum": INT_MIN, "maximum": INT_MAX}


class FloatNode(Node):
    """Finite floats. An int is a float to every type checker: it becomes one, if it can."""

    name = "float"
    types = wire = kept = frozenset({float})
    is_self_describing = True
    json_rank = 0
    native = float

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not float:
            if type(value) is not int:
                raise mismatch(self.name, value)
            value = _float_of(value)
            walk.promoted += 1
        if not math.isfinite(value):
            raise Fault("NaN and infinity cannot be stored")
        walk.left -= 8
        return canonical_float(value) if walk.is_canonical else value

    @override
    def lift(self, wire: object, depth: int) -> object:
        if type(wire) is int:
            return _float_of(wire)
        if type(wire) is not float:
            raise mismatch(self.name, wire)
        if not math.isfinite(wire):
            raise Fault("NaN and infinity are refused")
        return wire

    @override
    def from_json(self, data: object, depth: int) -> object:
        return self.lift(data, depth)

    @override
    def to_json(self, value: object) -> object:
        # An int that was declared float prints as the float that it is stored as.
        return float(value) if type(value) is int else value

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "number"}


def _float_of(value: int) -> float:
    try:
        converted = float(value)
    except OverflowError:
        raise Fault("the int is too large for the declared float") from None
    if converted != value:
        raise Fault("the int has more digits than the declared float can hold")
    return converted


def canonical_float(value: float) -> int | float:
    """Return the int that equals this float, if there is one: 1.0 and 1, -0.0 and 0.0 are equal."""
    return int(value) if value.is_integer() and INT_MIN <= value <= INT_MAX else value


class StrNode(Node):
    """Text that UTF-8 can hold."""

    name = "str"
    types = wire = kept = flat = frozenset({str})
    is_self_describing = True
    json_rank = 6
    native = str

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not str:
            raise mismatch(self.name, value)
        return checked_text(value, walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        if type(wire) is not str:
            raise mismatch(self.name, wire)
        return wire

    @override
    def from_json(self, data: object, depth: int) -> object:
        if type(data) is not str:
            raise mismatch(self.name, data)
        _refuse_surrogates(data)
        return data

    @override
    def to_json(self, value: object) -> object:
        return value

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "string"}


def checked_text(value: str, walk: Walk) -> str:
    """Return the text, counted, if UTF-8 can hold it."""
    walk.spend(len(value))
    if not value.isascii():
        _refuse_surrogates(value)
    return value


def _refuse_surrogates(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Fault(f"a lone surrogate at character {error.start} is not text") from None


class BytesNode(Node):
    """Bytes; base64 in JSON."""

    name = "bytes"
    types = wire = kept = frozenset({bytes})
    is_self_describing = True
    json_rank = 8
    native = bytes

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not bytes:
            raise mismatch(self.name, value)
        walk.spend(len(value))
        return value

    @override
    def lift(self, wire: object, depth: int) -> object:
        if type(wire) is not bytes:
            raise mismatch(self.name, wire)
        return wire

    @override
    def from_json(self, data: object, depth: int) -> object:
        if type(data) is not str:
            raise mismatch("bytes (base64 text)", data)
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise Fault("declared bytes, got text that is not base64") from None

    @override
    def to_json(self, value: object) -> object:
        return base64.b64encode(value).decode() if type(value) is bytes else value

    @override
    def schema(self, made: Schemas) -> Schema:
        return {"type": "string", "contentEncoding": "base64"}


class TextNode(Node):
    """A class whose values are written as text."""

    wire = frozenset({str})
    json_rank = 2

    def __init__(
        self,
        cls: type,
        *,
        write: Callable[[object], str],
        read: Callable[[str], object],
        canonical: Callable[[object], object] | None = None,
    ) -> None:
        self.name = type_name(cls)
        self.types = frozenset({cls})
        self._class = cls
        self._write = write
        self._read = read
        self._canonical = canonical

    @override
    def lower(self, value: object, depth: int, walk: Walk) -> object:
        if type(value) is not self._class:
            raise mismatch(self.name, value)
        if walk.is_canonical and self._canonical is not None:
            return self._canonical(value)
        return checked_text(self._write(value), walk)

    @override
    def lift(self, wire: object, depth: int) -> object:
        if type(wire) is not str:
            raise mismatch(self.name, wire)
        try:
            value = self._read(wire)
        except (ValueError, ArithmeticError):
            raise Fault(f"declared {self.name}, got text that is not one") from None
        if type(value) is not self._class:
            raise Fault(f"declared {self.name}, got text that is not one")
        return value

    @override
    def from_json(self, data: object, depth: int) -> object:
        if type(data) is not str:
            raise mismatch(f"{self.name} (as text)", data)
        _refuse_surrogates(data)
        return self.lift(data, depth)

    @override
    def to_json(self, value: object) -> object:
        return self._write(value)

    @override
    def schema(self, made: Schemas) -> Schema:
        return text_schema(self.name)
