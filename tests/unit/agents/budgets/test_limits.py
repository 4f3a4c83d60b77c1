"""Deadlines, many requests at once, and limits that are none."""

from __future__ import annotations

import asyncio

import pytest
from pydantic_ai import Agent
from pydantic_ai.settings import ModelSettings

from outlast import wf, workflow
from outlast.agents import Durability, budget
from outlast.errors import NotInRun, OverBudget, UsageError
from outlast.testing import Says, ScriptedModel, Sim

# ----------------------------------------------------------------------------- the deadline
slow = Agent(
    ScriptedModel([Says("At last.", delay=3_600)]), name="slow", capabilities=[Durability()]
)


@workflow
async def ask_slowly() -> list[str]:
    started = wf.now()
    with budget(wall="10m") as spent:
        try:
            await slow.run("Hello.")
        except OverBudget as error:
            took = (wf.now() - started).total_seconds()
            return [error.reason, f"{spent.stop_reason}", f"{took:.0f}"]
    return []


async def test_a_request_is_cancelled_at_the_deadline() -> None:
    async with Sim(seed=1) as sim:
        assert await sim.run(ask_slowly()) == ["wall", "wall", "600"]


@workflow
async def late_child() -> list[str]:
    try:
        await crowd.run("One.")
    except OverBudget as error:
        return [error.reason]
    return []


@workflow
async def ask_too_late() -> list[str]:
    with budget(wall="1m"):
        await wf.sleep("2m")
        return await late_child()


async def test_children_have_the_deadline_of_their_parent() -> None:
    async with Sim(seed=1) as sim:
        assert await sim.run(ask_too_late()) == ["wall"]


# ----------------------------------------------------------------------------- concurrency
crowd = Agent(
    ScriptedModel([Says("ok", delay=1, input_tokens=20, output_tokens=10)]),
    name="crowd",
    capabilities=[Durability()],
    model_settings=ModelSettings(max_tokens=200),
)


@workflow
async def one_of_many(number: int) -> bool:
    try:
        await crowd.run(f"{number}")
    except OverBudget:
        return False
    return True


@workflow
async def many(number: int, limit: int) -> list[int]:
    with budget(tokens=limit) as spent:
        ended = await asyncio.gather(*(one_of_many(one) for one in range(number)))
        await spent.refresh()
    return [sum(ended), spent.tokens]


async def test_requests_wait_for_what_others_reserve_and_give_back() -> None:
    async with Sim(seed=1) as sim:
        # Each reserves more than 200 tokens and uses 30 of them.
        assert await sim.run(many(20, 1_000)) == [20, 600]


async def test_what_many_children_spend_is_within_the_limit_and_nearly_all_of_it() -> None:
    async with Sim(seed=2) as sim:
        made, spent = await sim.run(many(60, 1_000))

    assert spent == 30 * made
    assert 1_000 - 260 < spent <= 1_000


# -------------------------------------------------------------------------------- misuse
def test_a_budget_outside_of_a_run_is_refused() -> None:
    with pytest.raises(NotInRun, match="works in workflows and in handlers"), budget(tokens=1):
        pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"usd": 0.5}, "as text"),
        ({"usd": "-1"}, "as text"),
        ({"usd": "1e400"}, "from 0.000000001 to 1000000000"),
        ({"usd": "1e-30"}, "from 0.000000001 to 1000000000"),
        ({"tokens": 10**30}, "whole number from 0 to 1,000,000,000,000,000"),
        ({"tokens": -1}, "whole number from 0"),
        ({"tokens": True}, "whole number from 0"),
        ({"tool_calls": 1.5}, "whole number from 0"),
        ({"same_call": 1}, "whole number from 2"),
        ({"wall": 0}, "positive"),
        ({"scope": "run:1"}, "does not begin with 'run:'"),
    ],
)
def test_a_limit_that_is_none_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        budget(**given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # wrong
