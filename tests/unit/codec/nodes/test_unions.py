"""Unions: a value comes back as the class it was, or not at all."""

from __future__ import annotations

import enum
import subprocess
import sys
import textwrap
import typing
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict, Union
from uuid import UUID

import msgspec
import pytest
from pydantic import AnyUrl, BaseModel

from outlast._codec import adapter_for
from outlast.errors import DecodingError, EncodingError, RegistrationError
from tests.unit.codec.samples import Box, Color, Item, Level


@dataclass
class Charge:
    order: str
    cents: int


@dataclass
class Refund:
    order: str
    cents: int


@dataclass
class Void:
    order: str


class Point(NamedTuple):
    x: int
    y: int


class Options(TypedDict):
    order: str
    cents: int


class Inner(BaseModel):
    order: str
    cents: int


class Outer(BaseModel):
    order: str
    cents: int


class Twin:
    class Color(enum.Enum):
        RED = 1


Twin.Color.__qualname__ = "Color"
A_REFUND = Refund("o1", 500)
Numbers = Union[list["Named"], int]  # noqa: UP007 - a run-time value
Named = Union["Numbers", str]


def _stored(annotation: object, value: object) -> bytes:
    return adapter_for(annotation).encode(value)


@pytest.mark.parametrize(
    ("written", "value", "read"),
    [
        (Charge | Refund, A_REFUND, Refund | Charge),
        (Charge | Refund, A_REFUND, None | Charge | Refund),
        (Charge | Refund, A_REFUND, str | bytes | Charge | Refund),
        (Charge | Refund | Void, A_REFUND, Refund | Charge),
        (list[Charge | Refund], [A_REFUND], list[Refund | Charge]),
        (dict[str, Charge | Refund], {"a": A_REFUND}, dict[str, Refund | Charge]),
        (Box[Charge | Refund], Box(A_REFUND), Box[Refund | Charge]),
        (list[Charge | Refund] | str, [A_REFUND], str | list[Void | Refund | Charge]),
        (list[Charge | Refund] | Void, [A_REFUND], Void | list[Refund | Charge | None] | str),
        (Inner | Outer, Outer(order="o", cents=1), Outer | Inner),
        (UUID | str, "0" * 32, str | UUID),
        (UUID | str, UUID(int=1), str | bytes | UUID),
        (list[int] | list[str], ["1"], list[str] | list[int]),
        (tuple[int, ...] | list[int], [1], list[int] | tuple[int, ...]),
        (Box[int] | Box[str], Box("1"), Box[str] | Box[int]),
        (Point | tuple[int, int], (1, 2), tuple[int, int] | Point),
        (Color | Level | str, Level.LOW, str | Level | Color),
        (Literal["a"] | Item | int, "a", int | Literal["a", "b"] | Item),
        (int | bool, True, bool | int),
        (Charge | Refund, A_REFUND, Refund),
    ],
)
def test_a_value_comes_back_as_it_was_whatever_the_order_of_arms(
    written: object, value: object, read: object
) -> None:
    found = adapter_for(read).decode(_stored(written, value))

    assert found == value
    assert type(found) is type(value)


def test_recursive_aliases_are_written_the_same_from_either_side() -> None:
    names: dict[str, object] = {"Named": Named, "Numbers": Numbers}
    one, other = adapter_for("Named", names=names), adapter_for("Numbers", names=names)

    value = [1, "a", [2, ["b"]]]

    assert one.encode(value) == other.encode(value)
    assert other.decode(one.encode(value)) == value


@pytest.mark.parametrize(
    ("one", "other", "value"),
    [
        (Charge | Refund, Refund | Charge, A_REFUND),
        (int | UUID, UUID | int, 5),
        (list[Charge | Refund], list[Refund | Charge], [A_REFUND]),
        (list[int] | list[str], list[str] | list[int], []),
    ],
)
def test_equal_values_have_one_digest_whatever_the_order_of_arms(
    one: object, other: object, value: object
) -> None:
    assert adapter_for(one).digest(value) == adapter_for(other).digest(value)
    assert adapter_for(one).encode(value) == adapter_for(other).encode(value)


def test_a_cached_annotation_of_typing_changes_nothing() -> None:
    first = typing.List[Union[Charge, Refund]]  # noqa: UP006, UP007 - typing caches these
    second = typing.List[Union[Refund, Charge]]  # noqa: UP006, UP007

    assert adapter_for(second).decode(_stored(first, [A_REFUND])) == [A_REFUND]


@pytest.mark.parametrize("index", [0, 1, 7])
def test_a_value_that_an_older_version_stored_by_index_is_read_if_one_arm_takes_it(
    index: int,
) -> None:
    stored = msgspec.msgpack.encode([index, {"order": "o1"}])

    assert adapter_for(Charge | Void).decode(stored) == Void("o1")


def test_a_value_that_was_stored_by_index_and_fits_two_arms_is_refused_naming_both() -> None:
    stored = msgspec.msgpack.encode([1, {"order": "o1", "cents": 500}])

    with pytest.raises(DecodingError, match=r"fits both .*\.Charge and .*\.Refund"):
        adapter_for(Charge | Refund).decode(stored)


