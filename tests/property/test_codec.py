"""For every type and value that can be stored: it reads back, and equal values digest equally.

`CODEC_EXAMPLES=100000 pytest tests/property/test_codec.py` looks further than a usual run.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import math
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from types import GenericAlias
from typing import Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlast._codec import (
    Chain,
    Zlib,
    adapter_for,
    capture,
    decode_failure,
    encode_failure,
    revive,
)
from outlast._shapes import is_dict, is_list, is_tuple
from outlast.errors import DecodingError, EncodingError

T = TypeVar("T")

settings.register_profile(
    "codec",
    max_examples=int(os.environ.get("CODEC_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
codec = settings.get_profile("codec")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    text: str
    point: Point | None = None


@dataclass(frozen=True)
class Box(Generic[T]):
    item: T


class Record(msgspec.Struct, frozen=True):
    name: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Typed:
    """A declared type and values that fit it."""

    annotation: object
    values: st.SearchStrategy[object]
    is_hashable: bool = True


ints = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
zones = st.sampled_from(
    [dt.UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), dt.timezone(dt.timedelta(0, -77))]
)
datetimes = st.datetimes(
    dt.datetime(1, 1, 3),  # noqa: DTZ001 - a bound; the zone follows
    dt.datetime(9999, 12, 29),  # noqa: DTZ001 - a bound; the zone follows
    timezones=zones,
)
points = st.builds(Point, ints, floats)
labels = st.builds(Label, text=texts, point=st.none() | points)

LEAVES: list[Typed] = [
    Typed(int, ints),
    Typed(float, floats),
    Typed(str, texts),
    Typed(bool, st.booleans()),
    Typed(type(None), st.none()),
    Typed(bytes, st.binary(max_size=20)),
    Typed(dt.datetime, datetimes),
    Typed(dt.date, st.dates()),
    Typed(dt.time, st.times()),
    Typed(dt.timedelta, st.timedeltas()),
    Typed(Decimal, decimals),
    Typed(UUID, st.uuids()),
    Typed(Color, st.sampled_from(Color)),
    Typed(Level, st.sampled_from(Level)),
    Typed(Point, points),
    Typed(Label, labels),
    Typed(Record, st.builds(Record, texts, ints)),
]


def of(origin: type, *arguments: object) -> object:
    return GenericAlias(origin, arguments)


def larger(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    hashable = inner.filter(lambda typed: typed.is_hashable)
    return st.one_of(
        inner.map(lambda t: Typed(of(list, t.annotation), st.lists(t.values, max_size=4), False)),
        inner.map(
            lambda t: Typed(
                of(tuple, t.annotation, Ellipsis),
                st.lists(t.values, max_size=4).map(tuple),
                t.is_hashable,
            )
        ),
        hashable.map(
            lambda t: Typed(of(frozenset, t.annotation), st.frozensets(t.values, max_size=4))
        ),
        st.tuples(hashable, inner).map(
            lambda pair: Typed(
                of(dict, pair[0].annotation, pair[1].annotation),
                st.dictionaries(pair[0].values, pair[1].values, max_size=4),
                False,
            )
        ),
        inner.map(lambda t: Typed(of(Box, t.annotation), st.builds(Box, t.values), t.is_hashable)),
        st.lists(inner, min_size=2, max_size=4).map(union_of),
        inner.map(lambda t: union_of([t, Typed(type(None), st.none())])),
    )


def either(one: object, other: object) -> object:
    make = "or_"
    union: Callable[[object, object], object] = getattr(operator, make)
    return union(one, other)


def union_of(members: list[Typed]) -> Typed:
    return Typed(
        functools.reduce(either, [member.annotation for member in members]),
        st.one_of([member.values for member in members]),
        all(member.is_hashable for member in members),
    )


typed = st.recursive(st.sampled_from(LEAVES), larger, max_leaves=6)


plain = st.one_of(
    st.none(),
    st.booleans(),
    ints,
    floats,
    texts,
    st.binary(max_size=20),
    datetimes,
    st.dates(),
    st.times(),
    st.timedeltas(),
    decimals,
    st.uuids(),
)
keys = st.one_of(plain, st.tuples(plain, plain), st.frozensets(plain, max_size=3))
json_like = st.recursive(
    st.one_of(plain, st.sets(keys, max_size=4), keys),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Equal and of the same type all the way down, which `==` alone does not say of 1 and True."""
    if type(one) is not type(other) or one != other:
        return False
    if (is_list(one) and is_list(other)) or (is_tuple(one) and is_tuple(other)):
        return all(map(same, one, other))
    if is_dict(one) and is_dict(other):
        return list(map(type, one)) == list(map(type, other)) and all(
            map(same, one.values(), other.values())
        )
    if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
        return one.utcoffset() == other.utcoffset() and one.replace(tzinfo=None) == other.replace(
            tzinfo=None
        )
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1, one) == math.copysign(1, other)
    return True


