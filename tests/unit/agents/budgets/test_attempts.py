"""Attempts, replays, forks and streams under budgets: what each of them is charged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.exceptions import ModelConnectionError
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from outlast import Engine, Retry, Signal, wf, workflow
from outlast.agents import Durability, budget, effect
from outlast.agents.budgets.scopes import OF_RUNS
from outlast.errors import RunFailed
from outlast.testing import Calls, Cut, Fails, Says, ScriptedModel, crash_everywhere, fork
from tests.unit.agents.budgets.counted import ledgers
from tests.unit.agents.scripted import setting, turn_of

AGAIN = Durability[object](steps={"model": {"retry": Retry(attempts=3, first=0.0)}})
USED = RequestUsage(input_tokens=100, output_tokens=20)


def calls(tool: str, arguments: Mapping[str, object]) -> Calls:
    return Calls((tool, arguments), input_tokens=100, output_tokens=20)


def says(text: str) -> Says:
    return Says(text, input_tokens=100, output_tokens=20)


# ---------------------------------------------------------------------------------- attempts
limited = Agent(
    ScriptedModel([Fails(429), says("Hm.")]),
    name="limited",
    capabilities=[AGAIN],
)


@workflow
async def ask_limited() -> int:
    with budget(tokens=5_000) as spent:
        await limited.run("Hello.")
    return spent.tokens


async def test_an_attempt_that_the_provider_answered_with_an_error_costs_nothing(
    engine: Engine,
) -> None:
    assert await engine.run(ask_limited()) == 120


tries: list[str] = []


async def break_once(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages, info
    tries.append("")
    if len(tries) == 1:
        raise ModelConnectionError("scripted", "the connection broke", phase="read")
    return ModelResponse(parts=[TextPart("ok")], usage=USED)


breaking = Agent(
    FunctionModel(break_once),
    name="breaking",
    capabilities=[AGAIN],
    model_settings=ModelSettings(max_tokens=1_000),
)


@workflow
async def ask_breaking() -> int:
    with budget(scope="breaking", tokens=5_000) as spent:
        await breaking.run("Hello.")
    return spent.tokens


async def test_a_lost_attempt_is_counted_at_its_worst_case(engine: Engine) -> None:
    tries.clear()

    tokens = await engine.run(ask_breaking())

    assert 1_120 < tokens < 1_320
    assert len(tries) == 2


async def misreport(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer with a usage that cannot be: the prompt tells how many tokens of input."""
    del info
    prompt = messages[-1].parts[-1]
    count = int(f"{prompt.content}") if isinstance(prompt, UserPromptPart) else 0
    used = RequestUsage(input_tokens=count, output_tokens=1)
    return ModelResponse(parts=[TextPart("ok")], usage=used, model_name="misreporting")


misreporting = Agent(
    FunctionModel(misreport, model_name="misreporting"),
    name="misreporting",
    capabilities=[Durability()],
    model_settings=ModelSettings(max_tokens=1_000),
)


@workflow
async def ask_misreporting(count: str) -> int:
    with budget(scope="misreporting", tokens=50_000) as spent:
        await misreporting.run(count)
    return spent.tokens


@pytest.mark.parametrize("count", [-5_000, 2**62])
async def test_a_usage_that_cannot_be_is_charged_at_the_worst_case(
    engine: Engine, count: int
) -> None:
    assert 1_000 < await engine.run(ask_misreporting(f"{count}")) < 1_500


refused_times: list[str] = []


async def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages, info
    refused_times.append("")
    raise AssertionError("the request was sent")


poor = Agent(FunctionModel(never), name="poor", capabilities=[AGAIN])


@workflow
async def ask_poor() -> None:
    with budget(tokens=10):
        await poor.run("Hello.")


async def test_a_request_that_the_budget_refused_is_not_retried(engine: Engine) -> None:
    run = await engine.start(ask_poor())

    with pytest.raises(RunFailed, match="OverBudget"):
        await run.result()

    failed = [record async for record in run.journal() if record.kind == "attempt_failed"]
    assert failed == []
    assert refused_times == []


# ------------------------------------------------------------------- replay, retry and forks
@dataclass
class Two:
    """What two questions have cost, and what was known after the first."""

    first: int
    both: int


