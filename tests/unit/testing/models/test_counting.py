"""`assert_exactly_once` says of each call of a tool what the journal knows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
from pydantic_ai import (
    Agent,
    CallDeferred,
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
)
from pydantic_ai.capabilities import RequestInput

from outlast import Engine, Retry, RunFailed, workflow
from outlast.agents import Durability, effect
from outlast.testing import Calls, ScriptedModel, Sim, ToolCall, assert_exactly_once

tries: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def no_tries() -> None:
    tries.clear()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine.open(f"memory://{uuid4()}") as opened:
        yield opened


clerk = Agent(
    ScriptedModel(
        [
            Calls(("refund", {"order": "A"}), ("refund", {"order": "B"}), ("look", {})),
            Calls(ToolCall("refund", {"order": "C"}, "id#2")),
            "Done.",
        ]
    ),
    name="clerk",
    capabilities=[Durability(steps={"tools": {"retry": Retry(attempts=2, first=0)}})],
)


@clerk.tool_plain
async def refund(order: str) -> str:
    return order


@clerk.tool_plain
async def look() -> str:
    tries["look"] += 1
    if tries["look"] == 1:
        raise OSError("not now")
    return "seen"


@workflow
async def works() -> str:
    return (await clerk.run("Work.")).output


async def test_calls_that_ran_once_each_pass(engine: Engine) -> None:
    run = await engine.start(works())
    await run.result()

    await assert_exactly_once(run, "refund")
    await assert_exactly_once(run, "refund", calls=3)
    await assert_exactly_once([record async for record in run.journal()], "refund")


async def test_another_number_of_calls_is_told(engine: Engine) -> None:
    run = await engine.start(works())
    await run.result()

    with pytest.raises(AssertionError, match="called 3 times, not 2"):
        await assert_exactly_once(run, "refund", calls=2)


async def test_a_second_attempt_is_told_with_its_error(engine: Engine) -> None:
    run = await engine.start(works())
    await run.result()

    told = r"call call_1_3 in request 1 of clerk#1: it took 2 attempts \(.*OSError: not now\)"
    with pytest.raises(AssertionError, match=told):
        await assert_exactly_once(run, "look")


async def test_a_call_that_has_two_steps_is_told(engine: Engine) -> None:
    run = await engine.start(works())
    await run.result()
    journal = [record async for record in run.journal()]
    first = next(record for record in journal if "tool/call_1_1" in record.key)
    second = replace(first, key=first.key.replace("call_1_1:", "call_1_1#2:"))

    with pytest.raises(AssertionError, match=r"call call_1_1 in request 1 .* ran as 2 steps"):
        await assert_exactly_once([*journal, second], "refund")


async def test_a_tool_that_was_never_called_is_told_with_those_that_were(engine: Engine) -> None:
    run = await engine.start(works())
    await run.result()

    with pytest.raises(AssertionError, match="'bill'; tools called: look, refund"):
        await assert_exactly_once(run, "bill")
    await assert_exactly_once(run, "bill", calls=0)


broken = Agent(
    ScriptedModel([Calls(("explode", {}), ("inline", {})), "Done."]),
    name="broken",
    capabilities=[Durability()],
)


@broken.tool_plain
async def explode() -> str:
    raise OSError("gone")


@broken.tool_plain(metadata={"outlast": False})
async def inline() -> str:
    return "here"


@workflow
async def breaks() -> str:
    return (await broken.run("x")).output


async def test_a_tool_that_failed_or_has_no_step_is_told(engine: Engine) -> None:
    run = await engine.start(breaks())
    with pytest.raises(RunFailed):
        await run.result()

    with pytest.raises(AssertionError, match=r"it failed: .*OSError: gone"):
        await assert_exactly_once(run, "explode")
    with pytest.raises(AssertionError, match="no step with an end"):
        await assert_exactly_once(run, "inline")


twins = Agent(
    ScriptedModel([Calls(ToolCall("ship", {}, "twin"), ToolCall("ship", {}, "twin"))]),
    name="twins",
    capabilities=[Durability()],
)


@twins.tool_plain
async def ship() -> str:
    return "shipped"


@workflow
async def ships() -> str:
    return (await twins.run("x")).output


async def test_an_id_that_two_calls_have_is_told(engine: Engine) -> None:
    run = await engine.start(ships())
    with pytest.raises(RunFailed):
        await run.result()

    with pytest.raises(AssertionError, match=r"call twin in request 1 .* this id to 2 calls"):
        await assert_exactly_once(run, "ship")


@pytest.mark.parametrize("seed", range(3))
async def test_calls_pass_over_crashes_between_their_records(seed: int) -> None:
    async with Sim(seed=seed, crash=0.2) as sim:
        run = await sim.start(works())
        await sim.result(run)

        await assert_exactly_once(await sim.journal(run), "refund", calls=3)


async def has_answer(
    ctx: RunContext[object], requests: DeferredToolRequests, token: str
) -> DeferredToolResults | None:
    """Answer at once where the agent's prompt has the answer."""
    del token
    if ctx.prompt != "At once":
        return None
    return DeferredToolResults(calls={call.tool_call_id: "aisle" for call in requests.calls})


asker = Agent(
    ScriptedModel([Calls(("ask_seat", {}), ("refund", {"order": "A"})), "Done."]),
    name="asker",
    capabilities=[Durability(), RequestInput(has_answer)],
)
asker.tool_plain(refund)


@asker.tool_plain
@effect("pure")
async def ask_seat() -> str:
    tries["ask_seat"] += 1
    raise CallDeferred


@workflow
async def asks(prompt: str) -> str:
    return (await asker.run(prompt)).output


async def token_other_than(engine: Engine, *known: str) -> str:
    async with asyncio.timeout(10):
        while True:
            async for token in engine.tokens():
                if token.id not in known:
                    return token.id
            await asyncio.sleep(0.01)


async def test_a_deferred_call_counts_when_it_is_answered(engine: Engine) -> None:
    run = await engine.start(asks("Ask."))
    token = await token_other_than(engine)

    with pytest.raises(AssertionError, match=r"call_1_1 .* deferred, and waits for its answer"):
        await assert_exactly_once(run, "ask_seat")
    await assert_exactly_once(run, "refund", calls=1)
    await engine.answer(token, {"calls": {"another": "window"}})
    again = await token_other_than(engine, token)
    with pytest.raises(AssertionError, match="waits for its answer"):
        await assert_exactly_once(run, "ask_seat")
    await engine.answer(again, {"calls": {"call_1_1": "window"}})

    assert await run.result() == "Done."
    await assert_exactly_once(run, "ask_seat", calls=1)
    assert tries["ask_seat"] == 1


async def test_a_deferred_call_counts_when_it_is_answered_at_once(engine: Engine) -> None:
    run = await engine.start(asks("At once"))

    assert await run.result() == "Done."
    await assert_exactly_once(run, "ask_seat", calls=1)
