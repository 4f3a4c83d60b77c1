"""Standard classes beyond the plain ones, and constraints of `Annotated`."""

from __future__ import annotations

import collections
import ipaddress
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

import annotated_types as at
import msgspec
import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from outlast._codec import SignatureCodec, adapter_for
from outlast.errors import DecodingError, EncodingError, RegistrationError
from tests.unit.codec.samples import Item

VALUES: list[tuple[object, object]] = [
    (deque[int], deque([1, 2])),
    (deque[int], deque([1, 2], maxlen=2)),
    (deque, deque()),
    (Counter[str], Counter("abca")),
    (OrderedDict[str, int], OrderedDict([("b", 1), ("a", 2)])),
    (OrderedDict[Item, int] | None, None),
    (defaultdict[str, int], defaultdict(int, {"a": 1})),
    (defaultdict[str, list[int]], defaultdict(list, {"a": [1]})),
    (defaultdict[str, Item], defaultdict(None, {"a": Item("a")})),
    (deque[int] | list[int], deque([1])),
    (Fraction, Fraction(-1, 3)),
    (complex, complex(-0.0, 2.5)),
    (ipaddress.IPv4Address, ipaddress.IPv4Address("10.0.0.1")),
    (ipaddress.IPv4Interface, ipaddress.IPv4Interface("10.0.0.1/8")),
    (ipaddress.IPv4Network, ipaddress.IPv4Network("10.0.0.0/8")),
    (ipaddress.IPv6Address, ipaddress.IPv6Address("fe80::1%eth0")),
    (ipaddress.IPv6Interface, ipaddress.IPv6Interface("::1/64")),
    (ipaddress.IPv6Network, ipaddress.IPv6Network("2001:db8::/32")),
    (object, [Fraction(1, 2), 1j, ipaddress.IPv4Address(1)]),
    (dict[Fraction, complex], {Fraction(1, 2): 1j}),
    (ipaddress.IPv4Address | ipaddress.IPv6Address, ipaddress.IPv6Address(1)),
]


@pytest.mark.parametrize(("annotation", "value"), VALUES)
def test_it_reads_back_equal_and_of_the_same_type(annotation: object, value: object) -> None:
    adapter = adapter_for(annotation)

    again = adapter.decode(adapter.encode(value))

    assert again == value
    assert type(again) is type(value)
    assert f"{again!r}" == f"{value!r}"
    assert adapter.digest(again) == adapter.digest(value)
    msgspec.json.encode(adapter.to_json(value))


EQUAL: list[tuple[object, object, object]] = [
    (deque[int], deque([1]), deque([1], 5)),
    (Counter[str], Counter(a=1, b=0), Counter(a=1)),
    (defaultdict[str, int], defaultdict[str, int](int), defaultdict[str, int](None)),
    (complex, complex(0.0, 1), complex(-0.0, 1)),
]


@pytest.mark.parametrize(("annotation", "one", "other"), EQUAL)
def test_equal_values_have_one_digest(annotation: object, one: object, other: object) -> None:
    assert one == other
    assert adapter_for(annotation).digest(one) == adapter_for(annotation).digest(other)


def test_ordered_dicts_of_another_order_are_not_equal() -> None:
    adapter = adapter_for(OrderedDict[str, int])
    one = OrderedDict([("a", 1), ("b", 2)])
    other = OrderedDict([("b", 2), ("a", 1)])

    assert adapter.digest(one) != adapter.digest(other)


def test_a_default_factory_that_cannot_come_back_is_refused_with_advice() -> None:
    def two() -> int:
        return 2

    with pytest.raises(EncodingError, match=r"None or int: .*setdefault"):
        adapter_for(defaultdict[str, int]).encode(defaultdict[str, int](two))


# ---- constraints -----------------------------------------------------------------------------

Positive = Annotated[int, Field(gt=0)]


@dataclass
class Line:
    count: Annotated[int, at.Ge(1)]


class Point(msgspec.Struct):
    x: Annotated[int, msgspec.Meta(le=9)]


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Positive, 1, -3),
        (list[Positive], [1], [-3]),
        (dict[str, Positive], {"a": 1}, {"a": -3}),
        (Positive | None, 1, -3),
        (Annotated[int, msgspec.Meta(gt=0)], 1, -3),
        (Annotated[int, at.Interval(gt=0, lt=5)], 1, 5),
        (Annotated[int, at.MultipleOf(5)], 10, 11),
        (Annotated[float, Field(ge=0.5)], 1.0, 0.25),
        (Annotated[str, at.Len(1, 2)], "a", "aaa"),
        (Annotated[str, msgspec.Meta(pattern="^a")], "ab", "ba"),
        (Annotated[str, StringConstraints(pattern="^a")], "ab", "ba"),
        (Annotated[list[int], Field(max_length=1)], [1], [1, 2]),
        (Annotated[int, at.Predicate(bool)], 1, 0),
        (Annotated[str, AfterValidator(str.upper)], "A", "a"),
        (Line, Line(1), Line(0)),
        (Point, Point(9), Point(10)),
    ],
)
def test_a_constraint_holds_wherever_a_value_enters(
    annotation: object, good: object, bad: object
) -> None:
    adapter = adapter_for(annotation)

    assert adapter.decode(adapter.encode(good)) == good
    with pytest.raises(EncodingError):
        adapter.encode(bad)
    with pytest.raises(DecodingError):
        adapter.from_json(msgspec.to_builtins(bad))


def test_a_constraint_holds_at_a_parameter_and_names_it() -> None:
    def order(count: Positive) -> None: ...

    signature = SignatureCodec(order)

    with pytest.raises(EncodingError, match=r"\$\.count: violates .* gt 0"):
        signature.isolate((-3,), {})
    with pytest.raises(DecodingError, match=r"\$\.count: violates .* gt 0"):
        signature.from_json({"count": -3})


def test_what_was_stored_before_a_constraint_became_stricter_is_read() -> None:
    assert adapter_for(Positive).decode(adapter_for(int).encode(-3)) == -3


def test_annotations_whose_constraints_differ_share_no_codec() -> None:
    for limit in (1, 5, True):
        adapter = adapter_for(list[Annotated[int, at.Gt(limit)]])
        with pytest.raises(EncodingError):
            adapter.encode([int(limit)])
        assert adapter.decode(adapter.encode([limit + 1])) == [limit + 1]


def test_a_constraint_that_is_not_known_is_refused_when_it_is_declared() -> None:
    class Odd(at.BaseMetadata):
        pass

    with pytest.raises(RegistrationError, match="would not be enforced"):
        adapter_for(Annotated[int, Odd()])
    assert adapter_for(Annotated[int, "words", at.doc("an int")]).encode(1)


class Parsed(BaseModel):
    words: list[Annotated[str, BeforeValidator(lambda text: f"{text}!")]]


def test_a_model_is_stored_although_its_validators_refuse_their_own_results() -> None:
    model = Parsed.model_validate({"words": ["a"]})
    adapter = adapter_for(Parsed)

    assert adapter.decode(adapter.encode(model)) == model
    assert collections.Counter(model.words) == {"a!": 1}