talking = Agent(
    ScriptedModel([calls("look", {"what": 1}), says("Hm.")]),
    name="talking",
    capabilities=[Durability()],
)


@talking.tool_plain
@effect("pure")
async def look(what: int) -> str:
    return f"seen {what}"


@workflow
async def ask_twice(limit: int) -> Two:
    with budget(tokens=limit, tool_calls=40, wall="10m", same_call=3) as spent:
        await talking.run("One.")
        first = spent.tokens
        await talking.run("Two.")
    return Two(first, spent.tokens)


async def test_a_run_that_is_killed_at_each_record_has_spent_the_same() -> None:
    assert await crash_everywhere(ask_twice(100_000)) == []


go = Signal("budgets.go", type(None))
came: list[asyncio.Event] = []


@workflow
async def ask_and_wait() -> int:
    with budget(tokens=100_000) as spent:
        await talking.run("One.")
        await wf.step("came", came[0].set)
        await go.receive()
    return spent.tokens


async def test_replay_charges_nothing(tmp_path: Path) -> None:
    came[:] = [asyncio.Event()]
    path = tmp_path / "a.db"
    async with Engine.open(path) as engine:
        await engine.start(ask_and_wait(), id="w")
        await came[0].wait()

    async with Engine.open(path) as engine:
        await engine.get("w").signal(go, None)
        spent = await engine.get("w", ask_and_wait).result()
        [info] = await ledgers(engine)

    assert (spent, info.tokens) == (240, 240)


allowed: list[int] = []
LITTLE = 330  # tokens: enough for the first question

simple = Agent(ScriptedModel([says("Hm.")]), name="simple", capabilities=[Durability()])


@workflow
async def ask_as_allowed() -> int:
    with budget(tokens=allowed[0]) as spent:
        await simple.run("One.")
        await simple.run("Two.")
    return spent.tokens


async def test_a_retry_goes_on_with_what_the_run_has_spent(engine: Engine) -> None:
    allowed[:] = [LITTLE]
    run = await engine.start(ask_as_allowed(), id="r")
    with pytest.raises(RunFailed, match="OverBudget"):
        await run.result()
    [before] = await ledgers(engine)

    allowed[:] = [100_000]
    await run.retry()

    assert await run.result() == 240
    [after] = await ledgers(engine)
    assert (before.tokens, after.tokens) == (120, 240)


async def test_a_later_run_of_the_same_id_has_a_budget_of_its_own(engine: Engine) -> None:
    await engine.run(ask_twice(100_000), id="same")
    await engine.run(ask_twice(100_000), id="same", reuse="always")

    assert [info.tokens for info in await ledgers(engine)] == [480, 480]


async def test_a_fork_is_charged_for_what_it_asks_anew_in_a_budget_of_its_own(
    engine: Engine,
) -> None:
    run = await engine.start(ask_twice(100_000), id="origin")
    await run.result()

    forked = (await fork(run, at=2)).run
    await forked.result()

    spent = {info.name.split("/")[0]: info.tokens for info in await ledgers(engine)}
    assert spent == {f"{OF_RUNS}origin": 480, f"{OF_RUNS}{forked.id}": 360}


# ------------------------------------------------------------------- engines that close
arrivals: list[asyncio.Event] = []
releases: list[asyncio.Event] = []


