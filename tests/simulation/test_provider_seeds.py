"""Agents that share a provider's limits while their machine crashes.

What reaches the provider is counted outside of the product, by the clock of the simulation.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from pydantic_ai import Agent

from outlast import wf, workflow
from outlast.agents import AgentActor, Durability
from outlast.testing import Asked, Fails, Says, ScriptedModel, Sim

PROVIDER = "seeds:provider"
RPM = 20
MINUTE = 60.0

reached: list[float] = []
refusals: list[float] = []


def answer(asked: Asked) -> Says | Fails:
    """Count the request; refuse the first attempt at every tenth text."""
    now = asyncio.get_running_loop().time()
    reached.append(now)
    if asked.attempt == 1 and asked.prompt.endswith("0"):
        refusals.append(now)
        return Fails(429, retry_after=5)
    return Says(f"re: {asked.prompt}", tokens_per_second=50)


shared: Agent[None, str] = Agent(
    ScriptedModel(answer), name="shared", capabilities=[Durability(provider=PROVIDER)]
)


class Sharer(AgentActor[None, str], name="seeds.sharer"):
    """Talks, and shares the limits."""

    agent = shared


@workflow
async def ask_shared(text: str, tenant: str) -> str:
    """Ask the agent for a tenant."""
    wf.set_attributes(tenant=tenant)
    return (await shared.run(text)).output


@workflow
async def chat_shared(key: str, text: str) -> str:
    """Say something to the actor."""
    return await wf.actor(Sharer, key).ask(Sharer.chat, text)


def most_in_a_minute(times: list[float]) -> int:
    first = most = 0
    for number, at in enumerate(times):
        while times[first] <= at - MINUTE:
            first += 1
        most = max(most, number - first + 1)
    return most


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, marks=pytest.mark.full) for n in range(4, 200))]
)
async def test_no_minute_has_more_requests_than_allowed_over_crashes(seed: int) -> None:
    reached.clear()
    refusals.clear()
    chance = random.Random(seed)
    async with Sim(seed, crash=0.02) as sim:
        sim.engine.limits.provider(PROVIDER, rpm=RPM, fair_by="tenant")
        runs: list[tuple[str, str]] = []
        for number in range(30):
            text = f"text-{number}"
            if chance.random() < 0.3:
                run = await sim.start(chat_shared(chance.choice("ab"), text))
            else:
                run = await sim.start(ask_shared(text, chance.choice(("big", "big", "small"))))
            runs.append((run, text))
        answers = [await sim.result(run) for run, _ in runs]
        crashes = sim.crashes

    assert answers == [f"re: {text}" for _, text in runs]
    assert len(reached) >= len(runs) + len(refusals)
    assert most_in_a_minute(reached) <= RPM
    assert crashes or seed > 1
