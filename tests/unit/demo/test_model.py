"""The demo's model: it counts what it generates, also for clients that go away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from outlast.client.connection import Connections, Reply, ServerEvent
from outlast.demo.agents import Choice, Verdict
from outlast.demo.bill import Billed, read_bill
from outlast.demo.prompts import CRITIC, READER, WRITER, choose, explain, review
from outlast.demo.sources import read_module

SOURCE = read_module("bisect")


class Served:
    """A scripted model in a process of its own."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "outlast.demo.model", str(log), "scripted"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        name, _, self.url = self._process.stdout.readline().strip().partition(" ")
        assert name == "scripted"

    def bill(self) -> list[Billed]:
        """End the process, and return what it has generated."""
        self._process.communicate()
        assert self._process.returncode == 0
        return read_bill(self._log)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    model = Served(tmp_path / "bill.jsonl")
    yield model
    model.bill()


async def test_the_script_answers_each_of_the_agents(served: Served) -> None:
    client = AsyncOpenAI(base_url=served.url, api_key="none")
    model = OpenAIChatModel("scripted", provider=OpenAIProvider(openai_client=client))
    [function, *_] = SOURCE.functions
    reader = Agent(model, output_type=NativeOutput(Choice), instructions=READER)
    writer = Agent(model, instructions=WRITER)
    critic = Agent(model, output_type=NativeOutput(Verdict), instructions=CRITIC)

    choice = await reader.run(choose(SOURCE))
    text = await writer.run(explain(SOURCE, function))
    verdict = await critic.run(review(function, text.output))
    await client.close()

    assert choice.output.number in (1, 2, 3, 4)
    assert function.summary.removesuffix(".") in text.output
    assert verdict.output.action in ("accept", "revise")
    bill = served.bill()
    runs = [choice.usage, text.usage, verdict.usage]
    assert [billed.usage.tokens for billed in bill] == [used.total_tokens for used in runs]
    assert all(billed.is_delivered for billed in bill)


async def test_a_response_whose_client_goes_away_is_billed_to_its_end(served: Served) -> None:
    async with aclosing(asked(served.url, "Explain.")) as events:
        await anext(events)  # and goes away
    whole = [event.data async for event in asked(served.url, "Explain.")]

    [cut, delivered] = served.bill()
    assert whole[-1] == "[DONE]"
    assert cut == Billed(1, delivered.fingerprint, delivered.usage, is_delivered=False)
    assert delivered.is_delivered
    assert delivered.usage.completion_tokens > 5


async def test_a_request_that_is_none_is_answered_as_the_model_does(served: Served) -> None:
    connections = Connections(served.url.removesuffix("/v1"), "", timeout_seconds=10)

    reply = await connections.request("POST", "/v1/chat/completions", b'{"messages": 1}')
    connections.close()

    assert reply.status == 400
    assert [billed.usage.tokens for billed in served.bill()] == [0]


async def asked(url: str, prompt: str) -> AsyncGenerator[ServerEvent]:
    """Ask for a stream, and give its events."""
    connections = Connections(url.removesuffix("/v1"), "", timeout_seconds=10)
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    given = json.dumps(body).encode()
    events = connections.events("/v1/chat/completions", "", body=given)
    try:
        async with aclosing(events):
            async for event in events:
                assert not isinstance(event, Reply)
                yield event
    finally:
        connections.close()
