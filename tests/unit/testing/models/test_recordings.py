"""What models said is taken out of a journal, kept in a file, and said again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import TypeAdapter
from pydantic_ai import Agent, ModelResponse, TextPart
from pydantic_ai.models import Model

from outlast import Engine, RunFailed, Signal, UsageError, workflow
from outlast.agents import Durability, agent_events
from outlast.testing import (
    Calls,
    RecordedResponse,
    Recording,
    ScriptedModel,
    Sim,
    record,
    replace_models,
    replay_model,
)

prices: dict[str, int] = {}
BIG = "x" * 40_000  # more than a record holds itself


@pytest.fixture(autouse=True)
def known_prices() -> None:
    prices.clear()
    prices.update(A=1, B=2)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine.open(f"memory://{uuid4()}") as opened:
        yield opened


def shop(model: Model[None], *, is_durable: bool = True) -> Agent[None, str]:
    capabilities = [Durability[None]()] if is_durable else []
    agent = Agent(model, deps_type=type(None), name="shop:1", capabilities=capabilities)

    @agent.tool_plain
    async def price(of: str) -> int:
        return prices[of]

    return agent


SCRIPT = ScriptedModel(
    [
        Calls(("price", {"of": "A"}), ("price", {"of": "B"})),
        Calls(("price", {"of": "A"}), text="Once more."),
        f"They cost 3.{BIG}",
    ]
)
asking = shop(SCRIPT)
greeting = Agent(ScriptedModel(["Hello."]), name="greeter", capabilities=[Durability()])
go_on = Signal("go_on", str)


@workflow
async def asks() -> str:
    return (await asking.run("How much?")).output


@workflow
async def asks_twice_and_waits() -> str:
    first = await asking.run("How much?")
    await greeting.run("Hello?")
    second = await asking.run("And now?")
    await go_on.receive()
    return first.output + second.output


@workflow
async def waits() -> str:
    return await go_on.receive()


async def recorded(engine: Engine) -> Recording:
    run = await engine.start(asks())
    await run.result()
    return await record(run)


async def test_a_recording_has_each_response_and_what_tools_gave(engine: Engine) -> None:
    recording = await recorded(engine)

    said = [(said.agent_run, said.request) for said in recording.responses]
    assert said == [("shop:1#1", 1), ("shop:1#1", 2), ("shop:1#1", 3)]
    assert recording.responses[0].results == {"call_1_1": 1, "call_1_2": 2}
    assert BIG in f"{recording.responses[2].response}"


async def test_a_file_gives_the_recording_back(engine: Engine, tmp_path: Path) -> None:
    recording = await recorded(engine)
    recording.dump(tmp_path / "recording.json")

    assert Recording.load(tmp_path / "recording.json") == recording


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2, "responses": []}', '{"format": 1}'])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "recording.json").write_text(text)

    with pytest.raises(UsageError, match=r"recording\.json is"):
        Recording.load(tmp_path / "recording.json")


async def test_an_open_run_can_be_recorded_by_the_agents_in_it() -> None:
    async with Sim() as sim:
        run = await sim.start(asks_twice_and_waits())
        await sim.advance(1)
        recording = await record(await sim.journal(run))
        await sim.signal(run, go_on, "now")
        await sim.result(run)

    assert recording.agent_runs == ("shop:1#1", "greeter#1", "shop:1#2")


async def test_a_run_without_agents_has_nothing_to_record() -> None:
    async with Sim() as sim:
        run = await sim.start(waits())
        with pytest.raises(UsageError, match="the journal has no response of a model"):
            await record(await sim.journal(run))


async def test_a_recorded_model_answers_as_the_model_did(engine: Engine) -> None:
    recording = await recorded(engine)
    again = shop(replay_model(recording), is_durable=False)

    result = await again.run("How much?")
    async with again.run_stream("How much?") as streamed:
        output = await streamed.get_output()

    assert result.output == f"They cost 3.{BIG}"
    assert output == "Once more."  # the first text of a stream ends it
    assert result.usage.requests == 3


# ---------------------------------------------------------------------------- differences
async def failure_of(agent: Agent[None, str]) -> str:
    with pytest.raises(UsageError) as raised:
        await agent.run("How much?")
    return f"{raised.value}"


async def test_another_result_of_a_tool_is_named(engine: Engine) -> None:
    again = shop(replay_model(await recorded(engine)), is_durable=False)
    prices["B"] = 7

    assert (
        "request 2 of shop:1#1 is not the recorded one: the result of price (call_1_2) before "
        "response 2 was 2 in the recording, and is 7" in await failure_of(again)
    )


async def test_another_response_in_the_history_is_named(engine: Engine) -> None:
    again = shop(replay_model(await recorded(engine)), is_durable=False)
    history = (await shop(ScriptedModel(["Nothing."]), is_durable=False).run("x")).all_messages()

    with pytest.raises(UsageError) as raised:
        await again.run("And now?", message_history=history)

    assert (
        "request 2 of shop:1#1 is not the recorded one: response 1 was price(" in f"{raised.value}"
    )
    assert "and is 'Nothing.'" in f"{raised.value}"


async def test_a_request_behind_the_last_response_is_named(engine: Engine) -> None:
    recording = Recording((await recorded(engine)).responses[:2])
    again = shop(replay_model(recording), is_durable=False)

    assert (
        "no response for request 3 of shop:1#1: it has 2; it was asked after price gave 1"
        in await failure_of(again)
    )


async def test_a_recorded_conversation_may_follow_another(engine: Engine) -> None:
    history = (await shop(ScriptedModel(["Nothing."]), is_durable=False).run("x")).all_messages()
    again = shop(replay_model(await recorded(engine), after=1), is_durable=False)

    assert (await again.run("How much?", message_history=history)).output == f"They cost 3.{BIG}"
    assert "the history has 0 responses, and after= says" in await failure_of(again)


# -------------------------------------------------------------------------- several agents
def said(agent_run: str, text: str) -> RecordedResponse:
    response: dict[str, object] = ADAPTER.dump_python(ModelResponse([TextPart(text)]), mode="json")
    return RecordedResponse(agent_run, 1, response, {})


ADAPTER: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)
SEVERAL = Recording((said("shop:1#1", "one"), said("shop:1#2", "two"), said("greeter#1", "hi")))
chosen = {"model": replay_model(SEVERAL, agent="shop:1")}


@workflow
async def asks_the_recording(times: int) -> list[str]:
    agent = shop(chosen["model"])
    return [(await agent.run("How much?")).output for _ in range(times)]


@workflow
async def streams_the_recording() -> str:
    durable = Durability[None](stream=True)
    agent = Agent(chosen["model"], deps_type=type(None), name="shop:1", capabilities=[durable])
    return (await agent.run("How much?")).output


async def test_in_a_run_each_run_of_the_agent_gets_its_own_responses(engine: Engine) -> None:
    assert await engine.run(asks_the_recording(2)) == ["one", "two"]


async def test_in_a_run_a_recorded_response_is_streamed_too(engine: Engine) -> None:
    run = await engine.start(streams_the_recording())

    assert await run.result() == "one"
    events = [f"{event.value}" async for event in run.stream(agent_events)]
    assert any("'content': 'one'" in event for event in events)


async def test_a_run_of_the_agent_that_was_not_recorded_is_named(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="no run shop:1#3 of the agent: it has shop:1#1, shop:1#2"):
        await engine.run(asks_the_recording(3))


async def test_elsewhere_the_run_of_the_agent_must_be_chosen() -> None:
    second = replay_model(SEVERAL, agent="shop:1#2")

    assert (await shop(second, is_durable=False).run("x")).output == "two"
    both = shop(replay_model(SEVERAL, agent="shop:1"), is_durable=False)
    assert "agent= says which run is meant" in await failure_of(both)


def test_an_agent_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no agent 'shop': it has shop:1#1, shop:1#2, greeter#1"):
        replay_model(SEVERAL, agent="shop")


async def test_outside_of_a_run_one_model_of_several_agents_asks_which_is_meant() -> None:
    asked = shop(replay_model(SEVERAL), is_durable=False)

    assert "agent= says which run is meant" in await failure_of(asked)


async def test_one_recording_replaces_the_models_of_all_agents_of_a_workflow(
    engine: Engine,
) -> None:
    run = await engine.start(greets_and_asks())
    assert await run.result() == "Hello; own"
    recorded = replay_model(await record(run))

    with replace_models({"greeter": ScriptedModel(["Good day"])}):
        assert await engine.run(greets_and_asks()) == "Good day; own"
        with replace_models({"greeter": recorded, "clerk": recorded}):
            asked = len(OWN.requests)
            assert await engine.run(greets_and_asks()) == "Hello; own"
            assert len(OWN.requests) == asked
    assert await engine.run(greets_and_asks()) == "Hello; own"


OWN = ScriptedModel(["own"])
greeter = Agent(ScriptedModel(["Hello"]), name="greeter", capabilities=[Durability()])
clerk = Agent(OWN, name="clerk", capabilities=[Durability()])


@workflow
async def greets_and_asks() -> str:
    return f"{(await greeter.run('Hello?')).output}; {(await clerk.run('And?')).output}"
