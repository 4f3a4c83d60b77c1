from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest

from outlast import workflow
from outlast._codec import Bound
from outlast.cli.inputs import arguments_of, data_of_pairs, input_by_schema, json_of, seconds_option
from outlast.errors import DecodingError, UsageError


class Size(Enum):
    SMALL = "1"
    LARGE = "2"


@dataclass
class Box:
    size: Size
    inner: Box | None = None


@workflow
async def pack(
    text: str = "",
    count: int = 0,
    weight: float = 0.0,
    price: Decimal = Decimal(0),
    is_gift: bool = False,
    at: datetime | None = None,
    size: Size = Size.SMALL,
    grade: Literal["1", 2] = "1",
    either: int | str = 0,
    maybe: str | None = None,
    box: Box | None = None,
    tags: list[str] | None = None,
    stock: dict[str, int] | None = None,
    data: bytes = b"",
    file: Path = Path(),
    free: object = None,
) -> None: ...


TEXTS = (
    *("5", "5.0", "true", "null", '"5"', "a b", "1", "2", "", "nul", "[1]", '["a"]', "{}"),
    *('{"a": 1}', '{"size": "1"}', '{"size": "1", "inner": {"size": "2"}}', '{"size": 1}'),
    *("2024-05-01T12:00:00Z", '"2024-05-01T12:00:00Z"', "2024", "1e3", "NaN", "aGk=", "SMALL"),
)


@workflow
async def ship(order: str, weight: float, tags: list[str] | None = None) -> None: ...


def test_json_is_given_as_text_as_a_file_or_on_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input.json").write_text('{"a": 1}')
    monkeypatch.setattr("sys.stdin", io.StringIO("[2]"))

    assert json_of('"x"', "it") == "x"
    assert json_of(f"@{tmp_path}/input.json", "it") == {"a": 1}
    assert json_of("-", "it") == [2]


@pytest.mark.parametrize("text", ["", "{", "NaN", "-Infinity", "[" * 100_000, "nul"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the value is not JSON"):
        json_of(text, "the value")


@pytest.mark.parametrize("name", list(pack.definition.signature.signature.parameters))
@pytest.mark.parametrize("text", TEXTS)
def test_a_server_is_sent_what_the_code_would_read(name: str, text: str) -> None:
    signature = pack.definition.signature
    here: Bound | None = None
    there: Bound | None = None
    try:
        here = arguments_of(pack.definition, [f"{name}={text}"], None)
    except UsageError:
        pass
    sent = input_by_schema(signature.schema(), [f"{name}={text}"])
    try:
        there = signature.from_json(sent)
    except DecodingError:
        pass

    assert there == here


def test_what_a_schema_does_not_know_is_sent_as_it_is() -> None:
    assert input_by_schema({}, ["a=1", "b=x", 'c="1"']) == {"a": 1, "b": "x", "c": "1"}


def test_a_text_without_quotes_gets_a_hint() -> None:
    with pytest.raises(UsageError, match="put a string in quotes: '\"yes\"'"):
        json_of("yes", "the value")


@pytest.mark.parametrize(("name", "words"), [("none.json", "No such file"), ("bad", "not UTF-8")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\xfe")

    with pytest.raises(UsageError, match=words):
        json_of(f"@{tmp_path / name}", "the value")


def test_pairs_are_read_by_the_parameters_types() -> None:
    bound = arguments_of(ship.definition, ["order=7", "weight=2.5", 'tags=["a"]'], None)

    assert ship.definition.signature.bind(bound.args, bound.kwargs).args == ("7", 2.5, ["a"])


def test_every_fault_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        arguments_of(ship.definition, ["weight=heavy", "colour=red"], None)

    for word in ("order", "weight", "colour", "ship("):
        assert word in f"{caught.value}"


@pytest.mark.parametrize(
    ("pairs", "given", "words"),
    [
        (["order"], None, "not key=value"),
        (["=x"], None, "not key=value"),
        (["order=1", "order=2"], None, "twice"),
        (["order=1"], "{}", "not both"),
        ([], "[1]", "object of names and values"),
    ],
)
def test_input_of_another_form_is_refused(pairs: list[str], given: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        arguments_of(ship.definition, pairs, given)


def test_an_object_with_a_name_given_twice_is_refused() -> None:
    twice = 'stock={"a": 1, "b": 2, "a": 3}'

    with pytest.raises(UsageError, match="'a' appears twice"):
        arguments_of(pack.definition, [twice], None)
    with pytest.raises(UsageError, match=r"stock: .*'a' appears twice"):
        input_by_schema(pack.definition.signature.schema(), [twice])
    with pytest.raises(UsageError, match=r"stock: .*'a' appears twice"):
        data_of_pairs([twice])
    assert arguments_of(pack.definition, ['text={"a": 1, "a": 2}'], None).args == (
        '{"a": 1, "a": 2}',
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), ("0.5", 0.5), ("30s", 30.0), ("2m", 120)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_option("--grace", text) == seconds


@pytest.mark.parametrize("text", ["soon", "", "-5s", "1x"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--grace"):
        seconds_option("--grace", text)


@workflow
async def greets(name: str, *, scores: dict[str, list[int]] | None = None) -> str:
    """Have annotations that are text."""
    return f"{name} {scores}"


def test_the_signature_in_an_error_is_as_the_program_has_it() -> None:
    with pytest.raises(UsageError) as refused:
        arguments_of(greets.definition, [], None)

    first = f"{refused.value}".splitlines()[0]
    written = "greets(name: str, *, scores: dict[str, list[int]] | None = None) -> str"
    assert first == f"the input does not fit {written}"
