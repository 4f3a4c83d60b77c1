"""The upper bound of a request's input: text by its bytes, the rest by what was reported."""

from __future__ import annotations

import pytest
from pydantic_ai import (
    BinaryContent,
    DocumentUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import (
    ModelRequestPart,
    ModelResponsePart,
    RetryFeedbackPart,
    RetryInfo,
    UserContent,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from outlast.agents.budgets.estimates import Unbounded, input_tokens_at_most

LONG = "long " * 1_000
PDF = "application/pdf"


def bound(*messages: ModelMessage, parameters: ModelRequestParameters | None = None) -> int:
    return input_tokens_at_most(
        messages, parameters or ModelRequestParameters(), model="m", system="test"
    )


@pytest.mark.parametrize(
    "part",
    [
        SystemPromptPart(LONG),
        UserPromptPart(LONG),
        UserPromptPart([LONG]),
        ToolReturnPart("tool", LONG, "1"),
        RetryFeedbackPart(LONG, retry=RetryInfo(cause="model_retry")),
    ],
    ids=lambda part: type(part).__name__,
)
def test_what_is_sent_has_at_most_as_many_tokens_as_bytes(part: ModelRequestPart) -> None:
    assert 5_000 <= bound(ModelRequest(parts=[part])) < 5_400


@pytest.mark.parametrize(
    "part",
    [TextPart(LONG), ThinkingPart(LONG), ToolCallPart("tool", {"x": LONG}, "1")],
    ids=lambda part: type(part).__name__,
)
def test_earlier_responses_count_as_input(part: ModelResponsePart) -> None:
    assert 5_000 <= bound(ModelResponse(parts=[part])) < 5_400


def test_text_counts_in_bytes_and_not_in_characters() -> None:
    assert bound(ModelRequest(parts=[UserPromptPart("字" * 100)])) >= 300


def test_definitions_of_tools_are_counted() -> None:
    tool = ToolDefinition(name="tool", description=LONG)

    assert bound(parameters=ModelRequestParameters(function_tools=[tool])) >= 5_000


def test_what_a_response_has_reported_stands_for_all_before_it() -> None:
    first = ModelRequest(parts=[UserPromptPart(LONG)])
    used = RequestUsage(input_tokens=1_000, output_tokens=50)
    reported = ModelResponse(parts=[TextPart("ok")], usage=used, model_name="m")
    other = ModelResponse(parts=[TextPart("ok")], usage=used, model_name="another")
    last = ModelRequest(parts=[UserPromptPart("And?")])

    assert 1_050 < bound(first, reported, last) < 1_150
    assert bound(first, other, last) > 5_000


@pytest.mark.parametrize(
    "content",
    [
        DocumentUrl("https://example.org/a.pdf"),
        BinaryContent(b"%PDF", media_type="application/pdf"),
    ],
    ids=["url", "pdf"],
)
def test_a_file_of_unknown_size_has_no_bound(content: UserContent) -> None:
    with pytest.raises(Unbounded, match="content of type"):
        bound(ModelRequest(parts=[UserPromptPart(["Read this.", content])]))


def test_an_image_counts_as_the_dearest_image_of_any_provider() -> None:
    image = BinaryContent(b"\x89PNG", media_type="image/png")

    assert 40_000 < bound(ModelRequest(parts=[UserPromptPart([image])])) < 40_100
