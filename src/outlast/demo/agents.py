"""The demo's agents: a reader, a writer and a critic, each a durable conversation per module.

All three ask one small model, under one budget. What they decide is structured output, since a
model of this size calls no tools.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from outlast import Retry
from outlast.agents import AgentActor, Durability, Price, Spent, budget, set_prices
from outlast.demo import prompts
from outlast.demo.stage import MODEL_NAME, MODEL_URL, REAL, SCRIPTED

BUDGET = "demo"
BUDGET_USD = "0.05"
BUDGET_TOKENS = 100_000
REVISIONS_MAX = 1

# Invented: a model that runs here costs nothing, and the ledger needs dollars to count.
PRICE: Price = Price(input="0.50", output="2.00")
set_prices({REAL: PRICE, SCRIPTED: PRICE})

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the functions that it was shown the reader picks."""

    number: Literal[1, 2, 3, 4]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the critic has done with an explanation."""

    action: Literal["accept", "revise"]
    advice: Literal["make it shorter", "make it clearer", "say what it returns"]


def _model() -> OpenAIChatModel:
    # Without retries of the client's own: each attempt is one of the step, which the budget knows.
    client = AsyncOpenAI(
        base_url=os.environ.get(MODEL_URL, "http://127.0.0.1:1/v1"),
        api_key="none",
        max_retries=0,
        timeout=_TIMEOUT_SECONDS,
    )
    name = os.environ.get(MODEL_NAME, SCRIPTED)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


model: OpenAIChatModel = _model()


def _durability() -> Durability[None]:
    return Durability(stream=True, steps={"model": {"retry": Retry(attempts=5, first="500ms")}})


class Reader(AgentActor[None, Choice], name="Reader"):
    """Picks the function that the manual explains."""

    agent: AbstractAgent[None, Choice] = Agent(
        model,
        name="reader",
        deps_type=type(None),
        output_type=NativeOutput(Choice),
        instructions=prompts.READER,
        model_settings=ModelSettings(max_tokens=80, temperature=1.0),
        retries=2,
        capabilities=[_durability()],
    )

    @override
    def budget(self) -> AbstractContextManager[object]:
        return shared_budget()


class Writer(AgentActor[None, str], name="Writer"):
    """Explains a function, and explains it again when the critic wants it otherwise."""

    agent: AbstractAgent[None, str] = Agent(
        model,
        name="writer",
        deps_type=type(None),
        instructions=prompts.WRITER,
        model_settings=ModelSettings(max_tokens=60, temperature=0.3, stop_sequences=["\n\n"]),
        capabilities=[_durability()],
    )

    @override
    def budget(self) -> AbstractContextManager[object]:
        return shared_budget()


class Critic(AgentActor[None, Verdict], name="Critic"):
    """Accepts an explanation, or has it revised."""

    agent: AbstractAgent[None, Verdict] = Agent(
        model,
        name="critic",
        deps_type=type(None),
        output_type=NativeOutput(Verdict),
        instructions=prompts.CRITIC,
        model_settings=ModelSettings(max_tokens=80, temperature=1.0),
        retries=2,
        capabilities=[_durability()],
    )

    @override
    def budget(self) -> AbstractContextManager[object]:
        return shared_budget()


def shared_budget() -> AbstractContextManager[Spent]:
    """Limit what all of them spend together."""
    return budget(scope=BUDGET, usd=BUDGET_USD, tokens=BUDGET_TOKENS)