def test_arms_that_agree_on_a_value_that_was_stored_by_index_are_no_conflict() -> None:
    assert adapter_for(list[int] | list[str]).decode(msgspec.msgpack.encode([1, []])) == []
    assert adapter_for(Literal["a"] | str).decode(msgspec.msgpack.encode([0, "a"])) == "a"
    data = {"order": "o", "cents": 1}
    assert (
        adapter_for(Options | dict[str, object]).decode(msgspec.msgpack.encode([0, data])) == data
    )


@pytest.mark.parametrize(
    ("written", "value", "read"),
    [
        (Charge, Charge("o", 1), Charge | Void),
        (str, "soon", str | UUID | Void),
        (list[int], [1, 2], list[int] | str),
        (Charge | None, Charge("o", 1), Void | Charge | None),
    ],
)
def test_a_value_of_a_type_that_became_a_union_is_read_if_one_arm_takes_it(
    written: object, value: object, read: object
) -> None:
    assert adapter_for(read).decode(_stored(written, value)) == value


def test_a_value_of_a_type_that_became_a_union_is_never_guessed() -> None:
    with pytest.raises(DecodingError, match=r"fits both .*Charge and .*Refund"):
        adapter_for(Refund | Charge).decode(_stored(Charge, Charge("o", 1)))
    with pytest.raises(DecodingError, match="fits both UUID and str"):
        adapter_for(UUID | str | Void).decode(_stored(UUID, UUID(int=1)))


def test_an_arm_that_was_removed_is_named() -> None:
    stored = _stored(Charge | Refund, A_REFUND)

    for annotation in (Charge | Void, Charge):
        with pytest.raises(DecodingError, match=r"Refund|Charge"):
            adapter_for(annotation).decode(stored)
    with pytest.raises(DecodingError, match=r"is a .*\.Refund, .*restore the arm.*evolve"):
        adapter_for(Charge | Void).decode(stored)


def test_a_list_of_another_class_is_no_arm_that_has_grown() -> None:
    stored = _stored(list[Refund] | str, [A_REFUND])

    with pytest.raises(DecodingError, match=r"list\[.*Refund\]"):
        adapter_for(list[Charge] | str).decode(stored)


def test_two_arms_of_one_name_are_refused_when_the_union_is_declared() -> None:
    twin = make_dataclass("Charge", [("order", str)])
    twin.__module__ = Charge.__module__

    with pytest.raises(RegistrationError, match=r"two arms of the union are called .*\.Charge"):
        adapter_for(Charge | twin)


def test_literals_of_enums_that_share_a_name_are_told_apart() -> None:
    adapter = adapter_for(Literal[Color.RED, Twin.Color.RED])

    assert adapter.decode(adapter.encode(Color.RED)) is Color.RED
    assert adapter.decode(adapter.encode(Twin.Color.RED)) is Twin.Color.RED
    with pytest.raises(DecodingError, match="several enums"):
        adapter.decode(msgspec.msgpack.encode(["Color.RED"]))
    old = msgspec.msgpack.encode(["Color.RED"])
    assert adapter_for(Literal[Color.RED, "x"]).decode(old) is Color.RED


def test_a_model_keeps_unions_apart_that_have_an_arm_of_pydantics() -> None:
    def model(annotation: object) -> type[BaseModel]:
        body = {"__annotations__": {"what": annotation}, "__module__": __name__}
        return type("Holder", (BaseModel,), body)

    one, other = model(Inner | Outer | AnyUrl), model(AnyUrl | Outer | Inner)
    stored = adapter_for(one).encode(one(what=Outer(order="o", cents=1)))

    again = adapter_for(other).decode(stored)

    assert type(getattr(again, "what", None)) is Outer


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (str | UUID, str(UUID(int=1)), UUID(int=1)),
        (UUID | str, str(UUID(int=1)), UUID(int=1)),
        (bytes | str, "YQ==", "YQ=="),
        (str | Path, "a", "a"),
        (str | Color, "red", Color.RED),
        (dict[str, object] | Void, {"order": "o"}, Void("o")),
        (tuple[int, ...] | list[int], [1], [1]),
        (str | Decimal, "1.5", Decimal("1.5")),
    ],
)
def test_json_from_outside_goes_to_the_most_specific_arm(
    annotation: object, data: object, value: object
) -> None:
    found = adapter_for(annotation).from_json(data)

    assert found == value
    assert type(found) is type(value)


def test_json_that_fits_two_classes_is_refused_naming_both() -> None:
    with pytest.raises(DecodingError, match="fits both Charge and Refund"):
        adapter_for(Charge | Refund).from_json({"order": "o", "cents": 1})


def test_another_value_than_the_arms_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"declared Charge \| Refund, got Void"):
        adapter_for(Charge | Refund).encode(Void("o"))


# ---- what else could depend on order ---------------------------------------------------------

