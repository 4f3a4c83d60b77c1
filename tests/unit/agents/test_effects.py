"""Effects and approvals of tools: what they declare, what people are asked, what is refused."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic_ai import (
    Agent,
    AgentRunResult,
    DeferredToolRequests,
    DeferredToolResults,
    ModelMessage,
    ModelResponse,
    RunContext,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.capabilities import RequestInput
from pydantic_ai.exceptions import UserError
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.tools import ToolDefinition

from outlast import Engine, Run, workflow
from outlast.agents import Durability, Effect, effect, idempotency_key, requires_approval
from outlast.agents.tools.effects import ToolCall, warned_of
from outlast.errors import DecodingError, NotInRun, RunFailed, WrongApprover
from outlast.testing import crash_everywhere
from outlast.types import TokenInfo
from tests.unit.agents.scripted import returns_in

happened: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def clean() -> None:
    happened.clear()
    stuck.clear()


async def talk(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call each tool once with an order, then say what they returned."""
    if not any(isinstance(message, ModelResponse) for message in messages):
        names = [tool.name for tool in info.function_tools]
        arguments = {"order": "A", "cents": 5_000}
        calls = [ToolCallPart(name, arguments, tool_call_id=f"call_{name}") for name in names]
        return ModelResponse(parts=calls)
    return ModelResponse(parts=[TextPart("; ".join(returns_in(messages)))])


model = FunctionModel(talk)
Refund = Callable[[RunContext[object], str, int], Awaitable[str]]


def desk(
    name: str, declare: Callable[[Refund], Refund], *, asks: bool = False
) -> Agent[object, str]:
    """Return an agent with a tool that refunds, declared in some way."""
    if asks:
        agent = Agent(model, name=name, capabilities=[Durability(), RequestInput(asked)])
    else:
        agent = Agent(model, name=name, capabilities=[Durability()])

    async def refund(ctx: RunContext[object], order: str, cents: int) -> str:
        assert ctx.tool_name == "refund"
        happened[idempotency_key()] += 1
        return f"{order}: {cents}"

    agent.tool(name="refund")(declare(refund))
    return agent


def as_it_is(tool: Refund) -> Refund:
    return tool


def key_of(ctx: RunContext[object], order: str, cents: int) -> str:
    assert ctx.tool_name == "refund"
    return f"{order}/{cents}"


def no_key(ctx: RunContext[object], order: str, cents: int) -> str:
    del ctx, order, cents
    return ""


def is_small(ctx: RunContext[object], order: str, cents: int) -> bool:
    del ctx, order
    return cents < 10_000


async def undo(ctx: RunContext[object], order: str, cents: int) -> None:
    assert ctx.tool_name == "refund"
    happened[f"undo {order} {cents}"] += 1


waits: list[str] = []


def asked(ctx: RunContext[object], requests: DeferredToolRequests, token: str) -> None:
    del ctx, requests
    waits.append(token)


# --------------------------------------------------------------------------------- effects
pure = desk("pure", effect("pure"))
keyed = desk("keyed", effect(idempotent=key_of))
undone = desk("undone", effect(compensate=undo))
open_one = desk("open_one", as_it_is)


@workflow
async def serve(name: str) -> str:
    return (await AGENTS[name].run("Refund.")).output


@pytest.mark.parametrize("name", ["pure", "keyed", "undone"])
async def test_a_run_with_an_effect_survives_a_crash_at_each_record(name: str) -> None:
    assert await crash_everywhere(serve(name)) == []
    if name == "keyed":
        assert happened.keys() == {"A/5000"}


async def test_the_key_of_a_tool_without_a_declared_one_is_that_of_its_step(
    engine: Engine,
) -> None:
    run = await engine.start(serve("pure"), id="one")
    await run.result()

    (key,) = happened
    assert key.startswith("one/=pure#1/1/tool/call_refund:")


async def test_a_key_holds_outside_of_a_run_as_well() -> None:
    assert (await keyed.run("Refund.")).output == "A: 5000"
    assert happened == {"A/5000": 1}
    with pytest.raises(NotInRun):
        idempotency_key()


