"""The script as a server: what a plain HTTP client, which knows nothing of ours, sees of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import msgspec
import pytest

from outlast.testing import (
    Asked,
    Calls,
    ContextOverflow,
    Cut,
    Fails,
    Malformed,
    Refuses,
    Says,
    ScriptedModel,
    ToolResult,
    Turn,
)

Data = dict[str, object]
USER: Data = {"role": "user", "content": "Refund A-1."}
CALLED: Data = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_1_1",
            "type": "function",
            "function": {"name": "refund", "arguments": '{"order":"A-1"}'},
        }
    ],
}
REFUNDED: Data = {"role": "tool", "tool_call_id": "call_1_1", "content": "refunded A-1"}
TOOLS: list[Data] = [{"type": "function", "function": {"name": "refund", "parameters": {}}}]


class Function(msgspec.Struct):
    arguments: str
    name: str = ""


class CallDelta(msgspec.Struct):
    index: int
    function: Function
    id: str = ""


class Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallDelta] = []


class Choice(msgspec.Struct):
    delta: Delta
    finish_reason: str | None


class Chunk(msgspec.Struct):
    choices: list[Choice]
    usage: dict[str, int] | None = None


@dataclass
class Served:
    """A client of a server."""

    client: httpx2.AsyncClient
    url: str

    async def post(self, *messages: Data, **more: object) -> httpx2.Response:
        body = {"model": "any", "messages": list(messages), **more}
        return await self.client.post(f"{self.url}/chat/completions", json=body)

    async def chunks(self, *messages: Data, **more: object) -> AsyncIterator[Chunk]:
        body = {"model": "any", "messages": list(messages), "stream": True, **more}
        url = f"{self.url}/chat/completions"
        async with self.client.stream("POST", url, json=body) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    return
                if line:
                    yield msgspec.json.decode(line.removeprefix("data: "), type=Chunk)
        pytest.fail("the stream ended without [DONE]")


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as opened:
        yield opened


def message_of(response: httpx2.Response) -> Data:
    message: Data = response.json()["choices"][0]["message"]
    return message


async def test_a_text_comes_with_its_usage(client: httpx2.AsyncClient) -> None:
    model = ScriptedModel([Says("It is done.")])
    async with model.serve() as url:
        response = await Served(client, url).post(USER)

    assert url.startswith("http://127.0.0.1:")
    assert message_of(response)["content"] == "It is done."
    assert response.json()["choices"][0]["finish_reason"] == "stop"
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert response.json()["usage"] == usage
    assert [asked.prompt for asked in model.requests] == ["Refund A-1."]


async def test_a_request_that_forbids_calls_offers_no_tools(client: httpx2.AsyncClient) -> None:
    model = ScriptedModel([Says("It is done.")])
    async with model.serve() as url:
        await Served(client, url).post(USER, tools=TOOLS, tool_choice="none")

    assert [asked.tools for asked in model.requests] == [()]


async def test_the_history_decides_which_turn_is_next(client: httpx2.AsyncClient) -> None:
    def tells(asked: Asked) -> str:
        assert asked.results == (ToolResult("refund", "call_1_1", "refunded A-1"),)
        assert asked.tools == ("refund",)
        return "It is done."

    model = ScriptedModel([Calls(("refund", {"order": "A-1"})), tells])
    async with model.serve() as url:
        served = Served(client, url)
        second = await served.post(USER, CALLED, REFUNDED, tools=TOOLS)
        first = await served.post(USER, tools=TOOLS)

    assert message_of(second)["content"] == "It is done."
    assert message_of(first)["tool_calls"] == CALLED["tool_calls"]
    assert first.json()["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_stream_has_its_tokens_its_end_and_its_usage(client: httpx2.AsyncClient) -> None:
    async with ScriptedModel([Says("It is done.")]).serve() as url:
        served = Served(client, url)
        chunks = [c async for c in served.chunks(USER, stream_options={"include_usage": True})]

    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.delta.content for choice in choices] == ["It", " is", " done.", None]
    assert [choice.finish_reason for choice in choices] == [None, None, None, "stop"]
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert chunks[-1].usage == usage


async def test_parallel_calls_are_streamed_by_their_index(client: httpx2.AsyncClient) -> None:
    calls = Calls(("refund", {"order": "A 1"}), ("refund", {"order": "B"}))
    async with ScriptedModel([calls]).serve() as url:
        chunks = [chunk async for chunk in Served(client, url).chunks(USER)]

    arguments: dict[int, str] = {}
    names: dict[int, tuple[str, str]] = {}
    for delta in [d for c in chunks for choice in c.choices for d in choice.delta.tool_calls]:
        arguments[delta.index] = arguments.get(delta.index, "") + delta.function.arguments
        if delta.id:
            names[delta.index] = (delta.id, delta.function.name)
    assert arguments == {0: '{"order":"A 1"}', 1: '{"order":"B"}'}
    assert names == {0: ("call_1_1", "refund"), 1: ("call_1_2", "refund")}


@pytest.mark.parametrize(
    ("fault", "status", "headers", "code"),
    [
        (Fails(429, retry_after=1.5), 429, {"retry-after": "2", "retry-after-ms": "1500"}, None),
        (Fails(500, code="oops"), 500, {}, "oops"),
        (ContextOverflow(), 400, {}, "context_length_exceeded"),
    ],
)
async def test_a_fault_comes_once_and_the_answer_after_it(
    client: httpx2.AsyncClient, fault: Turn, status: int, headers: Data, code: str | None
) -> None:
    async with ScriptedModel([fault, "Now."]).serve() as url:
        served = Served(client, url)
        failed, answered = await served.post(USER), await served.post(USER)

    assert failed.status_code == status
    assert headers.items() <= dict(failed.headers).items()
    assert failed.json()["error"]["code"] == code
    assert message_of(answered)["content"] == "Now."


async def test_a_cut_stream_breaks_the_connection(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []
    with caplog.at_level(logging.WARNING):
        async with ScriptedModel([Cut(2, "It is cold."), "Now."]).serve() as url:
            served = Served(client, url)

            async def listen() -> None:
                async for chunk in served.chunks(USER):
                    seen.append(chunk.choices[0].delta.content)

            with pytest.raises(httpx2.RemoteProtocolError):
                await listen()
            answered = await served.post(USER, stream=True)

    assert seen == ["It", " is"]
    assert "Now." in answered.text
    assert caplog.text == ""


async def test_a_cut_response_that_is_not_streamed_never_comes(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with ScriptedModel([Cut(2, "It is cold."), "Now."]).serve() as url:
        with pytest.raises(httpx2.RemoteProtocolError):
            await Served(client, url).post(USER)
    assert caplog.text == ""


async def test_malformed_arguments_come_as_they_are(client: httpx2.AsyncClient) -> None:
    async with ScriptedModel([Malformed("refund", '{"order": ')]).serve() as url:
        message = message_of(await Served(client, url).post(USER))

    function = {"name": "refund", "arguments": '{"order": '}
    assert message["tool_calls"] == [{"id": "call_1_1", "type": "function", "function": function}]


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_refusal_stands_in_its_own_field(
    client: httpx2.AsyncClient, *, is_streamed: bool
) -> None:
    async with ScriptedModel([Refuses("Not that.")]).serve() as url:
        served = Served(client, url)
        if is_streamed:
            last = [chunk async for chunk in served.chunks(USER)][-1].choices[0].delta
        else:
            last = msgspec.convert(message_of(await served.post(USER)), Delta)

    assert last.refusal == "Not that."
    assert not last.content


async def test_a_script_that_is_over_says_so(client: httpx2.AsyncClient) -> None:
    async with ScriptedModel(["Hello."]).serve() as url:
        response = await Served(client, url).post(USER, CALLED, REFUNDED)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "script_is_over"
    assert "no turn for this request" in response.json()["error"]["message"]


async def test_what_is_no_chat_completion_is_refused(client: httpx2.AsyncClient) -> None:
    async with ScriptedModel(["Hello."]).serve() as url:
        chat = f"{url}/chat/completions"
        statuses = [
            (await client.post(chat, content=b"[1]")).status_code,
            (await client.post(chat, content=b"{")).status_code,
            (await client.get(chat)).status_code,
            (await client.get(f"{url}/files")).status_code,
        ]

    assert statuses == [400, 400, 405, 404]


async def test_the_server_ends_with_its_context(client: httpx2.AsyncClient) -> None:
    async with ScriptedModel(["Hello."]).serve() as url:
        assert (await Served(client, url).post(USER)).status_code == 200

    with pytest.raises((httpx2.ConnectError, httpx2.RemoteProtocolError)):
        await Served(client, url).post(USER)
