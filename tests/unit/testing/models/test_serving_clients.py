"""The script as a server, asked by the client of a provider: what it makes of each turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

pytest.importorskip("openai")

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelRateLimitError,
    ModelServerError,
)
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from outlast import Engine, Retry, workflow
from outlast.agents import Durability
from outlast.testing import (
    Calls,
    ContextOverflow,
    Cut,
    Fails,
    Malformed,
    Refuses,
    Says,
    ScriptedModel,
    Turn,
    assert_exactly_once,
)


@asynccontextmanager
async def support(*turns: Turn, is_durable: bool = False) -> AsyncGenerator[Agent[None, str]]:
    """Give an agent with one tool, whose provider has this script."""
    async with (
        ScriptedModel(turns).serve() as url,
        AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client,
    ):
        model = OpenAIChatModel("any", provider=OpenAIProvider(openai_client=client))
        durable = Durability[None](steps={"model": {"retry": Retry(attempts=3, first=0)}})
        capabilities = [durable] if is_durable else []
        agent = Agent(model, deps_type=type(None), name="support", capabilities=capabilities)

        @agent.tool_plain
        async def refund(order: str) -> str:
            return f"refunded {order}"

        yield agent


REFUND = Calls(("refund", {"order": "A"}), ("refund", {"order": "B"}), text="One moment.")


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_tools_are_called_and_answered(*, is_streamed: bool) -> None:
    async with support(REFUND, Says("It is done.")) as agent, agent.iter("Refund A, B.") as run:
        async for node in run:
            if is_streamed and Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    async for _ in stream:
                        pass

    assert run.result is not None
    assert run.result.output == "It is done."
    returned = [
        (part.tool_call_id, part.content)
        for message in run.result.all_messages()
        for part in message.parts
        if part.part_kind == "tool-return"
    ]
    assert returned == [("call_1_1", "refunded A"), ("call_1_2", "refunded B")]
    assert run.result.usage.input_tokens > 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fails(429, retry_after=2.0), ModelRateLimitError),
        (Fails(500), ModelServerError),
        (ContextOverflow(), ModelContextWindowExceededError),
        (Cut(1, "It was not"), ModelConnectionError),
        (Refuses("Not that."), ContentFilterError),
    ],
)
async def test_a_fault_is_the_error_that_it_is_of_a_provider(
    fault: Turn, kind: type[Exception]
) -> None:
    async with support(fault, "Now.") as agent:
        with pytest.raises(kind) as raised:
            await agent.run("Refund A.")

    if isinstance(raised.value, ModelAPIError) and isinstance(fault, Fails):
        assert raised.value.retry_after == fault.retry_after


async def test_a_cut_stream_is_an_error_of_the_connection() -> None:
    pieces: list[str] = []

    async def listen() -> None:
        async with support(Cut(2, "It was not")) as agent, agent.run_stream("x") as streamed:
            async for piece in streamed.stream_text(delta=True, debounce_by=None):
                pieces.append(piece)

    with pytest.raises(ModelConnectionError):
        await listen()
    assert "".join(pieces) == "It was"


async def test_malformed_arguments_are_given_back() -> None:
    async with support(Malformed("refund", '{"order": '), REFUND, "It is done.") as agent:
        assert (await agent.run("Refund A and B.")).output == "It is done."


served: dict[str, Agent[None, str]] = {}


@workflow
async def refunds() -> str:
    return (await served["agent"].run("Refund A and B.")).output


async def test_a_durable_agent_gets_over_the_faults_of_its_provider() -> None:
    turns = (Fails(429), REFUND, Cut(1, "It was not"), Fails(500), "It is done.")
    async with (
        support(*turns, is_durable=True) as served["agent"],
        Engine.open(f"memory://{uuid4()}") as engine,
    ):
        run = await engine.start(refunds())
        assert await run.result() == "It is done."
        await assert_exactly_once(run, "refund", calls=2)
