"""An agent that one can talk to, whose model says what the last text asks for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from pydantic_ai import Agent, ModelMessage, ModelRequest, ModelResponse
from pydantic_ai.messages import TextPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from outlast import ActorRef, Engine
from outlast.agents import AgentActor, Durability, Entry, conversation_entries, effect

told: list[list[str]] = []
"""What the model was told, request by request."""

effects: Counter[str] = Counter()
gates: dict[str, asyncio.Event] = {}
begun: dict[str, asyncio.Event] = {}


def expect(*names: str) -> None:
    """Make the gates at which words and tools of these names wait."""
    told.clear()
    effects.clear()
    gates.clear()
    begun.clear()
    for name in names:
        gates[name], begun[name] = asyncio.Event(), asyncio.Event()


async def passes(name: str) -> None:
    if name in gates:
        begun[name].set()
        await gates[name].wait()


def texts_of(messages: Sequence[ModelMessage]) -> list[str]:
    """Return a conversation as lines."""
    lines: list[str] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                content = part.content
                items = [content] if isinstance(content, str) else [f"{one}" for one in content]
                lines.append(f"user: {' '.join(items)}")
            elif isinstance(part, ToolReturnPart):
                lines.append(f"{part.tool_name}: {part.content}")
            elif isinstance(part, TextPart):
                lines.append(f"agent: {part.content}")
    return lines


def _asked(messages: list[ModelMessage]) -> str:
    last = messages[-1]
    assert isinstance(last, ModelRequest)
    texts = [line for line in texts_of([last]) if line]
    return texts[-1].partition(": ")[2]


async def say(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
    """Say the words that are asked for; `use NAME` calls the tool, `fail` fails."""
    del info
    told.append(texts_of(messages))
    effects["request"] += 1
    asked = _asked(messages)
    if asked == "fail":
        raise ValueError("the model is away")
    if asked.startswith("use "):
        number = effects["request"]
        arguments = f'{{"name": "{asked[4:]}"}}'
        yield {0: DeltaToolCall("tool", arguments, tool_call_id=f"call_{number}")}
        return
    for word in asked.split():
        yield f"{word} "
        await passes(word)


agent: Agent[None, str] = Agent(
    FunctionModel(stream_function=say),
    name="talker",
    capabilities=[Durability(stream=True)],
)


@agent.tool_plain
@effect("pure")
async def tool(name: str) -> str:
    """Have an effect."""
    effects[f"tool {name}"] += 1
    await passes(name)
    return f"did {name}"


class Talker(AgentActor[None, str]):
    """Says what it is asked to say."""

    agent = agent


async def entries_of(
    engine: Engine, turns: int, key: str = "one", kind: type[AgentActor[None, str]] = Talker
) -> list[Entry]:
    """Return the entries of a conversation, up to the end of a turn."""
    found: list[Entry] = []
    ref: ActorRef[AgentActor[None, str]] = engine.actor(kind, key)
    async for event in ref.stream(conversation_entries):
        if event.kind == "data" and event.value is not None:
            found.append(event.value)
            if event.value.kind == "ended" and event.value.turn == turns:
                break
    return found


def lines_of(entries: Sequence[Entry]) -> list[str]:
    """Return entries as lines: kinds and texts."""
    lines: list[str] = []
    for entry in entries:
        if entry.kind == "message" and entry.message is not None:
            lines += texts_of([entry.message])
        elif entry.kind == "ended":
            lines.append(f"{entry.outcome}{f': {entry.text}' if entry.text else ''}")
        elif entry.kind == "summary":
            lines.append(f"summary: {entry.text}")
        elif entry.is_steering:
            lines.append(f"steered: {entry.text}")
    return lines


def responses_in(messages: Sequence[ModelMessage]) -> list[ModelResponse]:
    """Return the responses of a model."""
    return [message for message in messages if isinstance(message, ModelResponse)]
