"""JSON data from outside becomes a value of the declared type, or every fault is named."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pytest

from outlast._codec import adapter_for
from outlast.errors import DecodingError


class Color(enum.Enum):
    RED = "red"


class Pair(enum.Enum):
    ONE = (1, 1)


@dataclass
class Item:
    name: str
    price: Decimal = Decimal(1)


@dataclass
class Order:
    items: list[Item]
    limits: dict[int, float] = field(default_factory=dict[int, float])


@dataclass
class Checked:
    cents: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        if self.cents < 0:
            raise ValueError("cents must not be negative")
        self.twice = 2 * self.cents


@dataclass
class Square:
    side: int


@dataclass
class Rectangle:
    side: int
    other: int


class Camel(msgspec.Struct, rename="camel"):
    long_name: str


class Row(NamedTuple):
    a: int
    b: str = "-"


class Options(TypedDict):
    name: str
    size: NotRequired[int]


NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (dt.datetime, "2024-05-01T12:00:00Z", NOON),
        (dt.datetime, "2024-05-01T14:00:00+02:00", NOON),
        (dt.date, "2024-05-01", dt.date(2024, 5, 1)),
        (dt.time, "12:30:00", dt.time(12, 30)),
        (dt.timedelta, "P1DT2H3M4.5S", dt.timedelta(1, 4.5, hours=2, minutes=3)),
        (dt.timedelta, "-PT1S", dt.timedelta(seconds=-1)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "00000000-0000-0000-0000-000000000007", UUID(int=7)),
        (Path, "/a", Path("/a")),
        (bytes, "/w==", b"\xff"),
        (float, 1, 1.0),
        (Color, "red", Color.RED),
        (Color, "RED", Color.RED),
        (Pair, "ONE", Pair.ONE),
        (Literal["a", 1], 1, 1),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1, 2], {1, 2}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (dict[dt.date, int], {"2024-05-01": 1}, {dt.date(2024, 5, 1): 1}),
        (dict[tuple[int, int], int], [[[1, 2], 3]], {(1, 2): 3}),
        (Item, {"name": "a", "price": "2"}, Item("a", Decimal(2))),
        (Order, {"items": [{"name": "a"}]}, Order([Item("a")])),
        (Checked, {"cents": 2}, Checked(2)),
        (Camel, {"longName": "a"}, Camel("a")),
        (Camel, {"long_name": "a"}, Camel("a")),
        (Row, [1], Row(1)),
        (Row, {"a": 1, "b": "x"}, Row(1, "x")),
        (Options, {"name": "a"}, {"name": "a"}),
        (Square | Rectangle, {"side": 1, "other": 2}, Rectangle(1, 2)),
        (Square | Rectangle, {"side": 1}, Square(1)),
        (int | float, 1.5, 1.5),
        (float | int, 1, 1),
        (bool | int, 1, 1),
        (dt.datetime | str, "2024-05-01T12:00:00Z", NOON),
        (dt.datetime | str, "soon", "soon"),
        (Item | None, None, None),
        (object, {"a": [1, None, {"b": 2.5}]}, {"a": [1, None, {"b": 2.5}]}),
    ],
)
def test_json_data_becomes_the_declared_value(
    annotation: object, data: object, value: object
) -> None:
    adapter = adapter_for(annotation)

    found = adapter.from_json(data)

    assert found == value
    assert type(found) is type(value)
    adapter.encode(found)


@pytest.mark.parametrize(
    ("annotation", "data", "message"),
    [
        (int, "1", r"^\$: declared int, got str"),
        (int, True, r"^\$: declared int, got bool"),
        (int, 1.0, r"^\$: declared int, got float"),
        (int, 2**64, r"64 bits"),
        (float, float("nan"), r"NaN"),
        (object, [float("inf")], r"^\$\[0\]: NaN and infinity"),
        (str, "\ud800", r"lone surrogate"),
        (bytes, "not base64!", r"base64"),
        (dt.datetime, "2024-05-01T12:00:00", r"without a zone"),
        (dt.datetime, "2024-05-01T12:00:00+00:00[No/Where]", r"time zone 'No/Where' is not known"),
        (dt.datetime, "soon", r"declared datetime, got text that is not one"),
        (Decimal, "NaN", r"declared Decimal"),
        (UUID, "7", r"declared UUID"),
        (Color, "green", r"no member of Color: its members are \w+"),
        (Order, {"items": [{"name": "a"}, {"name": 1}]}, r"^\$\.items\[1\]\.name: declared str"),
        (Item, {"name": "a", "prise": "1"}, r"^\$\.prise: unknown field; did you mean price\?"),
        (Item, {}, r"^\$\.name: missing"),
        (
            Checked,
            {"cents": -1},
            r"Checked rejects the value: ValueError: cents must not be negative",
        ),
        (Camel, {}, r"^\$\.longName: missing"),
        (Options, {"name": "a", "other": 1}, r"^\$\.other: unknown field"),
        (Square | Rectangle, {}, r"fits none of Square \| Rectangle"),
        (Item | None, {"name": 1}, r"^\$\.name: declared str, got int"),
        (dict[int, int], {"a": 1}, r"^\$\.a: declared int"),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(
    annotation: object, data: object, message: str
) -> None:
    with pytest.raises(DecodingError, match=message):
        adapter_for(annotation).from_json(data)


def test_every_fault_is_named_at_once() -> None:
    data = {"items": [{"nam": "a"}, 3], "limits": {"x": 1}}

    with pytest.raises(DecodingError) as caught:
        adapter_for(Order).from_json(data)

    for path in ("$.items[0].nam:", "$.items[0].name:", "$.items[1]:", "$.limits.x:"):
        assert path in caught.value.reason


def test_a_thousand_faults_make_a_short_message() -> None:
    with pytest.raises(DecodingError) as caught:
        adapter_for(list[int]).from_json(["x"] * 1_000)

    assert len(str(caught.value)) < 2_000
    assert "980 more" in caught.value.reason


def test_json_that_is_too_deep_is_refused() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(DecodingError, match="deeper"):
        adapter_for(object).from_json(deep)


@pytest.mark.parametrize(
    ("annotation", "value", "data"),
    [
        (bytes, b"\xff", "/w=="),
        (dt.datetime, NOON, "2024-05-01T12:00:00+00:00"),
        (dt.timedelta, dt.timedelta(days=1, seconds=2), "P1DT2S"),
        (dict[int, str], {1: "a"}, {"1": "a"}),
        (dict[tuple[int, int], str], {(1, 2): "a"}, [[[1, 2], "a"]]),
        (object, {1: "a", "1": "b"}, [[1, "a"], ["1", "b"]]),
        (Item | Order, Item("a"), {"name": "a", "price": "1"}),
        (Camel, Camel("a"), {"longName": "a"}),
        (Pair, Pair.ONE, "ONE"),
        (float, 1, 1.0),
    ],
)
def test_a_value_is_shown_as_json_would_give_it(
    annotation: object, value: object, data: object
) -> None:
    assert adapter_for(annotation).to_json(value) == data
