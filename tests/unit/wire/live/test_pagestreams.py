"""Streams in the protocols of web pages over HTTP: shared by clients, exact for slow ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import AgentStreamEvent, PartDeltaEvent, PartEndEvent, PartStartEvent
from pydantic_ai.messages import TextPart, TextPartDelta

from outlast import (
    Engine,
    Retry,
    RunNotFound,
    Signal,
    UsageError,
    limits,
    step,
    this_step,
    workflow,
)
from outlast._wire.live import pagestreams
from outlast._wire.live.direct import DirectStreams
from outlast._wire.live.protocols import PROTOCOLS
from outlast.agents import agent_events
from outlast.agents.events import event_adapter
from outlast.types import StreamProtocol
from tests.crash.page_clients import CLIENTS, PageClient
from tests.unit.wire.served import Served, until

go_on = Signal("pages_go_on", bool)

again: list[asyncio.Event] = []
PATH = "/v1/runs/s/streams/agent_events"
both = pytest.mark.parametrize("protocol", ["vercel-ai", "ag-ui"])


@step
async def pages_say(words: int, size: int) -> None:
    said: list[AgentStreamEvent] = [
        PartStartEvent(index=0, part=TextPart("")),
        *(PartDeltaEvent(index=0, delta=TextPartDelta("x" * size)) for _ in range(words)),
        PartEndEvent(index=0, part=TextPart("")),
    ]
    for event in said:
        await agent_events.write(event_adapter().dump_python(event, mode="json"))


@workflow
async def pages_story(rounds: int, words: int, size: int = 1) -> None:
    for _ in range(rounds):
        await pages_say(words, size)
        await go_on.receive()


@step(retry=Retry(attempts=2))
async def pages_fail_once() -> None:
    start = PartStartEvent(index=0, part=TextPart(f"attempt {this_step().attempt}"))
    await agent_events.write(event_adapter().dump_python(start, mode="json"))
    if this_step().attempt == 1:
        await again[-1].wait()
        raise ConnectionError
    end = PartEndEvent(index=0, part=TextPart(""))
    await agent_events.write(event_adapter().dump_python(end, mode="json"))


@workflow
async def pages_flaky() -> None:
    await pages_fail_once()


@pytest.fixture
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """An engine on a store of its own."""
    async with Engine.open(f"memory://{request.node.nodeid}") as opened:
        yield opened


@asynccontextmanager
async def following(
    engine: Engine, run: str, protocol: StreamProtocol, after: str = ""
) -> AsyncGenerator[tuple[PageClient, asyncio.Task[None]], None]:
    """Follow a run in the background."""
    client = CLIENTS[protocol]()

    async def take() -> None:
        async for piece in engine.sse(run, protocol=protocol, after=after):
            client.take(piece)

    task = asyncio.create_task(take())
    try:
        yield client, task
    finally:
        task.cancel()


async def test_a_protocol_that_there_is_not_is_a_400_with_those_that_there_are(
    server: Served,
) -> None:
    await server.engine.start(pages_story(0, 0), id="s")
    reply = await server.request("GET", f"{PATH}?protocol=grpc")

    assert (reply.status, reply.json()["type"]) == (400, "/problems/unknown-protocol")
    for protocol in PROTOCOLS:
        assert protocol in reply.json()["detail"]


async def test_an_unknown_run_is_a_404_in_every_protocol(server: Served) -> None:
    for protocol in PROTOCOLS:
        reply = await server.request("GET", f"{PATH}?protocol={protocol}")
        assert (reply.status, reply.json()["type"]) == (404, "/problems/run-not-found")
        with pytest.raises(RunNotFound):
            async for _ in server.engine.sse("s"):
                pass


async def test_a_stream_that_is_never_written_has_only_its_end_everywhere(server: Served) -> None:
    run = await server.engine.start(pages_story(0, 0), id="s")
    await run.result()

    assert [event.kind async for event in run.stream("never")] == ["end"]
    protocols: list[StreamProtocol] = ["raw", "ag-ui", "vercel-ai"]
    for protocol in protocols:
        reply = await server.request("GET", f"/v1/runs/s/streams/never?protocol={protocol}")
        told = [piece async for piece in server.engine.sse("s", stream="never", protocol=protocol)]
        shown = [line for line in b"".join(told).split(b"\n") if line and line[:1] != b":"]
        assert reply.status == 200
        assert shown == [x for x in reply.body.split(b"\n") if x and x[:1] != b":"]
        assert b"end" in shown[0] if protocol == "raw" else shown
    with pytest.raises(UsageError, match="a stream's name"):
        server.engine.sse("s", stream="")


@both
async def test_a_client_that_has_all_is_told_not_to_come_again(
    server: Served, protocol: StreamProtocol
) -> None:
    await (await server.engine.start(pages_story(0, 0), id="s")).result()
    path = f"{PATH}?protocol={protocol}"
    first = await server.request("GET", path)
    client = CLIENTS[protocol]()
    client.take(first.body)
    rest = await server.request("GET", path, headers={"Last-Event-ID": client.last_id})

    assert (first.status, client.is_done) == (200, True)
    assert first.headers["content-type"].startswith("text/event-stream")
    assert (rest.status, rest.body) == (204, b"")
    told = [p async for p in server.engine.sse("s", protocol=protocol, after=client.last_id)]
    assert told == []


async def test_the_answer_to_the_ai_sdk_names_its_protocol(server: Served) -> None:
    await (await server.engine.start(pages_story(0, 0), id="s")).result()
    vercel = await server.request("GET", f"{PATH}?protocol=vercel-ai")
    assert vercel.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert "x-vercel-ai-ui-message-stream" not in (await server.request("GET", PATH)).headers


async def test_the_description_has_the_protocols(server: Served) -> None:
    described = (await server.request("GET", "/openapi.json")).json()
    parameters = described["paths"]["/v1/runs/{id}/streams/{name}"]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert schemas["protocol"] == {"enum": list(PROTOCOLS)}


@both
async def test_clients_of_one_protocol_share_a_translation(
    server: Served, protocol: StreamProtocol
) -> None:
    run = await server.engine.start(pages_story(2, 3), id="s")
    path = f"{PATH}?protocol={protocol}"
    answers = [asyncio.create_task(server.request("GET", path)) for _ in range(5)]
    tails = server.service.pages.tails
    await until(lambda: [shared.tail.readers for shared in tails.values()] == [5])
    await run.signal(go_on, True)
    await run.signal(go_on, True)

    for answer in answers:
        client = CLIENTS[protocol]()
        client.take((await answer).body)
        assert (client.text, client.is_done) == ("x" * 6, True)
    assert tails == {}


@both
async def test_a_client_that_falls_behind_gets_every_event_once(
    engine: Engine, protocol: StreamProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SSE_PAGE_RING_BYTES", 2_000)
    run = await engine.start(pages_story(5, 20, 100), id="s")
    client = CLIENTS[protocol]()
    async with aclosing(_pieces(engine, protocol)) as pieces:
        while len(client.text) < 2_000:
            client.take(await anext(pieces))
        for _ in range(5):  # meanwhile it takes nothing, and the tail forgets
            await run.signal(go_on, True)
        await run.result()
        async for piece in pieces:
            client.take(piece)
    assert (client.text, client.is_done) == ("x" * 10_000, True)


async def _pieces(engine: Engine, protocol: StreamProtocol) -> AsyncGenerator[bytes, None]:
    async for piece in engine.sse("s", protocol=protocol):
        yield piece


async def test_a_live_client_of_ag_ui_drops_the_words_of_an_attempt_that_dies(
    engine: Engine,
) -> None:
    again.append(asyncio.Event())
    await engine.start(pages_flaky(), id="s")
    async with following(engine, "s", "ag-ui") as (client, task):
        await until(lambda: client.text == "attempt 1")
        again[-1].set()
        await task
        assert (client.text, client.is_done) == ("attempt 2", True)


async def test_a_live_stream_of_the_ai_sdk_ends_unfinished_when_an_attempt_dies(
    engine: Engine,
) -> None:
    again.append(asyncio.Event())
    run = await engine.start(pages_flaky(), id="s")
    async with following(engine, "s", "vercel-ai") as (client, task):
        await until(lambda: client.text == "attempt 1")
        again[-1].set()
        await task
        assert (client.text, client.is_done) == ("attempt 1", False)
    await run.result()
    async with following(engine, "s", "vercel-ai") as (anew, task):
        await task
    assert (anew.text, anew.is_done) == ("attempt 2", True)


async def test_a_client_that_has_seen_the_end_begins_anew_when_the_run_is_retried(
    engine: Engine,
) -> None:
    run = await engine.start(pages_story(1, 3), id="s")
    async with following(engine, "s", "ag-ui") as (client, task):
        await until(lambda: client.text == "xxx")
        await run.terminate("for now")
        await task
    assert client.error == "The run was terminated."

    await run.retry()
    async with following(engine, "s", "ag-ui", after=client.last_id) as (anew, task):
        await until(lambda: anew.text == "xxx")
        await run.signal(go_on, True)
        await task
    assert (anew.text, anew.error, anew.is_done) == ("xxx", "", True)


async def test_a_silent_stream_shows_that_it_lives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SSE_HEARTBEAT_SECONDS", 0.02)
    await engine.start(pages_story(1, 0), id="s")
    for protocol in ("raw", "vercel-ai", "ag-ui"):
        comments = 0
        async with aclosing(_pieces(engine, protocol)) as pieces:
            while comments < 3:
                comments += await anext(pieces) == b":\n\n"


async def test_a_stream_ends_when_its_engine_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SSE_HEARTBEAT_SECONDS", 0.02)
    for protocol in PROTOCOLS:
        async with Engine.open(f"memory://closed-{protocol}") as engine:
            await engine.start(pages_story(1, 0), id="s")
            pieces = engine.sse("s", protocol=protocol)  # type: ignore[arg-type]  # one of them
            await anext(pieces)
        async with asyncio.timeout(30):
            async for _ in pieces:
                pass


@both
async def test_a_client_that_goes_away_leaves_nothing_behind(
    engine: Engine, protocol: StreamProtocol
) -> None:
    await engine.start(pages_story(1, 3), id="s")
    pieces = _pieces(engine, protocol)
    client = CLIENTS[protocol]()
    while client.text != "xxx":
        client.take(await anext(pieces))
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await pieces.aclose()
    assert isinstance(engine._direct, DirectStreams)
    assert engine._direct.pages.tails == {}


async def test_a_long_history_is_translated_in_slices(engine: Engine) -> None:
    await engine.start(pages_story(1, 3_000), id="s")
    first = CLIENTS["ag-ui"]()
    async with aclosing(_pieces(engine, "ag-ui")) as pieces:
        while len(first.text) < 3_000:
            first.take(await anext(pieces))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    resumed = engine.sse("s", protocol="ag-ui", after=first.last_id)
    assert await anext(resumed) == b":\n\n"
    waiting = asyncio.ensure_future(anext(resumed))
    before = turns
    await until(lambda: turns > before + 3_000 // pagestreams._SLICE_VALUES)
    counting.cancel()
    waiting.cancel()
    await asyncio.wait([counting, waiting])