async def when_released(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del messages, info
    arrivals.append(asyncio.Event())
    pauses[0].set()
    await releases[0].wait()
    return ModelResponse(parts=[TextPart("ok")], usage=USED)


pauses: list[asyncio.Event] = []
held_up = Agent(
    FunctionModel(when_released),
    name="held_up",
    capabilities=[Durability()],
    model_settings=ModelSettings(max_tokens=1_000),
)


@workflow
async def ask_two(number: int) -> list[int]:
    with budget(scope="held up", tokens=1_500) as spent:
        await asyncio.gather(*(held_up.run("Hello.") for _ in range(number)))
        await spent.refresh()
    return [spent.tokens]


@pytest.mark.parametrize("number", [1, 2])
async def test_an_engine_that_closes_lets_requests_finish_and_charges_them(
    tmp_path: Path, number: int
) -> None:
    arrivals.clear()
    pauses[:], releases[:] = [asyncio.Event()], [asyncio.Event()]
    async with Engine.open(tmp_path / "a.db") as engine:
        await engine.start(ask_two(number), id="two")
        await pauses[0].wait()  # the other one has no room beside it

        releases[0].set()
        async with asyncio.timeout(20):
            await engine.drain("1h")

    async with Engine.open(tmp_path / "a.db") as engine:
        assert await engine.get("two", ask_two).result() == [120 * number]
    assert len(arrivals) == number


# ------------------------------------------------------------------- streams, outputs, tools
streaming = Agent(
    ScriptedModel([calls("look", {"what": 1}), says("One two.")]),
    name="streaming",
    capabilities=[Durability(stream=True)],
)
streaming.tool_plain(name="look")(look)


@workflow
async def ask_streaming(limit: int) -> list[str]:
    with budget(tokens=limit) as spent:
        output = (await streaming.run("One.")).output
    return [output, f"{spent.tokens}"]


async def test_a_streamed_response_is_charged_when_it_has_ended(engine: Engine) -> None:
    assert await engine.run(ask_streaming(50_000)) == ["One two.", "240"]


@workflow
async def child_by(way: str) -> str:
    if way == "iter":
        async with talking.iter("Look.") as run:
            async for _ in run:
                pass
        return run.result.output if run.result is not None else ""
    async with talking.run_stream_events("Look.") as events:
        return f"{len([event async for event in events])} events"


@workflow
async def with_child_by(way: str) -> list[int]:
    with budget(tokens=80_000, tool_calls=5) as spent:
        await child_by(way)
        await spent.refresh()
    return [spent.tokens, spent.tool_calls]


@pytest.mark.parametrize("way", ["iter", "events"])
async def test_a_child_shares_the_budget_however_it_runs_its_agent(
    engine: Engine, way: str
) -> None:
    assert await engine.run(with_child_by(way)) == [240, 1]


cut = Agent(
    ScriptedModel([Cut(1, "One two three."), says("One two.")]),
    name="cut",
    capabilities=[Durability(stream=True, steps={"model": {"retry": Retry(attempts=2, first=0)}})],
    model_settings=ModelSettings(max_tokens=1_000),
)


@workflow
async def ask_cut() -> int:
    with budget(tokens=50_000) as spent:
        await cut.run("One.")
    return spent.tokens


async def test_a_stream_that_breaks_is_counted_at_its_worst_case(engine: Engine) -> None:
    assert 1_120 < await engine.run(ask_cut()) < 1_320


class Verdict(BaseModel):
    """An output that the model gives by a tool."""

    text: str


async def judge(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if setting(info, "tool_choice") == "none":
        made = ToolCallPart("final_result", {"text": "as far as I know"})
        return ModelResponse(parts=[made], usage=USED)
    turn = turn_of(messages)
    call = ToolCallPart("look", {"what": turn}, tool_call_id=f"call_{turn}")
    return ModelResponse(parts=[call], usage=USED)


judging = Agent(
    FunctionModel(judge), name="judging", output_type=Verdict, capabilities=[Durability()]
)
judging.tool_plain(name="look")(look)


@workflow
async def ask_for_verdict() -> list[str]:
    with budget(tool_calls=2) as spent:
        verdict = (await judging.run("Judge.")).output
    return [verdict.text, f"{spent.stop_reason}"]


async def test_the_last_turn_can_give_a_structured_output(engine: Engine) -> None:
    assert await engine.run(ask_for_verdict()) == ["as far as I know", "tool_calls"]


leading = Agent(
    ScriptedModel([calls("delegate", {}), says("Done.")]),
    name="leading",
    capabilities=[Durability()],
)


@leading.tool_plain
@effect("pure")
async def delegate() -> str:
    return (await talking.run("One.")).output


@workflow
async def ask_leader() -> int:
    with budget(tokens=100_000) as spent:
        await leading.run("Lead.")
    return spent.tokens


async def test_an_agent_that_a_tool_calls_is_charged_to_the_same_budget(engine: Engine) -> None:
    assert await engine.run(ask_leader()) == 480
