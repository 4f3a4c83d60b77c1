"""An agent with `Durability` in a run: what is recorded, and what it is outside of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_ai import (
    Agent,
    AgentStreamEvent,
    DeferredToolRequests,
    DeferredToolResults,
    ModelHTTPError,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    ModelRetry,
    RunContext,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.capabilities import RequestInput
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import PartDeltaEvent, TextPartDelta
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_core import to_jsonable_python

from outlast import Actor, Call, Engine, Run, Signal, actor, handler, wf, workflow
from outlast.agents import Durability, StepConfigs, agent_events
from outlast.errors import RunFailed
from outlast.testing import crash_everywhere
from outlast.types import Retry
from tests.unit.agents.scripted import PLACES, delays, effects, turn_of, turns, weather_agent

SAID = "; ".join(f"{place}: {len(place)} degrees" for place in PLACES)


@pytest.fixture(autouse=True)
def clean() -> None:
    effects.clear()


forecaster = weather_agent("forecaster")
streamer = weather_agent("streamer", stream=True)


@workflow
async def forecast() -> str:
    return (await forecaster.run("How is the weather?")).output


async def done_keys(engine: Engine, run: str) -> list[str]:
    records = engine.get(run).journal()
    return [record.key async for record in records if record.kind == "step_done"]


# --------------------------------------------------------------------------- steps and keys
async def test_requests_and_tool_calls_are_steps_under_stable_keys(engine: Engine) -> None:
    run = await engine.start(forecast(), id="f")

    assert await run.result() == SAID
    keys = await done_keys(engine, "f")
    tool = "forecaster__function_toolset__<agent>.call_tool:weather"
    tools = [f"=forecaster#1/1/tool/call_{place}:{tool}" for place in PLACES]
    assert keys[0] == "=forecaster#1/1/model:forecaster__model.request"
    assert sorted(keys[1:-1]) == sorted(tools)
    assert keys[-1] == "=forecaster#1/2/model:forecaster__model.request"
    assert effects == {"model": 2, **dict.fromkeys(PLACES, 1)}


seen_by: list[bytes] = []
go = Signal("durable_agent_go", str)


@workflow
async def remember() -> int:
    result = await forecaster.run("How is the weather?")
    seen_by.append(result.all_messages_json())
    await go.receive()
    return len(result.all_messages())


async def test_messages_are_the_same_on_replay_with_their_times_and_ids(tmp_path: Path) -> None:
    path = str(tmp_path / "outlast.db")
    seen_by.clear()
    async with Engine.open(path) as engine:
        run = await engine.start(remember(), id="r")
        async with asyncio.timeout(10):
            while not seen_by:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
    async with Engine.open(path) as engine:
        await engine.get(run.id).signal(go, "go")
        assert await engine.get(run.id).result() == 4

    assert len(seen_by) == 2
    assert seen_by[0] == seen_by[1]
    assert seen_by[0].count(b'"timestamp"') > 6


async def test_outside_of_a_run_the_agent_is_what_it_was() -> None:
    for agent in (forecaster, streamer):
        assert (await agent.run("How is the weather?")).output.startswith(SAID)


@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
async def test_tools_may_end_in_any_order(
    engine: Engine, order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [asyncio.Event() for _ in range(5)]
    events[0].set()
    with monkeypatch.context() as patched:
        for place, rank in zip(PLACES, order, strict=True):
            patched.setitem(turns, place, (events[rank], events[rank + 1]))
        run = await engine.start(forecast(), id="f")
        assert await run.result() == SAID
    tools = [key for key in await done_keys(engine, "f") if "/tool/" in key]
    ended = [key.partition("call_")[2].partition(":")[0] for key in tools]
    assert ended == [PLACES[order.index(rank)] for rank in range(4)]
    for place, rank in zip(PLACES, order, strict=True):
        monkeypatch.setitem(delays, place, rank / 100)
    assert await crash_everywhere(forecast()) == []


@workflow
async def agents_side_by_side() -> list[str]:
    results = await asyncio.gather(*(forecaster.run(f"{n}") for n in range(2)), streamer.run("x"))
    return [result.output for result in results]


@workflow
async def iterates() -> list[str]:
    seen: list[str] = []
    async with forecaster.iter("How is the weather?") as run:
        async for node in run:
            seen.append(type(node).__name__)
    assert run.result is not None
    return [*seen, run.result.output]


@workflow
async def streams_inside() -> str:
    pieces: list[str] = []
    async with streamer.run_stream("How is the weather?") as result:
        async for text in result.stream_text(delta=True):
            pieces.append(text)
    return "".join(pieces)


@workflow
async def says_who_it_is() -> list[str | None]:
    first = await forecaster.run("x")
    second = await forecaster.run("x")
    return [first.run_id, second.run_id, first.conversation_id]


class Order(BaseModel):
    """What the model must give."""

    number: int
    note: str


async def takes_two_tries(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    effects["model"] += 1
    number: object = "seven" if turn_of(messages) == 0 else 7
    call = ToolCallPart(info.output_tools[0].name, {"number": number, "note": "x"})
    return ModelResponse(parts=[call])


orders = Agent(
    FunctionModel(takes_two_tries), name="orders", output_type=Order, capabilities=[Durability()]
)


@workflow
async def structured() -> Order:
    return (await orders.run("An order.")).output


async def calls_flaky(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del info
    effects["model"] += 1
    if turn_of(messages) < 2:
        return ModelResponse(parts=[ToolCallPart("flaky", {}, tool_call_id=f"c{len(messages)}")])
    return ModelResponse(parts=[TextPart("done")])


flaky_agent = Agent(FunctionModel(calls_flaky), name="flaky", capabilities=[Durability()])


@flaky_agent.tool
def flaky(context: RunContext[object]) -> str:
    """A plain function, which asks the model to try again once."""
    effects["flaky"] += 1
    if context.retry == 0:
        raise ModelRetry("not yet")
    return "now"


@workflow
async def retries() -> str:
    return (await flaky_agent.run("Try.")).output


@workflow
async def goes_on_with_history() -> list[int]:
    first = await forecaster.run("One.")
    second = await forecaster.run("Two.", message_history=first.all_messages())
    return [len(first.all_messages()), len(second.all_messages())]


WORKFLOWS: list[Callable[[], Call[object]]] = [
    forecast,
    agents_side_by_side,
    iterates,
    streams_inside,
    says_who_it_is,
    structured,
    retries,
    goes_on_with_history,
]


@pytest.mark.parametrize("flow", WORKFLOWS, ids=lambda flow: flow.__name__)
async def test_a_crash_at_any_record_changes_nothing(flow: Callable[[], Call[object]]) -> None:
    assert await crash_everywhere(flow()) == []


async def test_results_are_those_that_the_agent_gives(engine: Engine) -> None:
    assert await engine.run(agents_side_by_side()) == [SAID, SAID, f"{SAID}; "]
    assert (await engine.run(iterates()))[-1] == SAID
    assert await engine.run(streams_inside()) == f"{SAID}; "
    assert await engine.run(structured()) == Order(number=7, note="x")
    assert await engine.run(retries()) == "done"
    assert effects["flaky"] == 2
    assert await engine.run(goes_on_with_history()) == [4, 6]


async def test_ids_are_those_of_the_run(engine: Engine) -> None:
    run = await engine.start(says_who_it_is(), id="w")
    first, second, conversation = await run.result()
    assert (first, second) == ("w/forecaster#1", "w/forecaster#2")
    assert conversation


# ------------------------------------------------------------------------------- streams
go_on = Signal("go_on", str)


@workflow
async def speaks_and_waits() -> str:
    said = (await streamer.run("How is the weather?")).output
    await go_on.receive()
    return said


EVENT: TypeAdapter[AgentStreamEvent] = TypeAdapter(AgentStreamEvent)


async def said_by(run: Run[object]) -> list[AgentStreamEvent]:
    """Return the events of a run that has ended."""
    events = [event async for event in run.stream(agent_events)]
    return [EVENT.validate_python(event.value) for event in events if event.kind == "data"]


@workflow
async def speaks() -> str:
    return (await streamer.run("How is the weather?")).output


async def test_events_are_in_the_runs_stream_as_they_come(engine: Engine) -> None:
    run = await engine.start(speaks(), id="s")
    assert await run.result() == f"{SAID}; "

    events = await said_by(run)
    kinds = [event.event_kind for event in events]
    deltas = [event.delta for event in events if isinstance(event, PartDeltaEvent)]
    text = "".join(delta.content_delta for delta in deltas if isinstance(delta, TextPartDelta))
    assert kinds.count("function_tool_call") == kinds.count("function_tool_result") == len(PLACES)
    assert text
    assert f"{SAID}; ".endswith(text)


async def test_a_replay_says_nothing_again(tmp_path: Path) -> None:
    path = str(tmp_path / "outlast.db")
    async with Engine.open(path) as engine:
        await engine.start(speaks_and_waits(), id="s")
        async with asyncio.timeout(20):
            while "signal" not in await engine.get("s").why():  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
    async with Engine.open(path) as engine:
        run = engine.get("s")
        await run.signal("go_on", "now")
        await run.result()
        kinds = [event.event_kind for event in await said_by(run)]
    assert kinds.count("function_tool_call") == len(PLACES)
    assert effects["model"] == 2


# ------------------------------------------------------------------------------- errors
async def is_always_down(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages, info
    raise ModelHTTPError(503, "scripted", {"error": "overloaded"})


async def is_down(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages, info
    effects["model"] += 1
    if effects["model"] < 3:
        raise ModelHTTPError(503, "scripted", {"error": "overloaded"})
    return ModelResponse(parts=[TextPart("up again")])


impatient = Agent(FunctionModel(is_always_down), name="impatient", capabilities=[Durability()])
patient = Agent(
    FunctionModel(is_down),
    name="patient",
    capabilities=[Durability(steps={"model": {"retry": Retry(attempts=5, first=0)}})],
)


@workflow
async def meets_error() -> list[object]:
    try:
        await impatient.run("x")
    except ModelHTTPError as error:
        return [error.status_code, error.model_name, error.body]
    return []


@workflow
async def waits_for_the_provider() -> str:
    return (await patient.run("x")).output


async def test_a_models_error_comes_back_as_itself(engine: Engine) -> None:
    assert await engine.run(meets_error()) == [503, "scripted", {"error": "overloaded"}]
    assert await crash_everywhere(meets_error()) == []


async def test_model_requests_are_tried_again_as_their_step_says(engine: Engine) -> None:
    assert await engine.run(waits_for_the_provider()) == "up again"
    assert effects["model"] == 3


def test_an_agent_without_a_name_is_refused() -> None:
    with pytest.raises(UserError, match="unique `name`"):
        Agent(TestModel(), capabilities=[Durability()])


# ------------------------------------------------------------------------------- tools
async def calls_tools(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if turn_of(messages):
        return ModelResponse(parts=[TextPart("done")])
    names = [tool.name for tool in info.function_tools]
    return ModelResponse(parts=[ToolCallPart(name, {}, tool_call_id=f"c_{name}") for name in names])


toolbox = Agent(
    FunctionModel(calls_tools),
    name="toolbox",
    capabilities=[Durability(steps={"tools": {"timeout": "10s"}})],
)


@toolbox.tool_plain(metadata={"outlast": {"retry": Retry(attempts=3, first=0)}})
def unsteady() -> str:
    """Fail twice."""
    effects["unsteady"] += 1
    if effects["unsteady"] < 3:
        raise OSError("not now")
    return "steady"


@toolbox.tool_plain(metadata={"outlast": False})
async def inline() -> str:
    """Look at the run: a tool that is a part of the workflow may do that."""
    return wf.run_id


@workflow
async def uses_toolbox() -> str:
    return (await toolbox.run("x")).output


async def test_one_tool_may_run_in_its_own_way(engine: Engine) -> None:
    run = await engine.start(uses_toolbox(), id="t")
    assert await run.result() == "done"
    assert effects["unsteady"] == 3
    keys = await done_keys(engine, "t")
    assert not any("c_inline" in key for key in keys)


wrong = Agent(FunctionModel(calls_tools), name="wrong", capabilities=[Durability()])


@wrong.tool_plain(metadata={"outlast": {"retires": 3}})
async def mistaken() -> str:
    return ""


@workflow
async def uses_wrong() -> str:
    return (await wrong.run("x")).output


async def test_metadata_that_makes_no_sense_is_told(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="the metadata 'outlast' of tool 'mistaken'"):
        await engine.run(uses_wrong())


@pytest.mark.parametrize(
    "steps",
    [{"tool": {}}, {"tools": {"retries": 3}}, {"model": {"retry": 5}}, {"mcp": {"once": "twice"}}],
)
def test_steps_that_make_no_sense_are_refused_at_once(steps: StepConfigs) -> None:
    with pytest.raises(UserError, match="Durability: steps="):
        Durability(steps=steps)


# ------------------------------------------------------------------------------- actors
@actor(name="agents.Chat")
class Chat(Actor[bytes]):
    """Goes on with its conversation at each message."""

    @handler
    async def say(self, text: str) -> int:
        known = ModelMessagesTypeAdapter.validate_json(self.state or b"[]")
        result = await forecaster.run(text, message_history=known)
        self.state = result.all_messages_json()
        return len(result.all_messages())


async def test_an_agent_in_an_actor_goes_on_with_its_history(tmp_path: Path) -> None:
    path = str(tmp_path / "outlast.db")
    async with Engine.open(path) as engine:
        assert await engine.actor(Chat, "c").ask(Chat.say, "one") == 4
    async with Engine.open(path) as engine:
        assert await engine.actor(Chat, "c").ask(Chat.say, "two") == 6


# ------------------------------------------------------------------------------- people
asked: list[str] = []


async def ask(context: RunContext[object], requests: DeferredToolRequests, token: str) -> None:
    """Hand the token to whoever will answer."""
    del context
    asked.append(token)
    assert [call.tool_name for call in requests.approvals] == ["pay"]


payer = Agent(
    FunctionModel(calls_tools), name="payer", capabilities=[Durability(), RequestInput(ask)]
)


@payer.tool_plain(requires_approval=True)
async def pay() -> str:
    effects["pay"] += 1
    return "paid"


@workflow
async def pays() -> str:
    return (await payer.run("x")).output


async def test_an_approval_is_waited_for_out_of_memory(tmp_path: Path) -> None:
    path = str(tmp_path / "outlast.db")
    asked.clear()
    async with Engine.open(path) as engine:
        await engine.start(pays(), id="p")
        token = await first_token(engine)
        async with asyncio.timeout(10):
            while not asked:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
    async with Engine.open(path) as engine:
        answer = DeferredToolResults(approvals={"c_pay": True})
        await engine.answer(token, to_jsonable_python(answer))
        async with asyncio.timeout(20):
            assert await engine.get("p").result() == "done"
    assert asked == [token]
    assert effects["pay"] == 1


async def first_token(engine: Engine) -> str:
    async with asyncio.timeout(10):
        while True:
            async for token in engine.tokens():
                return token.id
            await asyncio.sleep(0.01)
