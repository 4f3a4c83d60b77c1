"""Agents whose model says what a script has, and tools that count their effects."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.messages import ModelRequest, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from outlast.agents import Durability

effects: Counter[str] = Counter()
"""How often each request of a model, and each tool, had its effect."""

delays: dict[str, float] = {}
"""How long the tool takes, in seconds, by place."""

turns: dict[str, tuple[asyncio.Event, asyncio.Event]] = {}
"""By place: what the tool waits for before it ends, and what it sets then."""

PLACES = ("Oslo", "Rome", "Lima", "Cairo")


def turn_of(messages: list[ModelMessage]) -> int:
    """Return which request of a run this is, from 0 on."""
    return sum(isinstance(message, ModelResponse) for message in messages)


def setting(info: AgentInfo, name: str) -> object:
    """Return a setting that a request was made with, None without."""
    settings: dict[str, object] = {**(info.model_settings or {})}
    return settings.get(name)


def returns_in(messages: list[ModelMessage]) -> list[str]:
    """Return what the tools of the last turn gave."""
    last = messages[-1]
    if not isinstance(last, ModelRequest):
        return []
    return [f"{part.content}" for part in last.parts if isinstance(part, ToolReturnPart)]


async def say_weather(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Ask for the weather of four places at once, and say it."""
    del info
    effects["model"] += 1
    if turn_of(messages) == 0:
        calls = [ToolCallPart("weather", {"place": p}, tool_call_id=f"call_{p}") for p in PLACES]
        return ModelResponse(parts=calls)
    return ModelResponse(parts=[TextPart("; ".join(returns_in(messages)) or "As before.")])


async def stream_weather(
    messages: list[ModelMessage], info: AgentInfo
) -> AsyncIterator[str | DeltaToolCalls]:
    """Say the same in pieces."""
    del info
    effects["model"] += 1
    if turn_of(messages) == 0:
        for index, place in enumerate(PLACES):
            yield {
                index: DeltaToolCall(
                    "weather", f'{{"place": "{place}"}}', tool_call_id=f"call_{place}"
                )
            }
        return
    for piece in returns_in(messages):
        yield piece
        yield "; "


def weather_agent(name: str, *, stream: bool = False) -> Agent[None, str]:
    """Return an agent with one tool that counts."""
    model = FunctionModel(say_weather, stream_function=stream_weather)
    agent = Agent(model, name=name, capabilities=[Durability(stream=stream)])

    @agent.tool_plain
    async def weather(place: str) -> str:
        await asyncio.sleep(delays.get(place, 0.0))
        if place in turns:
            mine, following = turns[place]
            await mine.wait()
            following.set()
        effects[place] += 1
        return f"{place}: {len(place)} degrees"

    return agent