class Refunding:
    """A tool whose call is async, without being an async function."""

    async def __call__(self, order: str) -> str:
        await asyncio.sleep(0)
        return f"{order} under {idempotency_key()}"


def refunding(order: str) -> Awaitable[str]:
    return Refunding()(order)


def same_order(order: str) -> str:
    return f"refund {order}"


@pytest.mark.parametrize("tool", [Refunding(), refunding], ids=["object", "plain"])
async def test_a_key_holds_until_what_a_call_returns_was_awaited(
    tool: Callable[[str], Awaitable[str]],
) -> None:
    made = effect(idempotent=same_order)(tool)("A")

    assert await made == "A under refund A"


async def test_an_undeclared_effect_is_warned_of_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    warned_of.clear()
    with caplog.at_level(logging.WARNING, logger="outlast.agents"):
        for number in range(2):
            await (await engine.start(serve("open_one"), id=f"{number}")).result()
            await (await engine.start(serve("pure"), id=f"pure {number}")).result()

    warnings = [record.getMessage() for record in caplog.records]
    assert [w.partition(":")[0] for w in warnings] == [
        "tool 'refund' of agent 'open_one' does not declare its effect"
    ]


def test_a_tool_that_an_mcp_server_calls_read_only_is_pure() -> None:
    def call(annotations: dict[str, object]) -> ToolCall:
        definition = ToolDefinition(name="read", metadata={"annotations": annotations})
        return ToolCall("agent", "read", {}, None, definition)

    assert call({"readOnlyHint": True}).is_read_only
    assert not call({"readOnlyHint": False}).is_read_only
    assert not call({}).is_read_only


bad_options = {"mcp": {"effect": 3}}