BEFORE_AND_AFTER = {
    "an auto() member in front": (
        "class E(Enum):\n    RED = auto()\n    BLUE = auto()",
        "class E(Enum):\n    NEW = auto()\n    RED = auto()\n    BLUE = auto()",
        "E.BLUE",
    ),
    "a flag in front": (
        "class E(Flag):\n    READ = auto()\n    WRITE = auto()",
        "class E(Flag):\n    NEW = auto()\n    WRITE = auto()\n    READ = auto()",
        "E.READ | E.WRITE",
    ),
    "fields of a named tuple swapped": (
        "class E(NamedTuple):\n    x: int\n    y: int",
        "class E(NamedTuple):\n    y: int\n    x: int",
        "E(x=1, y=2)",
    ),
    "fields of a dataclass swapped": (
        "@dataclass\nclass E:\n    x: int\n    y: int",
        "@dataclass\nclass E:\n    y: int\n    x: int",
        "E(x=1, y=2)",
    ),
    "fields of a Struct like an array swapped": (
        "class E(Struct, array_like=True):\n    x: int\n    y: int",
        "class E(Struct, array_like=True):\n    y: int\n    x: int",
        "E(x=1, y=2)",
    ),
    "values of text that are the names of other members, which have become ints": (
        "class E(Enum):\n    A = 'B'\n    B = 'A'\n    C = 'D'",
        "class E(Enum):\n    A = 'B'\n    B = 7\n    C = 'D'",
        "E.A",
    ),
    "a member of another kind": (
        "class E(Enum):\n    A = 'B'\n    B = 'C'",
        "class E(Enum):\n    A = 'B'\n    B = 'C'\n    N = 3",
        "E.A",
    ),
}
HEADER = """
import sys
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import NamedTuple
from msgspec import Struct
from outlast._codec import adapter_for
from outlast.errors import DecodingError
"""


@pytest.mark.parametrize("case", BEFORE_AND_AFTER)
def test_stored_data_never_changes_its_meaning_by_order(case: str, tmp_path: Path) -> None:
    before, after, value = BEFORE_AND_AFTER[case]

    def program(body: str, end: str) -> str:
        file = tmp_path / "app.py"
        file.write_text(HEADER + body + "\n" + textwrap.dedent(end))
        done = subprocess.run(
            [sys.executable, str(file)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    stored = program(before, f"print(adapter_for(E).encode({value}).hex())")
    found = program(
        after,
        f"""
        try:
            found = adapter_for(E).decode(bytes.fromhex({stored!r}))
            print("same" if found == {value} else f"other: {{found!r}}")
        except DecodingError:
            print("refused")
        """,
    )

    assert found == "same"


def test_a_value_that_was_text_is_never_read_as_the_name_of_a_member() -> None:
    class Numbered(enum.Enum):
        A = 1
        B = 2

    with pytest.raises(DecodingError, match=r"'B' is not the value of any member of .*Numbered"):
        adapter_for(Numbered).decode(msgspec.msgpack.encode("B"))


def test_ints_that_older_versions_stored_for_enums_are_read() -> None:
    assert adapter_for(Level).decode(msgspec.msgpack.encode(2)) is Level.HIGH
    assert adapter_for(dict[Level, int]).decode(msgspec.msgpack.encode({2: 1})) == {Level.HIGH: 1}
    with pytest.raises(DecodingError, match="alias"):
        adapter_for(Level).decode(msgspec.msgpack.encode(["GONE"]))


def test_keys_and_items_that_become_equal_are_not_merged() -> None:
    stored = msgspec.msgpack.encode({"1.0": 1, "1.00": 2})

    with pytest.raises(DecodingError, match="equal"):
        adapter_for(dict[Decimal, int]).decode(stored)
    with pytest.raises(DecodingError, match="equal"):
        adapter_for(set[Decimal]).decode(msgspec.msgpack.encode(["1.0", "1.00"]))


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (float | int | Literal[2, "c"], 0),
        (float | int | Literal[2, "c"], 2),
        (float | Literal[2, "c"], 2),
        (float | Literal[1, "a"] | Literal[2, "c"], 1),
        (list[float | bytes] | list[int], [1, 0]),
        (list[int] | list[float | bytes], [1, 0]),
        (dict[str, float] | dict[str, int] | list[str], {"a": 1}),
        (tuple[float, str] | tuple[int, str], (1, "x")),
    ],
)
def test_an_int_is_written_by_an_arm_that_keeps_it(declared: object, value: object) -> None:
    adapter = adapter_for(declared)

    back = adapter.decode(adapter.encode(value))

    assert repr(back) == repr(value), "not a float"
    shown = repr(adapter.to_json(value))
    assert shown == repr(value) or (isinstance(value, tuple) and shown == "[1, 'x']")


def test_an_int_becomes_a_float_where_no_arm_keeps_it() -> None:
    adapter = adapter_for(float | Literal[2] | str)

    assert repr(adapter.decode(adapter.encode(7))) == "7.0"
