"""Conversations under a budget that several share."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.function import FunctionModel
from typing_extensions import override

from outlast import Engine
from outlast.agents import AgentActor, Durability, budget
from outlast.errors import HandlerFailed
from tests.unit.agents.conversations import talking

thrifty = Agent(
    FunctionModel(stream_function=talking.say),
    name="thrifty",
    deps_type=type(None),
    model_settings={"max_tokens": 500},
    capabilities=[Durability(stream=True)],
)


class Thrifty(AgentActor[None, str], name="thrifty-agent"):
    """All of them share a budget in which one request has room at a time."""

    agent = thrifty

    @override
    def budget(self) -> AbstractContextManager[object]:
        return budget(scope="all of us", tokens=700)


async def test_a_turn_that_waits_for_its_budget_can_be_interrupted(url: str) -> None:
    talking.expect("one")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        first, second = engine.actor(Thrifty, "a"), engine.actor(Thrifty, "b")
        speaks = asyncio.ensure_future(first.ask(Thrifty.chat, "one"))
        await talking.begun["one"].wait()
        waits = asyncio.ensure_future(second.ask(Thrifty.chat, "two"))
        async for seen in Thrifty.observe(second):
            if seen.entry is not None:
                break
        assert await second.ask(Thrifty.interrupt)
        with pytest.raises(HandlerFailed, match="TurnInterrupted"):
            await waits
        assert not speaks.done()
        talking.gates["one"].set()
        assert await speaks == "one "
        assert len(talking.told) == 1
