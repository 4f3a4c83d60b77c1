"""Runs that are started under a budget, whatever their code does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from outlast import Engine, workflow
from outlast.agents import Durability, Price, budget, budget_info, budget_infos, set_prices
from outlast.agents.budgets.amounts import Limits
from outlast.agents.budgets.ledger import Ledger
from outlast.errors import RunFailed


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages, info
    used = RequestUsage(input_tokens=100, output_tokens=20)
    return ModelResponse(parts=[TextPart("seen")], usage=used, model_name="started")


asked = Agent(
    FunctionModel(answer, model_name="started"),
    name="asked",
    capabilities=[Durability()],
    model_settings=ModelSettings(max_tokens=300),
)


@pytest.fixture(autouse=True)
def priced() -> Iterator[None]:
    set_prices({"started": Price(input="1", output="10")})
    yield
    set_prices({"started": None})


@workflow
async def ask_freely(children: int = 0) -> list[str]:
    """Ask the agent without a budget of its own, here or in child runs."""
    if not children:
        return [(await asked.run("Look.")).output]
    found = await asyncio.gather(*(ask_freely() for _ in range(children)))
    return [text for texts in found for text in texts]


async def test_a_run_may_be_started_under_a_budget(engine: Engine) -> None:
    limited = await engine.start(ask_freely(), id="a", budget=budget(tokens=80_000))
    named = await engine.start(ask_freely(3), id="b", budget=budget(usd="1", scope="tenant:b"))
    late = await engine.start(ask_freely(), id="c", budget=budget(wall="0.001s"), delay="0.1s")

    await limited.result()
    await named.result()
    with pytest.raises(RunFailed, match=r"the time of budget .* is over"):
        await late.result()
    names = [info.name async for info in budget_infos(engine)]
    [name] = [name for name in names if name.startswith("run:a/start-")]
    own, shared = await budget_info(engine, name), await budget_info(engine, "tenant:b")

    assert own is not None
    assert shared is not None
    assert (own.tokens, own.tokens_limit) == (120, 80_000)
    assert (shared.usd, shared.usd_limit) == (Decimal("0.0009"), Decimal(1))


async def test_a_run_under_a_budget_that_is_too_small_fails(engine: Engine) -> None:
    run = await engine.start(ask_freely(), budget=budget(tokens=10))

    with pytest.raises(RunFailed, match="so the request was not sent"):
        await run.result()
    await run.retry()
    with pytest.raises(RunFailed, match="so the request was not sent"):
        await run.result()


async def test_a_budget_is_entered_once(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="a budget is entered once"):
        await engine.run(enter_twice())


@workflow
async def enter_twice() -> None:
    made = budget(tokens=1)
    with made:
        pass
    with made:
        pass


async def test_a_ledger_in_its_first_message_is_passed_over(engine: Engine) -> None:
    for number in range(20):
        name = f"early {number}"
        await engine.actor(Ledger, name).tell(Ledger.count, 1, Limits(), True)

        listed = {info.name async for info in budget_infos(engine)}

        assert name not in listed or await budget_info(engine, name) is not None
