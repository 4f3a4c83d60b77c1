"""Types that pydantic declares, with parts that only it can store, are stored by it as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from pydantic import AnyUrl, Discriminator, Field
from pydantic_ai import AgentStreamEvent, DeferredToolResults, ModelMessage, ToolDenied
from pydantic_ai.messages import (
    BinaryContent,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    TextPart,
    TextPartDelta,
    ToolReturnPart,
    UserPromptPart,
)

from outlast._codec import adapter_for
from outlast.errors import DecodingError, EncodingError, RegistrationError


@dataclass
class Page:
    url: AnyUrl
    kind: Literal["page"] = "page"


@dataclass
class Page2:
    url: str
    kind: Literal["page"] = "page"


@dataclass
class Note:
    text: object
    kind: Literal["note"] = "note"


@dataclass
class Hook:
    run: Callable[[], None]


@dataclass
class Shelf:
    items: list[Annotated[Page | Note, Discriminator("kind")]]
    size: Annotated[int, Field(ge=0)] = 0


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Annotated[Page | Note, Discriminator("kind")], Page(AnyUrl("https://example.org/"))),
        (Annotated[Page | Note, Discriminator("kind")], Note({"a": [1, 2.5, None]})),
        (Shelf, Shelf([Note("x"), Page(AnyUrl("https://example.org/"))], 2)),
        (dict[str, Shelf], {"a": Shelf([])}),
        (
            list[ModelMessage],
            [
                ModelRequest(
                    parts=[UserPromptPart("hi"), ToolReturnPart("t", {"a": [1]}, "call_1")]
                ),
                ModelResponse(parts=[TextPart("done")]),
            ],
        ),
        (AgentStreamEvent, PartDeltaEvent(index=0, delta=TextPartDelta("word"))),
        (
            DeferredToolResults,
            DeferredToolResults(calls={"a": 1}, approvals={"b": True, "c": ToolDenied("no")}),
        ),
    ],
)
def test_a_type_that_pydantic_declares_reads_back_equal(declared: object, value: object) -> None:
    adapter = adapter_for(declared)

    again = adapter.decode(adapter.encode(value))

    assert again == value
    assert type(again) is type(value)
    assert adapter.from_json(adapter.to_json(value)) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Note((1, 2)), r"\.text: a tuple does not decode to the same value, but to a list"),
        (Note([1, (2,)]), r"\.text\[1\]: a tuple does not decode to the same value"),
        (Note(b"\xff"), r"pydantic cannot serialize it"),
        (Note(object()), r"pydantic cannot serialize it"),
    ],
)
def test_what_pydantic_would_read_as_another_value_is_refused(value: Note, reason: str) -> None:
    adapter = adapter_for(Annotated[Page | Note, Discriminator("kind")])

    with pytest.raises(EncodingError, match=reason):
        adapter.encode(value)


def test_what_pydantic_narrows_to_a_subclass_with_the_same_fields_is_stored() -> None:
    image = BinaryContent(b"x", media_type="image/png")  # pydantic-ai reads a BinaryImage
    messages = [ModelRequest(parts=[UserPromptPart(["see", image])])]
    adapter = adapter_for(list[ModelMessage])

    again = adapter.decode(adapter.encode(messages))

    assert "BinaryImage(data=b'x', media_type='image/png'" in f"{again}"


def test_a_field_that_pydantic_stores_leaves_the_others_as_they_were() -> None:
    @dataclass
    class Before:
        items: list[Annotated[Note | Page2, Discriminator("kind")]]
        more: int = 0

    @dataclass
    class After:
        items: list[Annotated[Note | Page2, Discriminator("kind")]]
        more: int = 0
        said: list[ModelMessage] = field(default_factory=list[ModelMessage])

    stored = adapter_for(Before).encode(Before([Note((1, 2)), Page2("x")], 3))

    assert adapter_for(After).decode(stored) == After([Note((1, 2)), Page2("x")], 3)


@pytest.mark.parametrize("data", [{"kind": "page", "url": 3}, {"kind": "other"}, "page", None])
def test_json_that_pydantic_rejects_is_refused(data: object) -> None:
    adapter = adapter_for(Annotated[Page | Note, Discriminator("kind")])

    with pytest.raises(DecodingError):
        adapter.from_json(data)


def test_a_function_is_still_no_value() -> None:
    with pytest.raises(RegistrationError, match="Callable is not a type that can be stored"):
        adapter_for(Hook)
    with pytest.raises(RegistrationError, match="AnyUrl is not a type that can be stored"):
        adapter_for(Page)


def test_the_form_of_a_type_does_not_depend_on_what_was_declared_before() -> None:
    shelf = Shelf([Page(AnyUrl("https://example.org/"))])

    alone = adapter_for(Shelf).encode(shelf)
    after = adapter_for(tuple[Annotated[Page | Note, Discriminator("kind")], Shelf])

    assert adapter_for(Shelf).decode(alone) == shelf
    assert after.encode((Note("x"), shelf)).endswith(alone)