@codec
@given(st.data())
def test_a_value_of_a_declared_type_reads_back_identically(data: st.DataObject) -> None:
    drawn = data.draw(typed)
    value = data.draw(drawn.values)
    adapter = adapter_for(drawn.annotation)

    stored, again = adapter.roundtrip(value)

    assert same(again, value)
    assert same(adapter.decode(stored), value)
    assert adapter.digest(again) == adapter.digest(value)


@codec
@given(json_like)
def test_a_value_without_a_declared_type_reads_back_identically(value: object) -> None:
    adapter = adapter_for(object)

    _, again = adapter.roundtrip(value)

    assert same(again, value)
    assert adapter.digest(again) == adapter.digest(value)
    msgspec.json.encode(adapter.to_json(value))


@codec
@given(st.data())
def test_what_is_shown_as_json_can_be_given_as_json(data: st.DataObject) -> None:
    drawn = data.draw(st.sampled_from(LEAVES))
    wrapped = data.draw(
        st.sampled_from(
            [
                drawn,
                Typed(of(list, drawn.annotation), st.lists(drawn.values, max_size=3)),
                Typed(of(Box, drawn.annotation), st.builds(Box, drawn.values)),
                Typed(
                    of(dict, drawn.annotation, int),
                    st.dictionaries(drawn.values, ints, max_size=3),
                ),
            ]
        )
    )
    value = data.draw(wrapped.values)
    adapter = adapter_for(wrapped.annotation)

    text = msgspec.json.encode(adapter.to_json(value))

    assert adapter.from_json(msgspec.json.decode(text)) == value


@codec
@given(st.dictionaries(st.one_of(texts, ints, st.uuids()), json_like, max_size=5))
def test_equal_dicts_digest_equally_whatever_their_order(value: dict[object, object]) -> None:
    adapter = adapter_for(object)

    assert adapter.digest(dict(reversed(value.items()))) == adapter.digest(value)


@codec
@given(st.data(), st.binary(max_size=60))
def test_garbage_gives_an_error_of_decoding_and_nothing_else(
    data: st.DataObject, garbage: bytes
) -> None:
    drawn = data.draw(typed)
    adapter = adapter_for(drawn.annotation)

    for read in (adapter.decode, adapter_for(object).decode, decode_failure):
        try:
            read(garbage)
        except DecodingError:
            pass
    try:
        Chain([Zlib()]).unpack(garbage)
    except DecodingError:
        pass


@codec
@given(st.data())
def test_a_flipped_byte_gives_a_value_of_the_type_or_an_error_of_decoding(
    data: st.DataObject,
) -> None:
    drawn = data.draw(typed)
    adapter = adapter_for(drawn.annotation)
    stored = bytearray(adapter.encode(data.draw(drawn.values)))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        found = adapter.decode(bytes(stored))
    except DecodingError:
        return
    adapter.encode(found)


@codec
@given(st.data(), json_like)
def test_a_value_of_another_type_is_refused_or_reads_back(
    data: st.DataObject, value: object
) -> None:
    adapter = adapter_for(data.draw(typed).annotation)

    try:
        stored = adapter.encode(value)
    except EncodingError:
        return
    assert adapter.decode(stored) == value


@codec
@given(st.data(), json_like)
def test_json_that_is_accepted_can_be_stored(data: st.DataObject, value: object) -> None:
    adapter = adapter_for(data.draw(typed).annotation)

    try:
        found = adapter.from_json(value)
    except DecodingError:
        return
    adapter.encode(found)


@codec
@given(st.text(), st.lists(json_like, max_size=3))
def test_a_failure_survives_whatever_its_args_are(message: str, args: list[object]) -> None:
    failure = capture(ValueError(message, *args))

    assert decode_failure(encode_failure(failure)) == failure
    again = revive(failure, {})
    assert again is None or type(again) is ValueError


@pytest.mark.full
@settings(codec, max_examples=20_000)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoder_do_anything_but_refuse(garbage: bytes) -> None:
    for annotation in (object, Point, Label | Point | str, dict[Point, list[Label]]):
        try:
            adapter_for(annotation).decode(garbage)
        except DecodingError:
            pass
