"""Agents under budgets: what they may spend, how they are stopped, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal

import pytest
from pydantic_ai import Agent, ImageUrl, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.messages import UserContent
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from typing_extensions import override

from outlast import Actor, ActorRef, Engine, actor, handler, workflow
from outlast.agents import (
    AgentActor,
    BudgetInfo,
    Durability,
    Price,
    budget,
    budget_info,
    effect,
    set_prices,
)
from outlast.errors import HandlerFailed, Looped, OverBudget, RunFailed
from tests.unit.agents.budgets.counted import ledgers
from tests.unit.agents.scripted import setting, turn_of

asked: list[AgentInfo] = []
told: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    asked.clear()
    told.clear()
    set_prices({"scripted": Price(input="1", output="10")})
    yield
    set_prices({"scripted": None})


def used(input_tokens: int, output_tokens: int) -> RequestUsage:
    return RequestUsage(input_tokens=input_tokens, output_tokens=output_tokens)


async def look_twice(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Look something up twice, then answer; sooner if told to."""
    asked.append(info)
    told.append(f"{messages[-1].parts}")
    turn = turn_of(messages)
    may_call = setting(info, "tool_choice") != "none"
    if turn < 2 and may_call:
        calls = [ToolCallPart("look", {"what": turn}, tool_call_id=f"call_{turn}")]
        return ModelResponse(parts=calls, usage=used(100, 20), model_name="scripted")
    text = TextPart(f"answer after {turn}")
    return ModelResponse(parts=[text], usage=used(100, 20), model_name="scripted")


looking = Agent(
    FunctionModel(look_twice, model_name="scripted"),
    name="looking",
    capabilities=[Durability()],
    model_settings=ModelSettings(max_tokens=300),
)


@looking.tool_plain
@effect("pure")
async def look(what: int) -> str:
    return f"seen {what}"


@dataclass
class Report:
    """What a run tells of its budget."""

    output: str
    usd: Decimal
    tokens: int
    tool_calls: int
    stop_reason: str | None
    tokens_left: int | None = None


@workflow
async def run_under(usd: str | None, tokens: int | None, tool_calls: int | None) -> Report:
    with budget(usd=usd, tokens=tokens, tool_calls=tool_calls) as spent:
        output = (await looking.run("Look.")).output
    left = spent.remaining.tokens
    return Report(output, spent.usd, spent.tokens, spent.tool_calls, spent.stop_reason, left)


async def test_what_agents_have_used_is_counted_in_dollars_tokens_and_calls(engine: Engine) -> None:
    report = await engine.run(run_under("0.50", 80_000, 40))

    assert report == Report("answer after 2", Decimal("0.0009"), 360, 2, None, 79_640)


async def test_each_request_has_the_worst_case_reserved_while_it_is_under_way(
    engine: Engine,
) -> None:
    pauses[:] = [asyncio.Event(), asyncio.Event()]
    run = await engine.start(held("work"), id="held")
    await pauses[0].wait()

    [info] = await ledgers(engine)
    pauses[1].set()
    await run.result()
    [after] = await ledgers(engine)

    assert info.tokens == 0
    assert 300 < info.tokens_reserved < 500  # "Wait." and 300 tokens of output
    assert info.tokens_limit == 5_000
    assert (after.tokens, after.tokens_reserved) == (12, 0)


pauses: list[asyncio.Event] = []  # set when a request has arrived; waited for before its answer


