"""Talking to agents, with their dependencies and outputs typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from pydantic_ai import Agent, RunContext

from outlast import Engine, step, wf, workflow
from outlast.agents import (
    AgentActor,
    Attachment,
    Conversation,
    ConversationState,
    Durability,
    Observed,
    Summarise,
    background,
    budget,
    conversation_entries,
)


@dataclass
class Customer:
    """Who talks."""

    name: str


@dataclass
class Answer:
    """What is answered."""

    text: str


support = Agent(
    "openai:gpt-5",
    name="support",
    deps_type=Customer,
    output_type=Answer,
    capabilities=[Durability(stream=True)],
)


@support.tool
async def greet(context: RunContext[Customer]) -> str:
    """Greet."""
    return context.deps.name


@support.tool_plain
@background
async def research(topic: str) -> str:
    """Look something up."""
    return topic


@step
async def load(key: str) -> Customer:
    """Load a customer."""
    return Customer(key)


class Support(AgentActor[Customer, Answer], name="support"):
    """Helps customers."""

    agent = support
    conversation = Conversation(window_tokens=8_000, compact=Summarise(to=500))
    while_busy = "steer"

    async def deps(self) -> Customer:
        """Return who talks."""
        return await load(self.key)


async def program(engine: Engine) -> None:
    """Talk from outside."""
    user = engine.actor(Support, "user-42")
    assert_type(await user.ask(Support.chat, "hello"), Answer)
    picture = Attachment("https://example.com/a.png", "image/png")
    assert_type(
        await user.options(while_busy="interrupt").ask(Support.chat, "look", [picture]), Answer
    )
    assert_type(await user.ask(Support.interrupt), bool)
    assert_type(await user.ask(Support.about), ConversationState)
    await user.tell(Support.hear, "the parcel has come")
    async for seen in Support.observe(user, after=3):
        assert_type(seen, Observed)
    async for event in user.stream(conversation_entries):
        if event.value is not None:
            assert_type(event.value.turn, int)


@workflow
async def talk(text: str) -> str:
    """Talk from a workflow, under a budget."""
    with budget(usd="0.50", tokens=80_000, wall="10m", tool_calls=40, same_call=3) as spent:
        answer = await wf.actor(Support, "user-42").ask(Support.chat, text)
        assert_type(answer, Answer)
        assert_type(spent.tokens, int)
    return answer.text
