"""Calls are bound, stored and shown by parameter name."""

from __future__ import annotations

import datetime as dt
import difflib
from dataclasses import dataclass, field
from enum import Enum
from typing import Union
from unittest import mock

import pytest

from outlast._codec import Bound, SignatureCodec
from outlast.errors import DecodingError, EncodingError, PayloadTooLarge, RegistrationError


@dataclass
class Item:
    name: str
    tags: list[str] = field(default_factory=list[str])


def plain(order: str, cents: int = 5) -> str:
    return f"{order}{cents}"


def rich(
    a: int, /, b: Item, *rest: float, at: dt.datetime | None = None, **extra: list[int]
) -> Item:
    del a, rest, at, extra
    return b


def keyword_only(*, a: int, b: int = 1) -> None:
    del a, b


def positional_only(a: int = 1, b: int = 2, /, c: int = 3) -> tuple[int, int, int]:
    return a, b, c


def untyped(a: object, b: object = None) -> object:
    return a, b


def unresolved(a: object) -> None:
    del a


# Set from here: linters and type checkers insist on annotations that resolve.
untyped.__annotations__.clear()
unresolved.__annotations__["a"] = "Missing"


def unsupported(a: int, lock: type) -> None:
    del a, lock


class Actor:
    def add(self, item: Item, count: int = 1) -> int:
        del item
        return count


