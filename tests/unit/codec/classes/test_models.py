"""Pydantic models are payload: stored by field, read from outside by pydantic's own rules."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Generic, TypeVar

import pydantic
import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from outlast._codec import adapter_for
from outlast.errors import DecodingError, EncodingError

T = TypeVar("T")


class Inner(BaseModel):
    x: int
    tags: set[str] = set()


class Model(BaseModel):
    id: int = Field(ge=0)
    price: Decimal
    at: dt.datetime
    data: bytes = b""
    inner: Inner | None = None
    url: AnyUrl | None = None
    either: Inner | list[Inner] | str = ""
    short: Annotated[str, Field(max_length=3)] = "abc"


class Doubling(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def double(cls, value: int) -> int:
        return value * 2


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int = 0
    _note: str = PrivateAttr(default="-")

    def with_note(self, note: str) -> Open:
        self._note = note
        return self


class Aliased(BaseModel):
    long_name: str = Field(alias="longName")


class Page(BaseModel, Generic[T]):
    items: list[T]


class Secretive(BaseModel):
    password: SecretStr


class Node(BaseModel):
    value: int
    next: Node | None = None


@pydantic_dataclass
class Checked:
    n: int = pydantic.Field(ge=0)


NAIVE = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - what must be refused
NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
FULL = Model(
    id=1,
    price=Decimal("1.10"),
    at=NOON,
    data=b"\xff",
    inner=Inner(x=1, tags={"a"}),
    url=AnyUrl("https://example.com/a"),
    either=[Inner(x=2)],
)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Model, FULL),
        (Model | Inner, FULL),
        (list[Inner], [Inner(x=1)]),
        (Doubling, Doubling(x=2)),
        (Open, Open.model_validate({"x": 1, "extra": [1, (2,)]}).with_note("n")),
        (Aliased, Aliased(longName="a")),
        (Page[Inner], Page[Inner](items=[Inner(x=1)])),
        (Node, Node(value=1, next=Node(value=2))),
        (Checked, Checked(n=1)),
    ],
)
def test_a_model_reads_back_equal(annotation: object, value: object) -> None:
    data, again = adapter_for(annotation).roundtrip(value)

    assert again == value
    assert type(again) is type(value)
    assert adapter_for(annotation).decode(data) == value
    assert adapter_for(annotation).digest(again) == adapter_for(annotation).digest(value)


def test_the_set_of_given_fields_is_kept() -> None:
    again = adapter_for(Inner).decode(adapter_for(Inner).encode(Inner(x=1)))

    assert isinstance(again, Inner)
    assert again.model_fields_set == {"x"}
    again.x = 5
    assert again.model_copy() == again


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Model, FULL.model_copy(update={"price": "x"}), r"\$\.price: declared Decimal"),
        (Model, FULL.model_copy(update={"at": NAIVE}), r"\$\.at: .*zone"),
        (Secretive, Secretive(password=SecretStr("x")), r"\$\.password: .*decode to the same"),
        (object, Inner(x=1), "annotate"),
    ],
)
def test_a_model_that_would_not_read_back_is_refused(
    annotation: object, value: object, message: str
) -> None:
    with pytest.raises(EncodingError, match=message):
        adapter_for(annotation).encode(value)


def test_json_is_validated_by_the_model() -> None:
    data = {"id": 1, "price": "1.10", "at": "2024-05-01T12:00:00Z", "inner": {"x": "3"}}

    found = adapter_for(Model).from_json(data)

    assert found == Model(id=1, price=Decimal("1.10"), at=NOON, inner=Inner(x=3))
    assert adapter_for(Aliased).from_json({"longName": "a"}) == Aliased(longName="a")


def test_every_fault_of_the_model_keeps_its_path() -> None:
    data = {"id": -1, "at": "2024-05-01T12:00:00Z", "inner": {"x": "no"}}

    with pytest.raises(DecodingError) as caught:
        adapter_for(list[Model]).from_json([data])

    for path in ("$[0].id:", "$[0].price:", "$[0].inner.x:"):
        assert path in str(caught.value)


def test_what_the_model_accepts_but_cannot_be_stored_is_refused() -> None:
    data = {"id": 1, "price": "1", "at": "2024-05-01T12:00:00"}

    with pytest.raises(DecodingError, match=r"\$\.at: .*zone"):
        adapter_for(Model).from_json(data)


def test_a_pydantic_dataclass_is_validated_by_pydantic() -> None:
    assert adapter_for(Checked).from_json({"n": "2"}) == Checked(n=2)
    with pytest.raises(DecodingError, match=r"\$\.n"):
        adapter_for(Checked).from_json({"n": -1})


def test_a_model_is_shown_as_pydantic_shows_it() -> None:
    assert adapter_for(Aliased).to_json(Aliased(longName="a")) == {"longName": "a"}
    # Bytes that are no UTF-8 make pydantic's own dump fail.
    assert isinstance(adapter_for(Model).to_json(FULL), dict)


class Extras(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int = 0


class NowDeclared(BaseModel):
    """`Extras`, with some of its extras as fields."""

    model_config = ConfigDict(extra="allow")
    x: int = 0
    at: dt.date = dt.date(2000, 1, 1)
    count: int = Field(default=0, alias="n")
    inner: list[Decimal] = []


OPEN_EXTRAS: dict[str, object] = {
    "at": dt.date(2024, 5, 1),
    "n": 7,
    "inner": [Decimal("0.10")],
    "still": {"k": (1, 2)},
}


def test_a_stored_extra_is_the_value_of_the_field_that_it_becomes() -> None:
    stored = adapter_for(Extras).encode(Extras.model_validate({"x": 1, **OPEN_EXTRAS}))
    read = adapter_for(NowDeclared).decode(stored)

    assert isinstance(read, NowDeclared)
    assert (read.at, read.count, read.inner) == (dt.date(2024, 5, 1), 7, [Decimal("0.10")])
    assert read.model_extra == {"still": {"k": (1, 2)}}
    assert adapter_for(NowDeclared).decode(adapter_for(NowDeclared).encode(read)) == read


def test_a_stored_extra_becomes_a_field_of_a_class_that_takes_no_more_extras() -> None:
    class Closed(BaseModel):
        x: int = 0
        n: int

    stored = adapter_for(Extras).encode(Extras.model_validate({"x": 1, "n": 2}))

    assert adapter_for(Closed).decode(stored) == Closed(x=1, n=2)


@pytest.mark.parametrize("stored", ["7", 7.5, None, {"n": 7}])
def test_a_stored_extra_that_does_not_fit_its_field_is_refused(stored: object) -> None:
    data = adapter_for(Extras).encode(Extras.model_validate({"x": 1, "n": stored}))

    with pytest.raises(DecodingError, match=r"\$\.count: .*an extra field of NowDeclared"):
        adapter_for(NowDeclared).decode(data)


def test_an_extra_of_the_name_of_a_field_that_has_an_alias_stays_beside_it() -> None:
    both = NowDeclared.model_validate({"n": 1, "count": 2})
    read = adapter_for(NowDeclared).decode(adapter_for(NowDeclared).encode(both))

    assert isinstance(read, NowDeclared)
    assert (read.count, read.model_extra) == (both.count, both.model_extra) == (1, {"count": 2})


@pydantic_dataclass(config=ConfigDict(extra="allow"))
class OpenData:
    a: int


def open_data(**given: object) -> OpenData:
    return pydantic.TypeAdapter(OpenData).validate_python(given)


def test_extras_of_a_pydantic_dataclass_are_stored() -> None:
    value = open_data(a=1, note="x", more=[1, 2])
    read = adapter_for(OpenData).decode(adapter_for(OpenData).encode(value))

    assert vars(read) == vars(value) == {"a": 1, "note": "x", "more": [1, 2]}
    assert adapter_for(OpenData).digest(value) != adapter_for(OpenData).digest(OpenData(a=1))


def test_an_extra_of_a_pydantic_dataclass_may_become_a_field() -> None:
    @pydantic_dataclass
    class Declared:
        a: int
        note: str = ""

    stored = adapter_for(OpenData).encode(open_data(a=1, note="x"))

    assert adapter_for(Declared).decode(stored) == Declared(a=1, note="x")
    with pytest.raises(DecodingError, match=r"Declared has a field .* not have: more"):
        adapter_for(Declared).decode(adapter_for(OpenData).encode(open_data(a=1, more=1)))