@pytest.mark.parametrize(
    "declare",
    [
        lambda: effect(),  # type: ignore[call-overload]  # what the checker refuses
        lambda: effect("once"),  # type: ignore[call-overload]  # the same
        lambda: effect(compensate=3),  # type: ignore[call-overload]  # the same
        lambda: effect("pure")(effect("pure")(undo_twice)),
        lambda: effect(idempotent=undo),  # type: ignore[arg-type]  # the same
        lambda: effect("pure")(3),  # type: ignore[type-var]  # the same
        lambda: Durability[object](steps={"mcp": {"effect": effect(idempotent=key_of)}}),
        lambda: Durability[object](steps=bad_options),  # type: ignore[arg-type]  # the same
        lambda: requires_approval(on_expire="allow"),  # type: ignore[arg-type]  # the same
        lambda: requires_approval()(undo_without_context),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(declare: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        declare()


async def undo_twice(ctx: RunContext[object]) -> None: ...


async def undo_without_context(order: str) -> None: ...


async def test_a_key_that_is_no_text_fails_the_call(engine: Engine) -> None:
    run = await engine.start(serve("nameless"))

    with pytest.raises(RunFailed, match="returned '': a key is text, and not empty"):
        await run.result()


nameless = desk("nameless", effect(idempotent=no_key))


# -------------------------------------------------------------------------------- timeouts
stuck: Counter[str] = Counter()


def slow_desk(name: str, declared: Effect, times: int = 1) -> Agent[object, str]:
    agent = Agent(
        model,
        name=name,
        capabilities=[Durability(steps={"tools": {"timeout": "50ms"}})],
    )

    async def refund(ctx: RunContext[object], order: str, cents: int) -> str:
        happened[f"{ctx.tool_name} {order}"] += 1
        stuck[name] += 1
        if stuck[name] <= times:
            await asyncio.sleep(600)
        return f"{order}: {cents}"

    agent.tool(name="refund")(declared(refund))
    return agent


async def test_a_tool_that_may_not_run_twice_is_asked_about_after_a_timeout(
    engine: Engine,
) -> None:
    async with waiting(engine, "slow") as (run, token):
        assert token.title == "slow: refund was cut off. Did it happen?"
        assert happened == {"refund A": 1}
        await engine.answer(token.id, {"happened": True, "result": "A is refunded"})

    assert await run.result() == "A is refunded"
    assert happened == {"refund A": 1}


async def test_a_tool_is_undone_after_a_timeout_and_called_again(engine: Engine) -> None:
    assert await (await engine.start(serve("slow_undone"))).result() == "A: 5000"
    assert happened == {"refund A": 2, "undo A 5000": 1}


async def test_a_person_is_asked_about_a_tool_that_is_cut_off_again_and_again(
    engine: Engine,
) -> None:
    async with waiting(engine, "never_done") as (run, token):
        assert token.title == ("never_done: refund was cut off and undone 5 times. Did it happen?")
        assert happened == {"refund A": 5, "undo A 5000": 5}
        await engine.answer(token.id, {"happened": False})

    assert await run.result() == "A: 5000"
    assert happened == {"refund A": 7, "undo A 5000": 6}


slow = slow_desk("slow", effect("at_most_once"))
never_done = slow_desk("never_done", effect(compensate=undo), 6)
slow_undone = slow_desk("slow_undone", effect(compensate=undo))

# ------------------------------------------------------------------------------- approvals
plain = desk("plain", requires_approval())


def declare_small(tool: Refund) -> Refund:
    return effect("at_most_once")(requires_approval(unless=is_small)(tool))


small = desk("small", declare_small)
by_boss = desk("by_boss", requires_approval(by="boss"))
brief = desk("brief", requires_approval(expires="50ms"))
strict = desk("strict", requires_approval(expires="50ms", on_expire="fail"))
asking = desk("asking", requires_approval(), asks=True)
native = desk("native", as_it_is, asks=True)


async def approve_natively(ctx: RunContext[object], order: str, cents: int) -> str:
    happened["native"] += 1
    return f"{ctx.tool_name} {order} {cents}"


native.tool(name="pay", requires_approval=True)(approve_natively)

AGENTS = {
    agent.name: agent
    for agent in (
        pure,
        keyed,
        undone,
        open_one,
        nameless,
        slow,
        slow_undone,
        never_done,
        plain,
        small,
        by_boss,
        brief,
        strict,
        asking,
        native,
    )
}


@asynccontextmanager
async def waiting(engine: Engine, name: str) -> AsyncGenerator[tuple[Run[str], TokenInfo]]:
    run = await engine.start(serve(name))
    yield run, await token_other_than(engine, "")
    await run.result()


async def token_other_than(engine: Engine, known: str) -> TokenInfo:
    async with asyncio.timeout(10):
        while True:
            async for token in engine.tokens():
                if token.id != known:
                    return token
            await asyncio.sleep(0.01)


async def test_a_tool_runs_once_it_is_approved_with_exactly_its_arguments(engine: Engine) -> None:
    async with waiting(engine, "plain") as (run, token):
        assert not happened
        assert token.title == "plain: refund"
        assert token.detail == {
            "agent": "plain",
            "tool": "refund",
            "arguments": {"order": "A", "cents": 5000},
        }
        await engine.approve(token.id, by="ann", digest=token.digest)

    assert await run.result() == "A: 5000"
    assert happened.total() == 1


async def test_what_is_rejected_does_not_run_and_the_model_is_told_why(engine: Engine) -> None:
    async with waiting(engine, "plain") as (run, token):
        await engine.reject(token.id, by="ann", reason="Too much.")

    assert await run.result() == "The tool call was denied. Too much."
    assert not happened


async def test_calls_that_need_no_approval_just_run(engine: Engine) -> None:
    assert await (await engine.start(serve("small"))).result() == "A: 5000"


async def test_whether_an_approval_is_due_is_a_step_of_its_own(engine: Engine) -> None:
    run = await engine.start(serve("small"))
    await run.result()

    steps = [
        record async for record in run.journal() if record.kind in ("step_done", "step_intent")
    ]
    kinds = [(record.kind, record.name.rpartition(":")[2]) for record in steps]
    assert ("step_done", "refund needs approval") in kinds
    assert kinds.index(("step_done", "refund needs approval")) < kinds.index(
        ("step_intent", "refund")
    )


async def test_an_approval_that_is_always_due_takes_no_step_to_decide_that(engine: Engine) -> None:
    async with waiting(engine, "plain") as (run, token):
        await engine.approve(token.id, by="ann")

    names = [record.name async for record in run.journal()]
    assert not [name for name in names if "needs approval" in name]
    assert (
        sum(name.endswith(":refund") for name in names) == 2
    )  # asked for the approval, and called


async def test_an_approval_of_somebody_else_does_not_count(engine: Engine) -> None:
    async with waiting(engine, "by_boss") as (run, first):
        assert first.title == "by_boss: refund (by boss)"
        with pytest.raises(WrongApprover, match="only 'boss' can"):
            await engine.approve(first.id, by="ann")
        assert not happened
        await engine.approve(first.id, by="boss")

    assert await run.result() == "A: 5000"


async def test_without_an_answer_in_time_the_call_is_denied_or_the_run_fails(
    engine: Engine,
) -> None:
    denied = await (await engine.start(serve("brief"))).result()
    assert denied == "The tool call was denied: it was not approved in time."

    with pytest.raises(RunFailed, match=r"refund was not approved within 0\.05 s"):
        await (await engine.start(serve("strict"), id="strict")).result()
    assert not happened
    titles = [token.title for token in (await engine.get("strict").retry_plan()).tokens]
    assert titles == ["strict: refund"]


async def test_outside_of_a_run_the_agents_own_handling_applies() -> None:
    with pytest.raises(UserError, match="DeferredToolRequests"):
        await plain.run("Refund.")

    result: AgentRunResult[str | DeferredToolRequests]
    result = await plain.run("Refund.", output_type=[str, DeferredToolRequests])
    deferred = result.output
    assert isinstance(deferred, DeferredToolRequests)
    assert [call.tool_call_id for call in deferred.approvals] == ["call_refund"]
    assert not happened


async def test_the_inbox_comes_before_request_input(engine: Engine) -> None:
    waits.clear()
    async with waiting(engine, "asking") as (run, token):
        await engine.approve(token.id, by="ann")

    assert await run.result() == "A: 5000"
    assert waits == []


# --------------------------------------------------------------------------- RequestInput
async def test_an_answer_to_deferred_calls_is_checked_when_it_is_given(engine: Engine) -> None:
    async with waiting(engine, "native") as (run, first):
        assert first.title == "deferred_tool_calls"
        assert first.detail == [
            {
                "id": "call_pay",
                "agent": "native",
                "tool": "pay",
                "arguments": {"order": "A", "cents": 5000},
            }
        ]
        with pytest.raises(DecodingError):
            await engine.answer(first.id, {"approvals": {"call_pay": "perhaps"}})
        with pytest.raises(DecodingError):
            await engine.answer(first.id, "yes")
        with pytest.raises(DecodingError, match="did you mean approvals"):
            await engine.answer(first.id, {"aprovals": {"call_pay": True}})
        token = first
        wrongs: list[dict[str, object]] = [
            {"approvals": {"call_other": True}},
            {},
            {"calls": {"call_pay": 1}},
            {"approvals": {"call_pay": True}, "metadata": {"call_other": {}}},
        ]
        titles: list[str] = []
        for wrong in wrongs:
            await engine.answer(token.id, wrong)
            token = await token_other_than(engine, token.id)
            titles.append(token.title)
        asked_again = "deferred_tool_calls (asked again: the answer"
        other_kind = "'call_pay' is to be approved or denied, and was given a result"
        assert titles == [
            f"{asked_again} is about 'call_other', which is not pending)",
            f"{asked_again} leaves out 'call_pay')",
            f"deferred_tool_calls (asked again: {other_kind})",
            f"{asked_again} is about 'call_other', which is not pending)",
        ]
        await engine.answer(token.id, DeferredToolResults(approvals={"call_pay": True}))

    assert "pay A 5000" in await run.result()
    assert happened["native"] == 1
