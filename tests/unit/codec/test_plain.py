"""What is nothing but JSON data is recognized, and nothing else is."""

from __future__ import annotations

import pytest

from outlast._codec import adapter_for
from outlast._codec.plain import plain_size
from outlast.errors import EncodingError, PayloadTooLarge
from outlast.limits import DEPTH_MAX


class Text(str):
    __slots__ = ()


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


PLAIN: list[object] = [
    [], {}, [1, "a", None, True, 0.5], {"a": {"b": [[], {}]}}, [2**64 - 1, -(2**63)], ["é", "😀"],
    nested(DEPTH_MAX),
]  # fmt: skip
OTHER: list[object] = [
    (1,), [(1,)], {"a": {1}}, {1: 2}, {"a": b"x"}, [Text("x")], {Text("x"): 1}, [2**64],
    [-(2**63) - 1], [float("nan")], [float("inf")], ["\ud800"], {"\ud800": 1}, [object()],
    nested(DEPTH_MAX + 1),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN)
def test_plain_data_is_recognized_and_reads_back(value: object) -> None:
    assert plain_size(value, DEPTH_MAX) is not None
    adapter = adapter_for(object)
    assert adapter.decode(adapter.encode(value)) == value


@pytest.mark.parametrize("value", OTHER)
def test_other_data_is_not_plain(value: object) -> None:
    assert plain_size(value, DEPTH_MAX) is None


def test_the_size_is_no_more_than_that_of_the_encoded_value() -> None:
    adapter = adapter_for(object)
    for value in PLAIN:
        size = plain_size(value, DEPTH_MAX)
        assert size is not None
        assert size <= len(adapter.encode(value))


def test_what_holds_itself_many_times_is_refused_soon() -> None:
    value: object = "x" * 10
    for _ in range(60):
        value = [value, value]
    with pytest.raises((PayloadTooLarge, EncodingError)):
        adapter_for(object).encode(value)


@pytest.mark.parametrize("value", [*PLAIN, (1,), {"a": {1}}, "x", 1, None])
def test_the_stored_form_is_that_of_a_round_trip(value: object) -> None:
    adapter = adapter_for(object)
    assert adapter.stored(value) == adapter.roundtrip(value)[0] == adapter.encode(value)


@pytest.mark.parametrize("value", [["x" * (3 << 20)], [object()]])
def test_what_cannot_be_stored_is_refused(value: object) -> None:
    with pytest.raises(EncodingError):
        adapter_for(object).stored(value)
