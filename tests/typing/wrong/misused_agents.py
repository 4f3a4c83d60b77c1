"""Mistakes with agents that one can talk to."""

from __future__ import annotations

from pydantic_ai import Agent

from outlast import Engine
from outlast.agents import AgentActor, Durability, budget

counter = Agent(
    "openai:gpt-5",
    name="counter",
    deps_type=type(None),
    output_type=int,
    capabilities=[Durability()],
)


class Right(AgentActor[None, int]):
    """Counts."""

    agent = counter


class Wrong(AgentActor[None, str]):
    """Says that it answers with text, and has an agent that answers with numbers."""

    agent = counter  # WRONG
    while_busy = "shout"  # WRONG


async def program(engine: Engine) -> None:
    """Talk."""
    ref = engine.actor(Right, "one")
    await ref.ask(Right.chat, 3)  # WRONG
    await ref.ask(Right.chat)  # WRONG
    number: str = await ref.ask(Right.chat, "three")  # WRONG
    await ref.options(while_busy="later").ask(Right.chat, number)  # WRONG
    with budget(usd=0.5, token=3):  # WRONG
        pass
