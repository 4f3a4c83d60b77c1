"""What cannot be stored, or is too large or too deep, is refused with its path."""

from __future__ import annotations

import datetime as dt
import enum
import typing
from dataclasses import make_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from typing_extensions import override

from outlast._codec import adapter_for
from outlast.errors import DecodingError, EncodingError, PayloadTooLarge, RegistrationError
from outlast.limits import DEPTH_MAX, PAYLOAD_BYTES_MAX
from tests.unit.codec.samples import (
    Box,
    Color,
    Frozen,
    IntBox,
    Item,
    Level,
    Options,
    Order,
    T,
    Tree,
    Unknown,
)

NAIVE = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - what must be refused


class Text(str):
    __slots__ = ()


def broken(value: T, **fields: object) -> T:
    """Set fields to what the type checker would not allow."""
    vars(value).update(fields)
    return value


REFUSED: list[tuple[object, object, str, str]] = [
    (str, 1, "$", "declared str, got int"),
    (int, "1", "$", "declared int, got str"),
    (int, 1.0, "$", "declared int, got float"),
    (int, Level.LOW, "$", "declared int, got Level"),
    (float, True, "$", "declared float, got bool"),
    (float, 2**53 + 1, "$", "more digits"),
    (float, 10**400, "$", "too large"),
    (str, Text("a"), "$", "got Text"),
    (str, None, "$", "got NoneType"),
    (list[int], (1,), "$", "got tuple"),
    (list[int], [1, "a"], "$[1]", "got str"),
    (tuple[int, str], (1,), "$", "1 item"),
    (
        Order,
        Order([Item("a"), broken(Item("b"), price=NAIVE)], {}),
        "$.items[1].price",
        "got datetime",
    ),
    (Order, broken(Order([], {}), notes={"a b": "x"}), "$.notes['a b']", "got str"),
    (Order, Order([], {}, NAIVE), "$.at", "without a zone"),
    (dict[str, dict[str, float]], {"a": {"b": float("nan")}}, "$.a.b", "NaN"),
    (float, float("inf"), "$", "infinity"),
    (Decimal, Decimal("NaN"), "$", "NaN"),
    (object, Decimal("Infinity"), "$", "infinity"),
    (object, [float("-inf")], "$[0]", "infinity"),
    (object, {"a": 2**64}, "$.a", "64 bits"),
    (int, -(2**63) - 1, "$", "64 bits"),
    (list[str], ["a", "\ud800"], "$[1]", "lone surrogate"),
    (object, {"\udfff": 1}, "$['\\udfff']", "lone surrogate"),
    (Path, Path("\udc80"), "$", "lone surrogate"),
    (object, NAIVE, "$", "without a zone"),
    (object, [Item("a")], "$[0]", "annotate"),
    (object, Text("a"), "$", "annotate"),
    (object, Color.RED, "$", "annotate"),
    (object, range(3), "$", "annotate"),
    (complex, complex("nan"), "$", "NaN"),
    (object, bytearray(b"a"), "$", "annotate"),
    (Box, Box(Item("a")), "$.item", "annotate"),
    (Item | Frozen, Tree(1), "$", "declared Item | Frozen, got Tree"),
    (Box[int], IntBox(1), "$", "subclass IntBox"),
    (Options, {"size": 1}, "$.name", "missing"),
    (Options, {"name": "a", "other": 1}, "$.other", "no such key"),
    (Color, "red", "$", "declared Color, got str"),
    (Literal["a"], "b", "$", "none of the declared literals"),
    (set[int], {1, "a"}, "$", ""),
]


@pytest.mark.parametrize(("annotation", "value", "path", "reason"), REFUSED)
def test_what_cannot_be_stored_is_refused_with_its_path(
    annotation: object, value: object, path: str, reason: str
) -> None:
    adapter = adapter_for(annotation)

    for method in (adapter.encode, adapter.roundtrip, adapter.digest):
        with pytest.raises(EncodingError) as caught:
            method(value)
        assert caught.value.path.startswith(path)
        assert reason in caught.value.reason


def test_no_method_of_the_refused_value_is_called() -> None:
    class Loud:
        @override
        def __repr__(self) -> str:
            raise AssertionError("called")

        __str__ = __repr__

    with pytest.raises(EncodingError):
        adapter_for(object).encode({"a": [Loud()]})
    with pytest.raises(EncodingError):
        adapter_for(int).encode(Loud())


@pytest.mark.parametrize("annotation", [object, list, dict[str, object]])
def test_a_value_that_contains_itself_is_an_error_of_encoding(annotation: object) -> None:
    loop: list[object] = []
    loop.append(loop)
    value: object = {"a": loop} if annotation == dict[str, object] else loop

    with pytest.raises(EncodingError, match="contains itself"):
        adapter_for(annotation).encode(value)


def test_a_million_levels_are_an_error_of_encoding() -> None:
    deep: list[object] = []
    for _ in range(1_000_000):
        deep = [deep]

    with pytest.raises(EncodingError, match="deeper than 100"):
        adapter_for(object).encode(deep)


