"""Values survive the trip to bytes as they are, and equal values digest equally."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Generic, Literal
from uuid import UUID

import msgspec
import pytest

from outlast._codec import adapter_for, register_reference
from outlast.errors import DecodingError
from tests.unit.codec.samples import (
    BERLIN,
    NOON,
    Box,
    Color,
    Doubler,
    Frozen,
    IntBox,
    Item,
    Level,
    Mixed,
    Options,
    Order,
    OrderId,
    Ping,
    Point,
    Pong,
    Rights,
    Row,
    T,
    Tagged,
    Tree,
)

ROUND_TRIPS: list[tuple[object, object]] = [
    (None, None),
    (bool, True),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (int, True),
    (float, -0.5),
    (str, "grün 🙂\0"),
    (bytes, b"\xff\0"),
    (OrderId, "o-1"),
    (Annotated[int, "doc"], 3),
    (Annotated[int, msgspec.Meta(ge=10)], 10),
    (dt.datetime, NOON),
    (dt.datetime, NOON.astimezone(BERLIN)),
    (dt.datetime, dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)),
    (dt.datetime, dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN)),
    (dt.datetime, dt.datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN)),
    (dt.datetime, dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, seconds=7)))),
    (dt.datetime, dt.datetime.max.replace(tzinfo=dt.UTC)),
    (dt.date, dt.date(9999, 12, 31)),
    (dt.time, dt.time(1, 2, 3, 4)),
    (dt.time, dt.time(1, tzinfo=dt.timezone(dt.timedelta(hours=-3)))),
    (dt.time, dt.time(1, tzinfo=BERLIN)),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=1)),
    (dt.timedelta, dt.timedelta.max),
    (dt.timedelta, dt.timedelta.min),
    (Decimal, Decimal("1.10")),
    (Decimal, Decimal("-1E+99999")),
    (UUID, UUID(int=7)),
    (Path, Path("/a/ü")),
    (PurePosixPath, PurePosixPath("a")),
    (Color, Color.RED),
    (Level, Level.HIGH),
    (Mixed, Mixed.PAIR),
    (Rights, Rights.READ | Rights.WRITE),
    (Literal["a", 1, True, None, b"x"], True),
    (Literal["a", 1, True, None, b"x"], 1),
    (Literal[Color.RED, "red"], Color.RED),
    (Literal[Color.RED, "red"], "red"),
    (list[int], [1, 2]),
    (list, [1, "a", (2,)]),
    (tuple[int, ...], (1, 2)),
    (tuple[int, str], (1, "a")),
    (tuple[()], ()),
    (tuple, (1, [2])),
    (set[tuple[int, str]], {(1, "a"), (2, "b")}),
    (frozenset[UUID], frozenset({UUID(int=1)})),
    (dict[str, int], {"a": 1}),
    (dict[int, str], {1: "a", -2: "b"}),
    (dict[bytes, int], {b"a": 1}),
    (dict[tuple[int, str], set[int]], {(1, "a"): {1, 2}}),
    (dict[dt.date, float], {dt.date(2024, 1, 1): 0.5}),
    (dict[Color, int], {Color.RED: 1}),
    (dict[frozenset[int], int], {frozenset({1}): 1}),
    (dict, {"a": 1, 2: "b", (1, 2): None}),
    (Item, Item("a", tags=["x"])),
    (Frozen, Frozen(x=1)),
    (Order, Order([Item("a")], {"k": 1}, NOON)),
    (Tree, Tree(1, Tree(2), [Tree(3, Tree(4))])),
    (Ping, Ping(Pong(Ping(None)))),
    (Pong, Pong(Tree(1))),
    (Box[int], Box(1, [2])),
    (Box[Item], Box(Item("a"))),
    (Box[Box[str]], Box(Box("a"))),
    (Box, Box({"any": [1, (2,)]})),
    (IntBox, IntBox(1, [2], "x")),
    (Point, Point(1, 2)),
    (Tagged, Tagged(b"x")),
    (Row, Row(1)),
    (Options, {"name": "a"}),
    (Options, {"size": 1, "name": "a"}),
    (int | None, None),
    (int | str | None, "a"),
    (int | float, 1),
    (int | float, 1.0),
    (float | int, 1),
    (bool | int, True),
    (bool | int, 1),
    (str | dt.datetime, NOON),
    (str | dt.datetime, "2024-05-01T12:00:00+00:00"),
    (bytes | str, "YQ=="),
    (Item | Frozen, Frozen(x=2)),
    (Item | Frozen | None, None),
    (list[int] | list[str], ["a"]),
    (list[int] | tuple[int, ...] | set[int], (1,)),
    (dict[str, int] | Item, Item("a")),
    (Color | str, "red"),
    (Color | Level, Level.LOW),
    (Row | tuple[int, str], (1, "-")),
    (Row | tuple[int, str], Row(1, "-")),
    (object | None, None),
    (Sequence[int], (1, 2)),
    (Sequence[int], [1, 2]),
    (Mapping[str, int], {"a": 1}),
    (Iterable[int], frozenset({1})),
    (typing.List[Item], [Item("b")]),  # noqa: UP006 - users still write it
    (object, {"a": [1, 2.5, None, True, b"x", NOON, {"b"}, frozenset({1})]}),
    (object, ((), [], {}, set(), UUID(int=3), Decimal("1.50"), dt.timedelta(1), dt.time(1))),
    (object, {1: "a", "b": 2, None: 3, (1, "x"): 4}),
]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS)
def test_an_accepted_value_reads_back_equal_and_of_the_same_type(
    annotation: object, value: object
) -> None:
    adapter = adapter_for(annotation)

    data, again = adapter.roundtrip(value)

    for found in (again, adapter.decode(data), adapter.decode(adapter.encode(value))):
        assert found == value
        assert type(found) is type(value)
        assert type(value) in (set, frozenset, dict) or f"{found!r}" == f"{value!r}"


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS)
def test_an_accepted_value_can_be_shown_as_json(annotation: object, value: object) -> None:
    msgspec.json.encode(adapter_for(annotation).to_json(value))


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS)
def test_the_digest_of_what_was_read_back_is_the_same(annotation: object, value: object) -> None:
    adapter = adapter_for(annotation)

    assert adapter.digest(adapter.decode(adapter.encode(value))) == adapter.digest(value)


def test_a_constructor_that_changes_fields_does_not_change_them_twice() -> None:
    value = Doubler(3, seed=1)

    again = adapter_for(Doubler).decode(adapter_for(Doubler).encode(value))

    assert again == value
    assert isinstance(again, Doubler)
    assert (again.x, again.total, again.cache) == (6, 7, {})


def test_a_field_that_was_added_takes_its_default() -> None:
    assert adapter_for(Item).decode(msgspec.msgpack.encode({"name": "a"})) == Item("a")
    with pytest.raises(DecodingError, match=r"\$\.name: missing"):
        adapter_for(Item).decode(msgspec.msgpack.encode({}))


def test_mutual_recursion_is_written_the_same_from_either_side() -> None:
    inner = Ping(Pong(Tree(1)))

    whole = msgspec.msgpack.decode(adapter_for(Pong).encode(Pong(inner)))
    part = msgspec.msgpack.decode(adapter_for(Ping).encode(inner))

    assert whole["ping"][1] == part


def test_a_set_is_written_the_same_in_every_process() -> None:
    program = (
        "from outlast._codec import adapter_for;"
        "value = {f'k{i}' for i in range(50)};"
        "print(adapter_for(set[str]).encode(value).hex(), adapter_for(object).digest(value).hex())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(seen) == 1


@pytest.mark.parametrize(
    ("annotation", "one", "other"),
    [
        (dict[str, int], {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (object, {"a": 1, "b": [1.0]}, {"b": [1], "a": 1}),
        (Decimal, Decimal("1.0"), Decimal("1.00")),
        (Decimal, Decimal("-0"), Decimal("0E+5")),
        (float, 0.0, -0.0),
        (float, 1, 1.0),
        (dt.datetime, NOON, NOON.astimezone(BERLIN)),
        (Options, {"name": "a", "size": 1}, {"size": 1, "name": "a"}),
    ],
)
def test_equal_values_have_equal_digests(annotation: object, one: object, other: object) -> None:
    adapter = adapter_for(annotation)

    assert one == other
    assert adapter.digest(one) == adapter.digest(other)
    assert len(adapter.digest(one)) == 16


def test_different_values_have_different_digests() -> None:
    adapter = adapter_for(object)
    values: list[object] = [1, 2, True, "1", b"1", [1], (1,), {1}, {"a": 1}, None, [], {}]

    assert len({adapter.digest(value) for value in values}) == len(values)


class Handle:
    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


class Typed(Handle, Generic[T]):
    pass


def _id_of(value: object) -> object:
    return value.run_id if isinstance(value, Handle) else None


def _typed(data: object) -> object:
    if not isinstance(data, str):
        raise TypeError("no id")
    return Typed[object](data)


def test_a_registered_reference_is_payload_with_and_without_arguments() -> None:
    register_reference(Typed, _id_of, _typed)

    for annotation in (Typed, Typed[int], Typed[int] | None):
        adapter = adapter_for(annotation)
        again = adapter.decode(adapter.encode(Typed[int]("r-1")))
        assert f"{type(again)!r}" == f"{Typed!r}"
        assert adapter.to_json(again) == "r-1"
    with pytest.raises(DecodingError):
        adapter_for(Typed).decode(b"\x01")