async def wait_here(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages, info
    pauses[0].set()
    await pauses[1].wait()
    return ModelResponse(parts=[TextPart("ok")], usage=used(10, 2), model_name="scripted")


waiting = Agent(
    FunctionModel(wait_here, model_name="scripted"),
    name="waiting",
    capabilities=[Durability()],
    model_settings=ModelSettings(max_tokens=300),
)


@workflow
async def held(what: str) -> str:
    with budget(tokens=5_000):
        return (await waiting.run("Wait.")).output + what


async def test_the_model_is_given_only_as_many_tokens_as_the_remainder_buys(
    engine: Engine,
) -> None:
    report = await engine.run(run_under(None, 1_450, None))

    first, second, _ = [setting(info, "max_tokens") for info in asked]
    assert report.output == "answer after 2"
    assert first == 300
    assert isinstance(second, int)
    assert 0 < second < 300


async def test_a_model_that_has_no_limit_of_output_gets_one_under_a_budget(engine: Engine) -> None:
    await engine.run(plain_under(50_000))

    assert [setting(info, "max_tokens") for info in asked] == [4_096]


@workflow
async def plain_under(tokens: int) -> str:
    with budget(tokens=tokens):
        return (await answering.run("Say something.")).output


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages
    asked.append(info)
    return ModelResponse(parts=[TextPart("Hm.")], usage=used(10, 2), model_name="scripted")


answering = Agent(
    FunctionModel(answer, model_name="scripted"), name="answering", capabilities=[Durability()]
)


async def test_settings_are_left_alone_under_a_budget_without_tokens_and_dollars(
    engine: Engine,
) -> None:
    report = await engine.run(run_under(None, None, 5))

    given = [setting(info, "max_tokens") for info in asked]
    assert given == [300, 300, 300]
    assert report == Report("answer after 2", Decimal("0.0009"), 360, 2, None)


async def test_the_model_is_told_to_answer_without_tools_when_little_is_left(
    engine: Engine,
) -> None:
    report = await engine.run(run_under(None, 1_350, None))

    assert report.output == "answer after 1"
    assert report.stop_reason == "budget"
    assert setting(asked[-1], "tool_choice") == "none"
    assert "Answer now" in told[-1]
    assert report.tokens == 240


async def test_not_even_a_short_answer_is_an_error_that_names_budget_and_remainder(
    engine: Engine,
) -> None:
    with pytest.raises(RunFailed, match=r"OverBudget: budget 'run:.*' has 90 tokens left"):
        await engine.run(run_under(None, 90, None))

    assert asked == []


@workflow
async def caught(tokens: int) -> list[str]:
    with budget(tokens=tokens) as spent:
        try:
            await looking.run("Look.")
        except OverBudget as error:
            return [error.reason, error.scope.partition("/")[0], f"{spent.stop_reason}"]
    return []


async def test_the_workflow_catches_over_budget_with_its_facts(engine: Engine) -> None:
    assert await engine.run(caught(90), id="c") == ["budget", "run:c", "budget"]


async def test_after_too_many_calls_of_tools_the_model_answers_with_what_it_has(
    engine: Engine,
) -> None:
    report = await engine.run(run_under(None, None, 1))

    assert report.output == "answer after 2"
    assert (report.tool_calls, report.stop_reason) == (1, "tool_calls")
    assert "Not called: the budget allows 1 tool call and no more" in f"{told}"


async def always(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call the tool for ever, whatever it is told."""
    del info
    turn = turn_of(messages)
    calls = [ToolCallPart("look", {"what": 1}, tool_call_id=f"call_{turn}")]
    return ModelResponse(parts=calls, usage=used(10, 5), model_name="scripted")


stubborn = Agent(
    FunctionModel(always, model_name="scripted"), name="stubborn", capabilities=[Durability()]
)


@stubborn.tool_plain(name="look")
@effect("pure")
async def look_again(what: int) -> str:
    return f"seen {what}"


@workflow
async def repeating(tool_calls: int | None, same_call: int | None) -> list[str]:
    with budget(tool_calls=tool_calls, same_call=same_call) as spent:
        try:
            return [(await stubborn.run("Look.")).output]
        except (OverBudget, Looped) as error:
            return [type(error).__name__, f"{spent.stop_reason}", f"{spent.tool_calls}"]


async def test_a_model_that_calls_tools_after_it_was_told_to_answer_is_stopped(
    engine: Engine,
) -> None:
    assert await engine.run(repeating(2, None)) == ["OverBudget", "tool_calls", "2"]


async def test_the_third_call_with_the_same_arguments_is_a_loop(engine: Engine) -> None:
    assert await engine.run(repeating(None, 3)) == ["Looped", "same_call", "2"]


@workflow
async def after_a_loop() -> str:
    with budget(same_call=3):
        try:
            await stubborn.run("Look.")
        except Looped:
            return (await looking.run("Look.")).output
    return ""


async def test_other_agents_keep_their_tools_after_one_was_stopped(engine: Engine) -> None:
    assert await engine.run(after_a_loop()) == "answer after 2"


@workflow
async def varied() -> str:
    with budget(same_call=2):
        return (await looking.run("Look.")).output


async def test_calls_with_other_arguments_are_no_loop(engine: Engine) -> None:
    assert await engine.run(varied()) == "answer after 2"


# ---------------------------------------------------------------------------------- prices
async def test_a_model_without_a_price_is_refused_under_a_limit_in_dollars(engine: Engine) -> None:
    set_prices({"scripted": None})

    with pytest.raises(RunFailed, match=r"BudgetUnpriced: the price of model '.*scripted'"):
        await engine.run(run_under("0.50", None, None))

    assert asked == []


async def test_a_model_without_a_price_is_counted_in_tokens(engine: Engine) -> None:
    set_prices({"scripted": None})

    report = await engine.run(run_under(None, 80_000, None))

    assert (report.usd, report.tokens) == (Decimal(0), 360)


@workflow
async def with_a_file() -> str:
    with budget(tokens=80_000):
        prompt: list[UserContent] = ["What is this?", ImageUrl("https://example.org/a.png")]
        return (await looking.run(prompt)).output


async def test_a_file_of_unknown_size_is_refused(engine: Engine) -> None:
    with pytest.raises(RunFailed, match=r"BudgetUnpriced: .* has content of type ImageUrl"):
        await engine.run(with_a_file())


# ------------------------------------------------------------------------ nested and shared
@workflow
async def nested() -> list[int]:
    with budget(tokens=80_000) as outer:
        with budget(tokens=10_000) as inner:
            await looking.run("Look.")
        await looking.run("Look.")
    return [outer.tokens, inner.tokens]


async def test_a_budget_inside_another_is_charged_to_both(engine: Engine) -> None:
    assert await engine.run(nested()) == [720, 360]


@workflow
async def nested_tightly() -> list[str]:
    with budget(tokens=100) as outer, budget(tokens=80_000) as inner:
        try:
            await looking.run("Look.")
        except OverBudget:
            await inner.refresh()
    return [f"{outer.stop_reason}", f"{inner.stop_reason}", f"{inner.remaining.tokens}"]


async def test_the_tightest_budget_refuses_and_nothing_stays_reserved_in_the_others(
    engine: Engine,
) -> None:
    assert await engine.run(nested_tightly()) == ["budget", "None", "80000"]


@workflow
async def one_child(number: int) -> str:
    return (await looking.run(f"Look {number}.")).output


@workflow
async def grandchild(number: int) -> str:
    return await one_child(number)


@workflow
async def with_children(tool_calls: int | None) -> Report:
    with budget(tokens=80_000, tool_calls=tool_calls) as spent:
        await asyncio.gather(one_child(1), one_child(2), grandchild(3))
        await spent.refresh()
    await one_child(4)
    return Report("", spent.usd, spent.tokens, spent.tool_calls, spent.stop_reason)


async def test_child_runs_share_the_budget_in_which_they_were_started(engine: Engine) -> None:
    report = await engine.run(with_children(None))

    assert report.tokens == 3 * 360


async def test_child_runs_share_the_calls_of_tools(engine: Engine) -> None:
    report = await engine.run(with_children(3))

    assert report.tool_calls == 3


@workflow
async def of_tenant(tokens: int) -> str:
    with budget(scope="tenant:acme", tokens=tokens), budget(tokens=50_000):
        return (await looking.run("Look.")).output


async def test_a_named_budget_is_shared_by_runs_and_can_be_read(engine: Engine) -> None:
    assert await budget_info(engine, "tenant:acme") is None

    await engine.run(of_tenant(80_000))
    await engine.run(of_tenant(80_000))

    info = await budget_info(engine, "tenant:acme")
    assert isinstance(info, BudgetInfo)
    assert (info.tokens, info.tokens_limit, info.is_named) == (720, 80_000, True)
    assert info.usd == Decimal("0.0018")
    with pytest.raises(RunFailed, match="OverBudget: budget 'tenant:acme' has 30 tokens left"):
        await engine.run(of_tenant(750))


@workflow
async def tenant_twice() -> str:
    with budget(scope="tenant:acme", tokens=80_000), budget(scope="tenant:acme", tokens=90):
        return (await looking.run("Look.")).output


async def test_a_name_inside_itself_is_charged_once_under_the_tighter_limit(
    engine: Engine,
) -> None:
    with pytest.raises(RunFailed, match="OverBudget: budget 'tenant:acme' has 90 tokens left"):
        await engine.run(tenant_twice())


class Helper(AgentActor[None, str]):
    agent = looking

    @override
    def budget(self) -> AbstractContextManager[object]:
        return budget(scope=f"user:{self.key}", tokens=800)


async def ask_on(helper: ActorRef[Helper]) -> None:
    for _ in range(5):
        await helper.ask(Helper.chat, "Look again.")


async def test_an_agent_with_conversations_has_the_budget_of_its_class(engine: Engine) -> None:
    helper = engine.actor(Helper, "ann")

    said = await helper.ask(Helper.chat, "Look.")
    with pytest.raises(HandlerFailed, match="OverBudget"):
        await ask_on(helper)

    info = await budget_info(engine, "user:ann")
    assert said
    assert info is not None
    assert 120 <= info.tokens <= 800


@actor
class Desk(Actor[list[str]]):
    @handler
    async def ask(self, question: str) -> int:
        with budget(tokens=80_000) as spent:
            self.state.append((await looking.run(question)).output)
        return spent.tokens


async def test_each_message_to_an_actor_has_a_budget_of_its_own(engine: Engine) -> None:
    desk = engine.actor(Desk, "a")

    assert [await desk.ask(Desk.ask, "Look."), await desk.ask(Desk.ask, "Look.")] == [360, 360]
