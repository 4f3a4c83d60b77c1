"""What came of an agent's run, read from the journal: what it cost, did and answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter
from pydantic_ai import ModelResponse, TextPart, ToolCallPart

from outlast._engine.reading.records import Record
from outlast.testing.models.journals import agent_steps, response_in

_response: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)


@dataclass(frozen=True, slots=True)
class AgentOutcome:
    """What came of one run of an agent, so far.

    Attributes:
        requests: how many responses its model gave.
        input_tokens, output_tokens: their usage.
        tools: the tools that it called, in order, each as `name(arguments)`.
        answer: what the last response said: its text, or else its calls.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    tools: tuple[str, ...]
    answer: str


def outcome_of(journal: Iterable[Record], agent_run: str) -> AgentOutcome:
    """Return what came of one run of an agent."""
    said: list[ModelResponse] = []
    for step in agent_steps(journal):
        if (step.place.run, step.place.call) == (agent_run, "") and _has_ended(step.record):
            data: Mapping[str, object] = response_in(step)
            said.append(_response.validate_python(dict(data)))
    calls = [
        f"{part.tool_name}({part.args_as_json_str()})"
        for response in said
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    return AgentOutcome(
        requests=len(said),
        input_tokens=sum(response.usage.input_tokens for response in said),
        output_tokens=sum(response.usage.output_tokens for response in said),
        tools=tuple(calls),
        answer=_answer_in(said[-1]) if said else "",
    )


def _has_ended(record: Record) -> bool:
    return record.kind == "step_done" and record.error is None


def _answer_in(response: ModelResponse) -> str:
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    calls = [
        f"{part.tool_name}({part.args_as_json_str()})"
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    return "".join(texts) or ", ".join(calls)
