"""An upper bound of the input tokens of a request.

A token stands for at least one byte, so a text has at most as many tokens as bytes in UTF-8. What a
response has reported is known better: the conversation up to it had its input and output tokens,
and only what came after it is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic_ai import (
    BinaryContent,
    ModelMessage,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import (
    CachePoint,
    FilePart,
    ModelRequestPart,
    ModelResponsePart,
    SpeechPart,
    TextContent,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_core import to_json

from outlast._engine.providers.limits import BYTES_PER_TOKEN, UNKNOWN_TOKENS
from outlast.agents.budgets.usage import reported_tokens

_REQUEST_TOKENS = 16  # what a provider's format adds to a request
PART_TOKENS = 16
"""What a provider's format adds to each part: roles, separators, names."""

_TOOLS_TOKENS = {"anthropic": 1_000, "bedrock": 1_000}  # a system prompt of its own about tools
_OUTPUT_TOKENS = 256  # instructions about the format of an output
_IMAGE_TOKENS = 40_000  # gpt-4o-mini counts the most for one: 36,835


class Unbounded(Exception):
    """Something in a request has no upper bound of tokens."""


def input_tokens_at_most(
    messages: Sequence[ModelMessage],
    parameters: ModelRequestParameters,
    *,
    model: str,
    system: str,
) -> int:
    """Return an upper bound of the input tokens of a request to a model of a provider.

    Raises:
        Unbounded: there is none.
    """
    known, new = _since_reported(messages, model)
    total = known + _REQUEST_TOKENS
    for message in new:
        for part in message.parts:
            total += PART_TOKENS + _tokens_of(part)
    # They may have changed since the last response.
    total += sum(_bytes(part.content) for part in parameters.instruction_parts or [])
    if not known:
        total += _definitions(parameters, system)
    return total


def input_tokens_about(
    messages: Sequence[ModelMessage],
    parameters: ModelRequestParameters,
    *,
    model: str,
    system: str,
) -> int:
    """Return how many input tokens a request is expected to have: more than most have."""
    known, _ = _since_reported(messages, model)
    try:
        most = input_tokens_at_most(messages, parameters, model=model, system=system)
    except Unbounded:
        return known + UNKNOWN_TOKENS
    return known + (most - known) // BYTES_PER_TOKEN


def _definitions(parameters: ModelRequestParameters, system: str) -> int:
    tools = [*parameters.function_tools, *parameters.output_tools]
    total = _TOOLS_TOKENS.get(system, 0) if tools else 0
    for tool in tools:
        schema = json.dumps(tool.parameters_json_schema)
        total += PART_TOKENS + _bytes(tool.name + (tool.description or "") + schema)
    output = parameters.output_object
    if output is not None:
        schema = json.dumps(output.json_schema)
        total += _OUTPUT_TOKENS + _bytes((output.name or "") + (output.description or "") + schema)
    return total


def _since_reported(
    messages: Sequence[ModelMessage], model: str
) -> tuple[int, Sequence[ModelMessage]]:
    """Return the tokens up to the last response of this model, and the messages after it."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, ModelResponse):
            used = reported_tokens(message)
            if message.model_name == model and used is not None and used.input:
                return used.input + used.output, messages[index + 1 :]
    return 0, messages


def _tokens_of(part: ModelRequestPart | ModelResponsePart) -> int:
    match part:
        case SystemPromptPart(content=text) | TextPart(content=text):
            return _bytes(text)
        case UserPromptPart(content=content):
            return _bytes(content) if isinstance(content, str) else sum(map(_content, content))
        case ToolReturnPart():
            files = sum(map(_content, part.files))
            return _bytes(part.tool_name) + _bytes(part.model_response_str()) + files
        case ToolCallPart():
            return _bytes(part.tool_name) + _bytes(part.args_as_json_str())
        case ThinkingPart():
            return _bytes(part.content) + _bytes(part.signature or "")
        case FilePart(content=content):
            return _content(content)
        case SpeechPart():
            raise Unbounded("speech")
        case _:
            # The others are text, and a dump of them is longer than what of it is sent.
            return len(to_json(part))


def _content(item: object) -> int:
    match item:
        case str():
            return PART_TOKENS + _bytes(item)
        case TextContent(content=text):
            return PART_TOKENS + _bytes(text)
        case CachePoint():
            return 0
        case BinaryContent() if item.is_image:
            return _IMAGE_TOKENS
        case BinaryContent() if item.media_type.startswith("text/"):
            return PART_TOKENS + len(item.data)
        case _:
            raise Unbounded(f"content of type {type(item).__name__}")


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