def test_the_depth_limit_itself_is_accepted() -> None:
    deep: object = 1
    for _ in range(DEPTH_MAX):
        deep = [deep]

    data, again = adapter_for(object).roundtrip(deep)

    assert again == deep
    with pytest.raises(EncodingError):
        adapter_for(object).encode([deep])
    assert adapter_for(object).decode(data) == deep


def test_a_typed_value_that_contains_itself_is_an_error_of_encoding() -> None:
    tree = Tree(1)
    tree.children.append(tree)

    with pytest.raises(EncodingError, match="contains itself"):
        adapter_for(Tree).encode(tree)


def test_a_small_value_that_expands_without_bound_is_too_large() -> None:
    value: list[object] = []
    for _ in range(60):
        value = [value, value]

    with pytest.raises(PayloadTooLarge):
        adapter_for(object).encode(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "x" * (PAYLOAD_BYTES_MAX + 1)),
        (bytes, b"x" * (PAYLOAD_BYTES_MAX + 1)),
        (str, "é" * (PAYLOAD_BYTES_MAX // 2 + 1)),
        (list[str], ["x" * 1_000_000] * 1_000),
        (list[float], [0.5] * 300_000),
        (object, [2**63] * 300_000),
    ],
)
def test_a_value_over_the_limit_is_too_large(annotation: object, value: object) -> None:
    with pytest.raises(PayloadTooLarge):
        adapter_for(annotation).encode(value)


def test_a_value_at_the_limit_is_accepted() -> None:
    value = b"x" * (PAYLOAD_BYTES_MAX - 5)

    assert len(adapter_for(bytes).encode(value)) == PAYLOAD_BYTES_MAX


@pytest.mark.parametrize(
    ("annotation", "path"),
    [
        (Unknown, r"\$:"),
        (list[Unknown], r"\$\[\]"),
        (dict[str, list[Unknown]], r"\$\[value\]\[\]"),
        (Box[Unknown], r"\$\.item"),
        (typing.Callable[[], int], r"\$"),
        (type, r"\$"),
        (range, r"\$"),
        ("Item", "not resolved"),
        (3, r"\$"),
        (Item | Unknown, "Unknown"),
    ],
)
def test_a_type_that_cannot_be_stored_is_refused_at_registration(
    annotation: object, path: str
) -> None:
    with pytest.raises(RegistrationError, match=path):
        adapter_for(annotation)


@pytest.mark.parametrize(
    ("annotation", "data"),
    [
        (object, b""),
        (object, b"\x91" * 1_000_000),
        (object, b"\xdd\xff\xff\xff\xff"),
        (object, b"\xa1\xff"),
        (object, b"\xc7\x01\x01\x05"),
        (object, msgspec.msgpack.encode(msgspec.msgpack.Ext(99, b"\x90"))),
        (object, msgspec.msgpack.encode(msgspec.msgpack.Ext(2, b"\x91\x90"))),
        (int, b"\xa1a"),
        (Item, b"\x81\xa4name\x01"),
        (Item | Frozen, b"\x92\x07\x01"),
        (Tree, b"\x82\xa5value\x01\xa4left\x01"),
        (dt.datetime, msgspec.msgpack.encode("2024-01-01T00:00:00")),
        (dt.datetime, msgspec.msgpack.encode("2024-01-01T00:00:00+00:00[../../etc/passwd]")),
        (Decimal, msgspec.msgpack.encode("Infinity")),
        (Decimal, msgspec.msgpack.encode("1e9999999999999999999")),
        (dict[str, int], b"\x90"),
        (Color, msgspec.msgpack.encode("green")),
    ],
)
def test_bytes_that_do_not_fit_are_an_error_of_decoding(annotation: object, data: bytes) -> None:
    with pytest.raises(DecodingError):
        adapter_for(annotation).decode(data)


TWIN = {
    "__main__": r"__main__\.Item.*a file that runs as a script is __main__.* imported as shop",
    "other": r"got other\.Item, which is another class: import the class from one module",
    "shop": r"declared shop\.Item, got another class of that name: it was defined again",
}


@pytest.mark.parametrize("module", list(TWIN))
@pytest.mark.parametrize("shape", ["plain", "optional", "union", "items"])
def test_two_classes_of_one_name_are_told_apart_by_their_modules(module: str, shape: str) -> None:
    declared, other = (make_dataclass("Item", [("x", int)]) for _ in range(2))
    declared.__module__, other.__module__ = "shop", module
    annotation: object = {
        "plain": declared,
        "optional": declared | None,
        "union": declared | int,
        "items": list[declared],  # type: ignore[valid-type]  # a class of the case
    }[shape]
    value = other(1)

    with pytest.raises(EncodingError, match=TWIN[module]):
        adapter_for(annotation).encode([value] if shape == "items" else value)


def test_two_enums_of_one_name_are_told_apart_by_their_modules() -> None:
    def kinds() -> type[enum.Enum]:
        class Kind(enum.Enum):
            RED = 1

        return Kind

    declared, other = kinds(), kinds()
    declared.__module__, other.__module__ = "shop", "__main__"

    with pytest.raises(EncodingError, match=r"declared shop\..*Kind, got __main__\..*Kind"):
        adapter_for(declared).encode(other["RED"])
