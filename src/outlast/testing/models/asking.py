"""What pydantic-ai asks of a scripted model, as the script sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic_ai import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequestPart, TextContent, UserContent
from pydantic_ai.models import ModelRequestParameters

from outlast.testing.models.replies import tokens_of
from outlast.testing.models.turns import Asked, ToolResult


def turn_of(messages: Iterable[ModelMessage]) -> int:
    """Return which response of the conversation comes next, from 1 on."""
    return 1 + sum(isinstance(message, ModelResponse) for message in messages)


def asked_by(
    messages: Sequence[ModelMessage],
    parameters: ModelRequestParameters,
    *,
    attempt: int,
    is_streamed: bool,
) -> Asked:
    """Return a request as the script sees it."""
    offered = [*parameters.declared_function_tools, *parameters.output_tools]
    parts = [part for m in messages if isinstance(m, ModelRequest) for part in m.parts]
    prompts = [_text_of(part.content) for part in parts if isinstance(part, UserPromptPart)]
    systems = [part.content for part in parts if isinstance(part, SystemPromptPart)]
    return Asked(
        turn=turn_of(messages),
        attempt=attempt,
        prompt=prompts[-1] if prompts else "",
        results=tuple(_results_since(messages)),
        tools=tuple(tool.name for tool in offered),
        instructions="\n\n".join([*systems, *_instructions_in(parameters)]),
        input_tokens=sum(len(tokens_of(text)) for text in texts_in(messages, parameters)),
        is_streamed=is_streamed,
    )


def texts_in(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[str]:
    """Return all that a request says, without the times and ids that differ from run to run."""
    texts = _instructions_in(parameters)
    for message in messages:
        for part in message.parts:
            match part:
                case TextPart(content=text) | SystemPromptPart(content=text):
                    texts.append(text)
                case UserPromptPart(content=content):
                    texts.append(_text_of(content))
                case ToolCallPart():
                    texts += [part.tool_name, part.args_as_json_str()]
                case ToolReturnPart():
                    texts.append(part.model_response_str())
                case _:
                    pass  # images and the like have no words
    return texts


def _instructions_in(parameters: ModelRequestParameters) -> list[str]:
    return [part.content for part in parameters.instruction_parts or []]


def _results_since(messages: Sequence[ModelMessage]) -> list[ToolResult]:
    """Return what tools gave since the last response."""
    parts: list[ModelRequestPart] = []
    for message in messages:
        if isinstance(message, ModelResponse):
            parts = []
        else:
            parts += message.parts
    return [_result_of(part) for part in parts if isinstance(part, ToolReturnPart)]


def _result_of(part: ToolReturnPart) -> ToolResult:
    return ToolResult(part.tool_name, part.tool_call_id, part.model_response_str())


def _text_of(content: str | Sequence[UserContent]) -> str:
    if isinstance(content, str):
        return content
    pieces = [item.content if isinstance(item, TextContent) else item for item in content]
    return " ".join(piece for piece in pieces if isinstance(piece, str))
