"""What the killed servers of `test_pages_sigkill.py` run: an agent that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic_ai import Agent, ModelMessage, ModelResponse
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaThinkingCalls,
    DeltaThinkingPart,
    DeltaToolCall,
    DeltaToolCalls,
    FunctionModel,
)

from outlast import workflow
from outlast.agents import Durability

WORDS = [f"word{number} " for number in range(60)]
SAID = Path("said")


def note(word: str) -> None:
    """Tell the test how far it has come."""
    with SAID.open("a") as file:
        file.write(word + "\n")


async def talk(
    messages: list[ModelMessage], info: AgentInfo
) -> AsyncIterator[str | DeltaToolCalls | DeltaThinkingCalls]:
    """Think, ask for the tool, then answer slowly."""
    del info
    if not any(isinstance(message, ModelResponse) for message in messages):
        yield {0: DeltaThinkingPart(content="Let me look.")}
        yield "I will look. "
        yield {2: DeltaToolCall("look", "{}", tool_call_id="call_1")}
        return
    for word in WORDS:
        yield word
        await asyncio.sleep(0.01)
        note(word)


agent = Agent(
    FunctionModel(stream_function=talk), name="slow", capabilities=[Durability(stream=True)]
)


@agent.tool_plain
async def look() -> str:
    """Look."""
    return "seen"


@workflow
async def answer() -> str:
    """Let the agent answer."""
    return (await agent.run("Answer.")).output
