"""Many conversations for many turns, in a process whose memory stays as it is.

`OUTLAST_SOAK_TURNS=200` makes the turns ten times as many; that takes hours.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from outlast import ActorRef, Engine
from outlast._world import memory_bytes
from outlast.agents import AgentActor, Conversation, Durability

AGENTS = 5_000
TURNS = int(os.environ.get("OUTLAST_SOAK_TURNS", "20"))
AT_ONCE = 200
TURN_TOKENS = 40
WINDOW_TURNS = 5

answered: Counter[str] = Counter()


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer in a few words; count what is said, outside of the product."""
    del info
    answered["requests"] += 1
    used = RequestUsage(input_tokens=len(messages) * TURN_TOKENS // 2, output_tokens=10)
    return ModelResponse(parts=[TextPart("fine, thank you")], usage=used, model_name="soaked")


class Soaked(AgentActor[None, str], name="soak.soaked"):
    """Talks for long, and is told of the last few turns."""

    agent = Agent(
        FunctionModel(answer, model_name="soaked"), name="soaked", capabilities=[Durability()]
    )
    conversation = Conversation(window_tokens=WINDOW_TURNS * TURN_TOKENS, compact=None)


async def say(refs: Iterable[ActorRef[Soaked]], text: str) -> None:
    """Say something to all of them, to so many at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def to(ref: ActorRef[Soaked]) -> None:
        async with places:
            assert await ref.ask(Soaked.chat, text) == "fine, thank you"

    async with asyncio.TaskGroup() as group:
        for ref in refs:
            group.create_task(to(ref))


def objects() -> Counter[str]:
    gc.collect()
    return Counter(f"{type(o).__module__}.{type(o).__qualname__}" for o in gc.get_objects())


@pytest.mark.full
async def test_thousands_of_conversations_use_no_more_memory_with_each_turn(tmp_path: Path) -> None:
    before, kinds = 0, Counter[str]()
    async with Engine.open(tmp_path / "outlast.db") as engine:
        refs = [engine.actor(Soaked, f"{number}") for number in range(AGENTS)]
        for turn in range(TURNS):
            await say(refs, f"How are you, for the time {turn}?")
            if turn + 1 == max(2 * WINDOW_TURNS, TURNS // 4):
                kinds, before = objects(), memory_bytes()
        after, grown = memory_bytes(), objects()
        state = await refs[7].ask(Soaked.about)

    grown.subtract(kinds)
    print(f"{before / 1e6:.0f} MB, then {after / 1e6:.0f} MB; {grown.most_common(5)}")
    assert answered["requests"] == AGENTS * TURNS
    assert state.turns == TURNS
    assert after < before * 1.1
    assert max(grown.values()) < AGENTS / 2