PLAIN = SignatureCodec(plain)
RICH = SignatureCodec(rich)
NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("codec", "args", "kwargs"),
    [
        (PLAIN, ("7",), {}),
        (PLAIN, ("7", 3), {}),
        (PLAIN, (), {"cents": 3, "order": "7"}),
        (RICH, (1, Item("a")), {}),
        (RICH, (1, Item("a"), 0.5, 1.5), {"at": NOON, "x": [1], "y": []}),
        (RICH, (1,), {"b": Item("a"), "a": [3]}),
        (SignatureCodec(keyword_only), (), {"a": 1}),
        (SignatureCodec(positional_only), (4,), {"c": 5}),
        (SignatureCodec(Actor.add, is_method=True), (Item("a"),), {"count": 2}),
        (SignatureCodec(untyped), ({"k": (1, {2})},), {}),
    ],
)
def test_a_stored_call_reads_back_as_the_same_call(
    codec: SignatureCodec, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    bound = codec.bind(args, kwargs)

    again = codec.bind(*codec.decode(codec.encode(bound)))

    assert again == bound
    assert codec.digest(again) == codec.digest(bound)


def test_positional_and_keyword_calls_are_one_call() -> None:
    one, other = PLAIN.bind(("7", 3), {}), PLAIN.bind((), {"cents": 3, "order": "7"})

    assert PLAIN.encode(one) == PLAIN.encode(other)
    assert PLAIN.digest(one) == PLAIN.digest(other)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), (("a", 1, 2), {}), (("a",), {"x": 1}), (("a",), {"order": "b"})]
)
def test_a_wrong_call_is_a_type_error_that_names_the_function(
    args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    with pytest.raises(TypeError, match=r"^plain\(\): "):
        PLAIN.bind(args, kwargs)


def test_a_keyword_only_parameter_must_be_given() -> None:
    with pytest.raises(TypeError):
        SignatureCodec(keyword_only).bind((), {})


def test_an_argument_that_cannot_be_stored_is_named() -> None:
    broken = Item("a")
    vars(broken)["tags"] = [1]

    with pytest.raises(EncodingError, match=r"\$\.b\.tags\[0\]: declared str, got int"):
        RICH.encode(Bound((1, broken), {}))
    with pytest.raises(EncodingError, match=r"\$\.rest\[1\]"):
        RICH.encode(Bound((1, Item("a"), 1.0, "x"), {}))
    with pytest.raises(EncodingError, match=r"\$\.extra\.k\[0\]"):
        RICH.encode(Bound((1, Item("a")), {"k": ["x"]}))


def test_arguments_are_too_large_together() -> None:
    codec = SignatureCodec(untyped)

    with pytest.raises(PayloadTooLarge):
        codec.encode(Bound(("x" * 1_500_000, "y" * 1_500_000), {}))


def test_a_parameter_that_was_added_takes_its_default() -> None:
    def before(order: str) -> None:
        del order

    stored = SignatureCodec(before).encode(Bound(("7",), {}))

    assert PLAIN.decode(stored) == (("7",), {})


def test_a_stored_call_has_the_defaults_of_what_was_left_out() -> None:
    stored = SignatureCodec(plain, stores_defaults=True)

    assert stored.encode(Bound(("7",), {})) == PLAIN.encode(Bound(("7", 5), {}))
    assert stored.encode(Bound((), {"order": "7"})) == PLAIN.encode(Bound(("7", 5), {}))
    assert stored.to_json(PLAIN.encode(Bound(("7",), {}))) == {"order": "7", "cents": 5}


def test_a_call_stored_without_its_defaults_is_the_same_call() -> None:
    codec = SignatureCodec(plain, stores_defaults=True)
    old = PLAIN.encode(Bound(("7",), {}))

    assert codec.is_same_call(old, codec.encode(Bound(("7",), {})))
    assert not codec.is_same_call(old, codec.encode(Bound(("7", 6), {})))


def test_an_id_made_of_the_given_arguments_outlives_a_new_default() -> None:
    def before(order: str) -> None:
        del order

    def after(order: str, cents: int = 5) -> None:
        del order, cents

    old = SignatureCodec(before, stores_defaults=True).digest_given(Bound(("7",), {}))

    assert SignatureCodec(after, stores_defaults=True).digest_given(Bound(("7",), {})) == old


def test_each_call_reads_a_mutable_default_anew() -> None:
    shared: list[int] = []

    def listed(items: list[int] = shared) -> None:
        del items

    codec = SignatureCodec(listed, stores_defaults=True)
    for stored in (codec.encode(Bound((), {})), b"\x80"):
        (first,), _ = codec.decode(stored)

        assert first == []
        assert first is not shared


def test_a_default_of_another_type_is_refused_at_declaration() -> None:
    def wrong(cents: int = 5) -> None:
        del cents

    wrong.__defaults__ = (None,)

    with pytest.raises(RegistrationError, match=r"default of cents .*int \| None = None"):
        SignatureCodec(wrong, stores_defaults=True).check()
    SignatureCodec(wrong).check()


def test_a_gap_among_positional_only_parameters_is_filled_with_defaults() -> None:
    codec = SignatureCodec(positional_only)

    found = codec.from_json({"b": 7})

    assert found == Bound((1, 7), {})


def test_stored_arguments_that_no_longer_exist_are_an_error() -> None:
    stored = RICH.encode(Bound((1, Item("a")), {}))

    with pytest.raises(DecodingError, match="no longer accepts"):
        PLAIN.decode(stored)
    with pytest.raises(DecodingError, match="missing argument"):
        PLAIN.decode(b"\x80")
    for data in (b"", b"\x90", b"\x01", b"\x81\x01\x01"):
        with pytest.raises(DecodingError):
            PLAIN.decode(data)


def test_the_callee_shares_no_mutable_object_with_its_caller() -> None:
    item = Item("a", ["x"])

    (args, _), _ = RICH.isolate((1, item), {})
    item.tags.append("late")

    assert args == (1, Item("a", ["x"]))


def test_scalars_are_isolated_as_they_are() -> None:
    order = "order-" + "7" * 20

    (args, kwargs), _ = PLAIN.isolate((order, 3), {})

    assert args[0] is order
    assert kwargs == {}


def test_an_int_for_a_float_parameter_arrives_as_a_float() -> None:
    def half(x: float) -> float:
        return x / 2

    (args, _), _ = SignatureCodec(half).isolate((1,), {})

    assert type(args[0]) is float


def test_json_arguments_become_a_call() -> None:
    found = RICH.from_json(
        {"a": 1, "b": {"name": "x"}, "rest": [1, 2], "at": "2024-05-01T12:00:00Z", "k": [1]}
    )

    assert found == Bound((1, Item("x"), 1.0, 2.0), {"at": NOON, "k": [1]})


def test_stored_arguments_are_shown_by_name_and_can_be_given_again() -> None:
    bound = RICH.bind((1, Item("x"), 0.5), {"at": NOON, "k": [1]})

    shown = RICH.to_json(RICH.encode(bound))

    assert shown == {
        "a": 1,
        "b": {"name": "x", "tags": []},
        "rest": [0.5],
        "at": "2024-05-01T12:00:00+00:00",
        "k": [1],
    }
    assert RICH.from_json(shown) == bound


def test_every_wrong_argument_is_named_at_once() -> None:
    codec = SignatureCodec(Actor.add, is_method=True)

    with pytest.raises(DecodingError) as caught:
        codec.from_json({"itm": {}, "count": "x", "self": 1})

    message = str(caught.value)
    assert "$.itm: unknown argument; did you mean item?" in message
    assert "$.self: unknown argument" in message
    assert "$.count: declared int, got str" in message
    assert "$.item: missing argument" in message


def test_advice_is_looked_for_only_where_it_is_seen() -> None:
    codec = SignatureCodec(Actor.add, is_method=True)
    sought: list[object] = []

    def near(name: str, known: list[str], n: int) -> list[str]:
        sought.append(name)
        return []

    with (
        mock.patch.object(difflib, "get_close_matches", near),
        pytest.raises(DecodingError) as caught,
    ):
        codec.from_json({f"name{number}": 1 for number in range(1000)})

    assert len(caught.value.faults) == len(sought) == 20


def test_arguments_that_are_no_object_are_refused() -> None:
    given: list[object] = [[1], None, "x", 1]
    for data in given:
        with pytest.raises(DecodingError):
            PLAIN.from_json(data)


def test_text_arguments_are_read_as_json_unless_text_is_declared() -> None:
    assert PLAIN.from_strings({"order": "12", "cents": "3"}) == Bound(("12", 3), {})
    found = RICH.from_strings(
        {"a": "1", "b": '{"name": "x"}', "at": "2024-05-01T12:00:00Z", "k": "[1]"}
    )
    assert found == Bound((1, Item("x")), {"at": NOON, "k": [1]})
    assert SignatureCodec(untyped).from_strings({"a": "hello", "b": "[1"}).args == ("hello", "[1")

    def either(a: str | None, b: int | str = "") -> None:
        del a, b

    codec = SignatureCodec(either, localns=locals())
    assert codec.from_strings({"a": "null", "b": "7"}) == Bound((None, 7), {})
    assert codec.from_strings({"a": "7", "b": "x y"}) == Bound(("7", "x y"), {})
    with pytest.raises(DecodingError, match=r"\$\.cents: declared int"):
        PLAIN.from_strings({"order": "a", "cents": "many"})


def test_the_first_difference_of_two_calls_is_named() -> None:
    def stored(*args: object) -> bytes:
        return RICH.encode(RICH.bind(args, {}))

    one = stored(1, Item("a", ["x", "y"]))

    assert RICH.first_difference(one, stored(1, Item("a", ["x", "z"]))) == (
        '$.b.tags[1]: "y" is not "z"'
    )
    assert RICH.first_difference(one, stored(1, Item("a", ["x"]))) == (
        '$.b.tags[1]: "y" is not nothing'
    )
    long = stored(1, Item("a" * 100_000))
    assert len(RICH.first_difference(one, long)) < 300
    assert RICH.first_difference(one, PLAIN.encode(Bound(("7",), {}))).startswith("$.")
    assert "differ" in RICH.first_difference(one, one)


def test_names_are_resolved_on_first_use_and_early_on_request() -> None:
    codec = SignatureCodec(unresolved)

    with pytest.raises(RegistrationError, match="Missing"):
        codec.check()
    with pytest.raises(RegistrationError, match=r"unsupported\(\): lock: .*cannot be stored"):
        SignatureCodec(unsupported).check()


def test_local_classes_are_found_when_the_caller_gives_them() -> None:
    @dataclass
    class Local:
        x: int

    def uses(a: Local) -> Local:
        return a

    with pytest.raises(RegistrationError):
        SignatureCodec(uses).check()
    codec = SignatureCodec(uses, localns=locals())
    assert codec.decode(codec.encode(Bound((Local(1),), {}))) == ((Local(1),), {})
    assert codec.returns.encode(Local(1)) == b"\x81\xa1x\x01"


class Pace(Enum):
    SLOW = "slow"
    FAST = "fast"


def paced(pace: Pace = Pace.FAST, note: str | None = None) -> None:
    del pace, note


def test_the_schema_has_the_default_of_an_enum_as_it_is_given() -> None:
    schema = SignatureCodec(paced).schema()

    assert schema["properties"] == {
        "pace": {"enum": ["slow", "fast"], "title": "Pace", "default": "fast"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    }


def test_the_result_has_its_own_adapter() -> None:
    assert PLAIN.returns.roundtrip("x") == (b"\xa1x", "x")
    with pytest.raises(EncodingError):
        PLAIN.returns.encode(1)


Json = Union[dict[str, "Json"], list["Json"], str, None]  # noqa: UP007 - a run-time value


def recursive(data: Json) -> Json:
    return data


def test_an_alias_that_names_itself_is_a_type() -> None:
    codec = SignatureCodec(recursive)
    value: Json = {"a": ["x", {"b": None}]}

    assert codec.decode(codec.encode(Bound((value,), {}))) == ((value,), {})
    with pytest.raises(EncodingError):
        codec.encode(Bound(({"a": [1.5]},), {}))


def test_a_stored_keyword_argument_is_the_value_of_the_parameter_that_it_becomes() -> None:
    def before(a: int, **kw: int) -> None:
        del a, kw

    def after(a: int, x: int = 0, *, y: float = 0.5, **kw: int) -> None:
        del a, x, y, kw

    old, new = (SignatureCodec(f, stores_defaults=True) for f in (before, after))
    stored = old.encode(Bound((1,), {"x": 5, "y": 6, "z": 7}))

    assert new.decode(stored) == ((1, 5), {"y": 6.0, "z": 7})
    assert new.decode(old.encode(Bound((1,), {"x": 5}))) == ((1, 5), {"y": 0.5})
    assert new.is_same_call(stored, new.encode(Bound((1, 5), {"y": 6.0, "z": 7})))
    assert new.to_json(stored) == {"a": 1, "x": 5, "y": 6.0, "z": 7}


def test_a_stored_keyword_argument_that_does_not_fit_its_parameter_is_refused() -> None:
    def before(**kw: int) -> None:
        del kw

    def after(x: str = "", **kw: int) -> None:
        del x, kw

    stored = SignatureCodec(before, stores_defaults=True).encode(Bound((), {"x": 5}))

    with pytest.raises(
        DecodingError, match=r"\$\.x: declared str, got int\. .*when `\*\*` accepted"
    ):
        SignatureCodec(after, stores_defaults=True).decode(stored)


def test_an_argument_that_was_stored_by_position_and_by_name_is_refused() -> None:
    def before(a: int, /, **kw: int) -> None:
        del a, kw

    def after(a: int, **kw: int) -> None:
        del a, kw

    old = SignatureCodec(before, stores_defaults=True)
    stored = old.encode(Bound((1,), {"a": 2}))

    assert old.decode(stored) == ((1,), {"a": 2})
    with pytest.raises(DecodingError, match=r"\$\.a: stored twice"):
        SignatureCodec(after, stores_defaults=True).decode(stored)


def test_a_broken_list_or_object_on_a_command_line_is_said_to_be_no_json() -> None:
    async def listed(items: list[int]) -> None: ...

    with pytest.raises(DecodingError, match=r"^\$\.items: it is not JSON: "):
        SignatureCodec(listed).from_strings({"items": "[1, "})
    with pytest.raises(DecodingError, match=r"^\$\.items: declared list\[int\], got str"):
        SignatureCodec(listed).from_strings({"items": "one"})
