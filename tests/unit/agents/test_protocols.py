"""Agents' events in the protocols of web pages: complete, alike each time, exact when resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import get_args

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import (
    AgentStreamEvent,
    BinaryImage,
    FinalResultEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
)
from pydantic_ai.messages import (
    CapabilityEvent,
    CapabilityLoadDeltaEvent,
    CapabilityLoadDeltaPart,
    CompactionPart,
    CustomEvent,
    DeferredToolRequestsEvent,
    DeferredToolResultsEvent,
    EnqueuedMessagesEvent,
    FilePart,
    ModelRequest,
    ModelSettingsDeltaEvent,
    ModelSettingsDeltaPart,
    NativeToolCallPart,
    NativeToolReturnPart,
    OutputToolCallEvent,
    OutputToolResultEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolAvailabilityDeltaEvent,
    ToolAvailabilityDeltaPart,
    ToolCallPart,
    ToolCallPartDelta,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults

from outlast import Engine, Retry, Signal, Stream, UsageError, step, workflow
from outlast._wire.live.protocols import ProtocolEncoder, encoding_of
from outlast.agents import agent_events
from outlast.agents.events import event_adapter
from outlast.types import RunId, StreamProtocol
from tests.crash.page_clients import CLIENTS, PageClient

PROTOCOLS: tuple[StreamProtocol, ...] = ("vercel-ai", "ag-ui")
both = pytest.mark.parametrize("protocol", PROTOCOLS)


@dataclass(kw_only=True)
class Progressed(CustomEvent, name="progressed"):
    percent: int = 0


def text(*words: str) -> list[AgentStreamEvent]:
    """Return the events of a text that is said word by word."""
    first, *rest = words
    return [
        PartStartEvent(index=0, part=TextPart(first)),
        *(PartDeltaEvent(index=0, delta=TextPartDelta(word)) for word in rest),
        PartEndEvent(index=0, part=TextPart("".join(words))),
    ]


CALL = ToolCallPart("weather", '{"place": "Oslo"}', tool_call_id="call_1")
NATIVE = NativeToolCallPart("web_search", {"q": "x"}, tool_call_id="n_1", provider_name="p")
OUTPUT = ToolCallPart("final", '{"answer": 1}', tool_call_id="out_1")
EVENTS: Sequence[AgentStreamEvent] = [
    PartStartEvent(index=0, part=ThinkingPart("")),
    PartDeltaEvent(index=0, delta=ThinkingPartDelta(content_delta="hm ")),
    PartDeltaEvent(index=0, delta=ThinkingPartDelta(content_delta="so", signature_delta="s")),
    PartEndEvent(index=0, part=ThinkingPart("hm so", signature="s", provider_name="p")),
    *text("I will ", "look."),
    PartStartEvent(index=2, part=ToolCallPart("weather", "", tool_call_id="call_1")),
    PartDeltaEvent(index=2, delta=ToolCallPartDelta(args_delta=CALL.args, tool_call_id="call_1")),
    PartEndEvent(index=2, part=CALL),
    PartStartEvent(index=3, part=NATIVE),
    PartEndEvent(index=3, part=NATIVE),
    PartStartEvent(
        index=4,
        part=NativeToolReturnPart("web_search", [1], tool_call_id="n_1", provider_name="p"),
    ),
    PartStartEvent(index=5, part=FilePart(BinaryImage(b"png", media_type="image/png"))),
    PartStartEvent(index=6, part=CompactionPart("long ago", provider_name="p")),
    FunctionToolCallEvent(CALL, args_valid=True),
    Progressed(percent=50),
    FunctionToolResultEvent(ToolReturnPart("weather", "cold", tool_call_id="call_1")),
    ToolAvailabilityDeltaEvent(part=ToolAvailabilityDeltaPart(tools_added=["more"])),
    CapabilityLoadDeltaEvent(part=CapabilityLoadDeltaPart(loaded=["maps"])),
    ModelSettingsDeltaEvent(part=ModelSettingsDeltaPart(settings={"thinking": "high"})),
    EnqueuedMessagesEvent(
        enqueue_id="e1", messages=(ModelRequest(parts=[UserPromptPart("and Rome?")]),)
    ),
    DeferredToolRequestsEvent(DeferredToolRequests()),
    DeferredToolResultsEvent(DeferredToolResults()),
    PartStartEvent(index=0, part=OUTPUT),
    FinalResultEvent(tool_name="final", tool_call_id="out_1"),
    PartEndEvent(index=0, part=OUTPUT),
    OutputToolCallEvent(OUTPUT, args_valid=True),
    OutputToolResultEvent(ToolReturnPart("final", "done", tool_call_id="out_1")),
    *text("It ", "is ", "cold."),
]
SAID = "I will look.It is cold."


def stored(event: AgentStreamEvent) -> bytes:
    return event_adapter().dump_json(event)


async def encoder_of(protocol: str) -> ProtocolEncoder:
    return encoding_of(protocol).load()(RunId("r"), "abc")


async def encoded(
    protocol: str, events: Sequence[tuple[str, AgentStreamEvent]], error: str = ""
) -> list[bytes]:
    """Return the events of a protocol for those of agents, each with its writer."""
    encoder = await encoder_of(protocol)
    made = [*encoder.begin()]
    for offset, (writer, event) in enumerate(events):
        made += encoder.parse(stored(event))(offset, writer)
    return [*made, *encoder.end(error, "failed" if error else "completed")]


def held(protocol: str, events: Sequence[bytes]) -> PageClient:
    """Return what a client has of events that come without ids."""
    client = CLIENTS[protocol]()
    for number, event in enumerate(events):
        client.take(b"id: %d\n" % number + event)
    return client


def test_each_kind_of_event_that_a_page_is_told_of_is_among_the_events_of_these_tests() -> None:
    kinds = {kind.__name__ for kind in _classes(AgentStreamEvent)}
    known = {type(event).__name__ for event in EVENTS} | {"CustomEvent"}
    not_for_pages = {kind for kind in kinds if kind.startswith("Realtime")} | {
        CapabilityEvent.__name__
    }
    assert kinds - known == not_for_pages


def _classes(union: object) -> set[type]:
    found: set[type] = set()
    for argument in get_args(union):
        found |= {argument} if isinstance(argument, type) else _classes(argument)
    return found


@both
async def test_the_same_events_give_the_same_bytes(protocol: StreamProtocol) -> None:
    events = [("=a#1/1/model:m@1-1", event) for event in EVENTS]
    once = await encoded(protocol, events)

    assert once == await encoded(protocol, events)
    for event in once:
        assert event.endswith(b"\n\n")
        if event != b"data: [DONE]\n\n":
            assert json.loads(event.removeprefix(b"data: "))["type"]
    client = held(protocol, once)
    assert (client.text, client.is_done, client.error) == (SAID, True, "")


@both
async def test_a_failure_is_told_after_what_is_open_has_ended(protocol: StreamProtocol) -> None:
    events = [("=a#1/1/model:m@1-1", event) for event in EVENTS[:6]]
    made = await encoded(protocol, events, error="It failed.")
    client = held(protocol, made)

    assert (client.text, client.is_done, client.error) == ("I will look.", True, "It failed.")
    names = [json.loads(e.removeprefix(b"data: "))["type"] for e in made if b"[DONE]" not in e]
    ends = {"vercel-ai": ["text-end", "error"], "ag-ui": ["TEXT_MESSAGE_END", "RUN_ERROR"]}
    assert [name for name in names if name in ends[protocol]][-2:] == ends[protocol]


@both
async def test_agents_that_speak_at_the_same_time_are_kept_apart(protocol: StreamProtocol) -> None:
    one = [("=a#1/1/model:m@1-1", event) for event in text("The ", "cat ", "sat.")]
    other = [("=b#1/1/model:m@1-1", event) for event in text("A ", "dog ", "ran.")]
    second = [("=b#1/2/model:m@1-1", event) for event in text("Far ", "away.")]
    mixed = [event for pair in zip(one, other, strict=True) for event in pair]
    events = [*mixed[:-2], mixed[-1], second[0], mixed[-2], *second[1:]]

    client = held(protocol, await encoded(protocol, events))

    assert client.text == "The cat sat.A dog ran.Far away."


# ------------------------------------------------------------------------------- streams
go = Signal("protocols_go", bool)
plain = Stream("protocols_plain", str)
tries: list[int] = []


@step
async def say_all() -> None:
    for event in EVENTS:
        await agent_events.write(event_adapter().dump_python(event, mode="json"))


@workflow
async def says_all() -> None:
    await say_all()


@step(retry=Retry(attempts=2))
async def say_twice() -> None:
    tries.append(1)
    said = text("It ", "will rain.") if len(tries) == 1 else text("It ", "is ", "cold.")
    for event in said[:-1] if len(tries) == 1 else said:
        await agent_events.write(event_adapter().dump_python(event, mode="json"))
    if len(tries) == 1:
        raise ConnectionError


@workflow
async def says_twice(waits: bool = False) -> None:
    await say_twice()
    if waits:
        await go.receive()


@workflow
async def says_plain(fails: bool) -> None:
    if fails:
        raise ValueError("secret details")
    await plain.write("not an agent's event")


async def whole(events: AsyncIterator[bytes]) -> list[bytes]:
    """Return the events of an answer, without comments."""
    data = b"".join([piece async for piece in events])
    return [event + b"\n\n" for event in data.split(b"\n\n") if event and event != b":"]


def id_of(event: bytes) -> str:
    return event.partition(b"\n")[0].removeprefix(b"id: ").decode()


@pytest.fixture
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """An engine on a store of its own."""
    async with Engine.open(f"memory://{request.node.nodeid}") as opened:
        yield opened


@both
async def test_a_client_that_resumes_after_any_event_gets_exactly_the_rest(
    engine: Engine, protocol: StreamProtocol
) -> None:
    run = await engine.start(says_all(), id="all")
    await run.result()
    complete = await whole(engine.sse("all", protocol=protocol))
    ids = [id_of(event) for event in complete]

    assert len(set(ids)) == len(ids) > len(EVENTS) // 2
    for count, after in enumerate(ids, start=1):
        rest = await whole(engine.sse("all", protocol=protocol, after=after))
        assert rest == complete[count:], after


@both
async def test_an_id_of_another_past_means_the_beginning(
    engine: Engine, protocol: StreamProtocol
) -> None:
    await (await engine.start(says_all(), id="all")).result()
    complete = await whole(engine.sse("all", protocol=protocol))
    mark = id_of(complete[3]).partition("-")[0]
    for after in ("feed-0.3.1", "nonsense", f"{mark}-3"):
        assert await whole(engine.sse("all", protocol=protocol, after=after)) == complete


async def test_an_offset_leaves_out_the_events_of_the_values_before_it(engine: Engine) -> None:
    await (await engine.start(says_all(), id="all")).result()
    for protocol in PROTOCOLS:
        complete = await whole(engine.sse("all", protocol=protocol))
        rest = await whole(engine.sse("all", protocol=protocol, after=len(EVENTS) - 4))
        assert rest == complete[-len(rest) :]
        assert 4 <= len(rest) <= 10


@both
async def test_a_new_client_is_told_nothing_of_a_dead_attempt(
    engine: Engine, protocol: StreamProtocol
) -> None:
    tries.clear()
    await (await engine.start(says_twice(), id="twice")).result()
    client = held_of(protocol, await whole(engine.sse("twice", protocol=protocol)))
    assert (client.text, client.is_done) == ("It is cold.", True)


def held_of(protocol: str, events: Sequence[bytes]) -> PageClient:
    client = CLIENTS[protocol]()
    for event in events:
        client.take(event)
    return client


async def test_words_of_a_dead_attempt_are_taken_back_from_a_client_of_ag_ui(
    engine: Engine,
) -> None:
    tries.clear()
    await (await engine.start(says_twice(), id="twice")).result()
    first = await whole(engine.sse("twice", protocol="ag-ui"))
    mark = id_of(first[0]).partition("-")[0]
    # As one that came before the attempt died: nothing was retracted by then.
    seen = await whole(engine.sse("twice", protocol="ag-ui", after=f"{mark}-0.0.0"))
    assert b"rain" in b"".join(seen)
    client = held_of("ag-ui", seen)
    assert (client.text, client.is_done) == ("It is cold.", True)
    for count, event in enumerate(seen, start=1):
        after = id_of(event)
        assert await whole(engine.sse("twice", protocol="ag-ui", after=after)) == seen[count:]


async def test_a_client_of_vercel_begins_anew_when_words_it_was_sent_are_taken_back(
    engine: Engine,
) -> None:
    tries.clear()
    await (await engine.start(says_twice(), id="twice")).result()
    anew = await whole(engine.sse("twice", protocol="vercel-ai"))
    mark = id_of(anew[0]).partition("-")[0]
    seen = await whole(engine.sse("twice", protocol="vercel-ai", after=f"{mark}-0.0.0"))
    assert b"rain" in b"".join(seen)
    assert b"finish" not in b"".join(seen)

    client = held_of("vercel-ai", seen)
    assert await whole(engine.sse("twice", protocol="vercel-ai", after=id_of(seen[-1]))) == anew
    for event in anew:
        client.take(event)
    assert (client.text, client.is_done) == ("It is cold.", True)


@both
async def test_a_run_that_fails_ends_with_the_error_of_the_protocol_and_without_details(
    engine: Engine, protocol: StreamProtocol
) -> None:
    run = await engine.start(says_plain(fails=True), id="f")
    client = held_of(protocol, await whole(engine.sse(run.id, protocol=protocol)))
    assert (client.is_done, client.error) == (True, "The run failed.")


@both
async def test_a_stream_of_other_values_ends_with_an_error(
    engine: Engine, protocol: StreamProtocol
) -> None:
    run = await engine.start(says_plain(fails=False), id="p")
    await run.result()
    told = engine.sse("p", protocol=protocol, stream=plain.name)
    client = held_of(protocol, await whole(told))
    assert client.is_done
    assert "cannot express" in client.error
    raw = await whole(engine.sse("p", stream=plain.name))
    assert b"not an agent's event" in raw[0]


async def test_a_protocol_that_there_is_not_is_refused_with_those_that_there_are(
    engine: Engine,
) -> None:
    with pytest.raises(UsageError, match="one of raw, ag-ui, vercel-ai, not 'grpc'"):
        engine.sse("x", protocol="grpc")  # type: ignore[arg-type]  # what is refused here
    with pytest.raises(UsageError, match="must not be negative"):
        engine.sse("x", after=-1)


def test_a_program_without_agents_loads_no_pydantic_ai_and_is_told_what_to_install() -> None:
    program = """
import sys, outlast, outlast._server.serving
from outlast._wire.live.protocols import encoding_of
try:
    encoding_of("ag-ui")
except outlast.UsageError as error:
    print(error)
print("pydantic_ai" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    told, loaded = done.stdout.splitlines()
    assert "pip install 'outlast[agents]'" in told
    assert loaded == "False"


def test_an_engine_that_no_page_follows_loads_no_server() -> None:
    program = "import sys; from outlast import Engine; print('starlette' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
