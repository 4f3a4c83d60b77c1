"""A scripted model says what its script has, whoever asks and however often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, ModelMessage
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelRateLimitError,
    ModelServerError,
)
from pydantic_ai.usage import RunUsage

from outlast import Call, Engine, Retry, RunFailed, UsageError, workflow
from outlast.agents import Durability, StepConfigs, agent_events
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
    Sim,
    ToolCall,
    ToolResult,
    Turn,
    crash_everywhere,
)

refunds: list[str] = []

# No type checker has seen them.
NO_TURNS: list[str] = json.loads("[7]")


@pytest.fixture(autouse=True)
def no_refunds() -> None:
    refunds.clear()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine.open(f"memory://{uuid4()}") as opened:
        yield opened


def support(
    model: ScriptedModel, *, is_durable: bool = True, is_streamed: bool = False
) -> Agent[None, str]:
    """Return an agent with one tool."""
    retries: StepConfigs = {"model": {"retry": Retry(attempts=5, first=0)}}
    durable = Durability[None](stream=is_streamed, steps=retries)
    capabilities = [durable] if is_durable else []
    agent = Agent(model, deps_type=type(None), name="support", capabilities=capabilities)

    @agent.tool_plain
    async def refund(order: str) -> str:
        refunds.append(order)
        return f"refunded {order}"

    return agent


def plain(turns: list[Turn]) -> Agent[None, str]:
    return support(ScriptedModel(turns), is_durable=False)


REFUND: list[Turn] = [Calls(("refund", {"order": "A-1"}), text="One moment."), Says("It is done.")]


# ------------------------------------------------------------------------------- turns
async def test_turns_come_in_order_and_a_script_begins_anew_with_each_conversation() -> None:
    agent = plain(REFUND)

    assert (await agent.run("Refund A-1.")).output == "It is done."
    assert (await agent.run("Again.")).output == "It is done."
    assert refunds == ["A-1", "A-1"]


async def test_a_script_goes_on_with_a_conversation_that_goes_on() -> None:
    agent = plain(["First.", "Second."])

    first = await agent.run("One?")
    second = await agent.run("Two?", message_history=first.all_messages())

    assert (first.output, second.output) == ("First.", "Second.")


async def test_a_script_may_begin_later_in_a_conversation() -> None:
    first = await plain(["First."]).run("One?")
    later = support(ScriptedModel(["Second."], after=1), is_durable=False)

    assert (await later.run("Two?", message_history=first.all_messages())).output == "Second."


async def test_parallel_calls_have_ids_that_are_given_or_the_same_each_time() -> None:
    calls = Calls(
        ("refund", {"order": "A"}),
        ("refund", {"order": "B"}),
        ToolCall("refund", {"order": "C"}, "c"),
    )
    agent = plain([calls, "Done."])

    for _ in range(2):
        messages = (await agent.run("x")).all_messages()
        assert [
            part.tool_call_id for part in messages[1].parts if part.part_kind == "tool-call"
        ] == [
            "call_1_1",
            "call_1_2",
            "c",
        ]
    assert sorted(refunds) == ["A", "A", "B", "B", "C", "C"]


async def test_a_function_decides_by_what_it_is_asked() -> None:
    def decide(asked: Asked) -> Calls | str:
        if not asked.results:
            return Calls(("refund", {"order": asked.prompt}))
        return asked.results[0].content

    assert (await plain([decide, decide]).run("A-7")).output == "refunded A-7"
    always = support(ScriptedModel(decide), is_durable=False)
    assert (await always.run("A-8")).output == "refunded A-8"


async def test_what_was_asked_can_be_read() -> None:
    model = ScriptedModel(REFUND)
    agent = support(model, is_durable=False)

    await agent.run("Refund A-1.")

    first, second = model.requests
    assert (first.turn, first.prompt, first.tools, first.results) == (
        1,
        "Refund A-1.",
        ("refund",),
        (),
    )
    assert second.results == (ToolResult("refund", "call_1_1", "refunded A-1"),)
    assert not second.is_streamed


class Order(BaseModel):
    number: int


async def test_a_structured_output_is_a_call_of_the_output_tool() -> None:
    agent = Agent(ScriptedModel([Calls(("final_result", {"number": 7}))]), output_type=Order)

    assert (await agent.run("x")).output == Order(number=7)


async def test_usage_is_the_same_each_time_and_may_be_given() -> None:
    agent = plain([*REFUND[:1], Says("It is done.", input_tokens=900, output_tokens=7)])

    # The call: 2 words of text, the tool's name, 1 word of arguments. Before it: 2 words of prompt.
    expected = RunUsage(requests=2, tool_calls=1, input_tokens=2 + 900, output_tokens=4 + 7)
    for _ in range(2):
        assert (await agent.run("Refund A-1.")).usage == expected


async def test_streamed_or_not_the_response_is_the_same() -> None:
    agent = plain([Calls(("refund", {"order": "A-1"})), "It is done."])
    asked = await agent.run("Refund A-1.")
    pieces: list[str] = []

    async with agent.run_stream("Refund A-1.") as streamed:
        async for piece in streamed.stream_text(delta=True, debounce_by=None):
            pieces.append(piece)

    assert pieces == ["It", " is", " done."]
    assert responses_of(streamed.all_messages()) == responses_of(asked.all_messages())
    assert streamed.usage == asked.usage


def responses_of(messages: list[ModelMessage]) -> list[object]:
    return [
        [repr(message.parts), message.usage, message.finish_reason]
        for message in messages
        if message.kind == "response"
    ]


# ------------------------------------------------------------------------------- faults
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind", "status", "retry_after"),
    [
        (Fails(429, retry_after=2.5), ModelRateLimitError, 429, 2.5),
        (Fails(500), ModelServerError, 500, None),
        (ContextOverflow(), ModelContextWindowExceededError, 400, None),
    ],
)
async def test_an_http_error_comes_as_its_class(
    fault: Turn,
    kind: type[AgentRunError],
    status: int,
    retry_after: float | None,
    *,
    is_streamed: bool,
) -> None:
    agent = plain([fault, "Now."])

    with pytest.raises(ModelHTTPError) as raised:
        await ask(agent, is_streamed=is_streamed)

    error = raised.value
    assert isinstance(error, kind)
    assert (error.status_code, error.retry_after) == (status, retry_after)
    if isinstance(fault, ContextOverflow):
        assert error.provider_error_code == "context_length_exceeded"


async def ask(agent: Agent[None, str], *, is_streamed: bool) -> str:
    if not is_streamed:
        return (await agent.run("x")).output
    async with agent.run_stream("x") as streamed:
        return "".join(
            [piece async for piece in streamed.stream_text(delta=True, debounce_by=None)]
        )


async def test_a_cut_stream_gives_its_tokens_and_breaks() -> None:
    pieces: list[str] = []

    async def listen() -> None:
        async with plain([Cut(3, "It is very cold.")]).run_stream("x") as streamed:
            async for piece in streamed.stream_text(delta=True, debounce_by=None):
                pieces.append(piece)

    with pytest.raises(ModelConnectionError, match="broke after 3 tokens"):
        await listen()

    assert "".join(pieces) == "It is very"


async def test_a_request_that_is_not_streamed_gets_nothing_of_a_cut_response() -> None:
    with pytest.raises(ModelConnectionError, match="broke after 3 tokens"):
        await plain([Cut(3, "It is very cold.")]).run("x")


async def test_malformed_arguments_are_given_back_to_the_model() -> None:
    model = ScriptedModel([Malformed("refund", '{"order": '), *REFUND])

    assert (await support(model, is_durable=False).run("x")).output == "It is done."
    assert refunds == ["A-1"]
    assert len(model.requests) == 3
    assert "Invalid JSON" in model.requests[1].results[0].content


async def test_a_refusal_is_a_refusal() -> None:
    with pytest.raises(ContentFilterError, match="Not that"):
        await plain([Refuses("Not that.")]).run("x")


async def test_the_same_messages_meet_a_fault_as_often_as_it_says() -> None:
    agent = plain([Fails(500, times=2), Fails(429), "Now."])
    seen: list[int | str] = []

    for _ in range(5):
        try:
            seen.append((await agent.run("x")).output)
        except ModelHTTPError as error:
            seen.append(error.status_code)

    assert seen == [500, 500, 429, "Now.", "Now."]


# --------------------------------------------------------------------------------- pace
async def test_tokens_come_at_their_pace_in_virtual_time() -> None:
    def slow(asked: Asked) -> Says:
        return Says("a b c d", tokens_per_second=0.5, delay=2)

    async def seconds(sim: Sim) -> float:
        async def times(_: object) -> float:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await plain([slow]).run("x")
            whole = loop.time()
            async with plain([slow]).run_stream("x") as streamed:
                async for _ in streamed.stream_text(delta=True, debounce_by=None):
                    pass
            assert loop.time() - whole == pytest.approx(10)
            return whole - began

        return await sim.call(times)

    async with Sim() as sim:
        assert await seconds(sim) == pytest.approx(10)


# ------------------------------------------------------------------------- out of turns
async def test_a_script_that_is_over_says_what_it_was_asked() -> None:
    with pytest.raises(
        UsageError, match=r"'scripted' has no turn .*response 2.*has 1 turn\b"
    ) as raised:
        await plain(REFUND[:1]).run("Refund A-1.")
    assert "'Refund A-1.'; refund gave 'refunded A-1'" in str(raised.value)


async def test_behind_the_last_fault_the_script_is_over() -> None:
    agent = plain([Fails(500)])
    with pytest.raises(ModelServerError):
        await agent.run("x")

    with pytest.raises(UsageError, match="attempt 2 of response 1, behind its last fault"):
        await agent.run("x")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ScriptedModel("text"),
        lambda: ScriptedModel(["x"], after=-1),
        lambda: ScriptedModel(NO_TURNS),
        lambda: Calls(),
        lambda: Fails(200),
        lambda: Fails(500, times=0),
        lambda: Says("x", tokens_per_second=0),
        lambda: Says("x", delay=-1),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(wrong: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        wrong()


async def test_a_function_that_gives_no_turn_is_told() -> None:
    def forgets(asked: Asked) -> str:
        return NO_TURNS[asked.turn - 1]

    with pytest.raises(UsageError, match="returns a turn, or a text, not 7"):
        await plain([forgets]).run("x")


async def test_arguments_that_are_no_data_are_told() -> None:
    with pytest.raises(UsageError, match="the arguments of 'refund' in the script"):
        await plain([Calls(("refund", {"order": object()}))]).run("x")


# ------------------------------------------------------------------------------- in runs
faulty = ScriptedModel(
    [
        Fails(429, retry_after=1),
        Fails(500),
        *REFUND[:1],
        Cut(2, "It was not"),
        Says("It is done.", tokens_per_second=100),
    ]
)
asking = support(faulty)
streaming = support(faulty, is_streamed=True)


@workflow
async def refunds_order() -> str:
    return (await asking.run("Refund A-1.")).output


@workflow
async def streams_refund() -> str:
    return (await streaming.run("Refund A-1.")).output


async def test_in_a_run_faults_are_met_by_attempts_of_the_step(engine: Engine) -> None:
    run = await engine.start(refunds_order(), id="r")

    assert await run.result() == "It is done."
    attempts = [
        r.attempt async for r in run.journal() if r.kind == "step_done" and "/model" in r.key
    ]
    assert attempts == [3, 2]
    assert refunds == ["A-1"]


async def test_what_a_cut_stream_said_is_taken_back(engine: Engine) -> None:
    run = await engine.start(streams_refund(), id="r")

    assert await run.result() == "It is done."
    text = ""
    async for event in run.stream(agent_events):
        text = "" if event.kind == "retract" else f"{text}{event.value}"
    assert "done" in text
    assert "was" not in text


@pytest.mark.parametrize("flow", [refunds_order, streams_refund])
async def test_a_crash_at_any_record_changes_no_turn(flow: Callable[[], Call[str]]) -> None:
    assert await crash_everywhere(flow()) == []


@pytest.mark.parametrize("seed", range(5))
async def test_in_simulated_time_each_run_meets_the_same_faults(seed: int) -> None:
    async with Sim(seed=seed, crash=0.2) as sim:
        for _ in range(2):
            assert await sim.run(refunds_order()) == "It is done."


async def test_a_simulation_with_a_scripted_model_can_be_repeated() -> None:
    traces: list[str] = []
    for _ in range(2):
        async with Sim(seed=3, crash=0.2) as sim:
            await sim.run(streams_refund(), id="r")
            traces.append(sim.trace)
    assert traces[0] == traces[1]


async def test_a_simulation_records_the_same_responses_each_time() -> None:
    journals: list[list[object]] = []
    for _ in range(2):
        async with Sim(seed=3) as sim:
            run = await sim.start(refunds_order(), id="r")
            await sim.result(run)
            journals.append([record.value for record in await sim.journal(run)])
    assert journals[0] == journals[1]


short = support(ScriptedModel(REFUND[:1]))


@workflow
async def runs_out() -> str:
    return (await short.run("x")).output


async def test_a_run_that_is_out_of_turns_fails_with_that(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="has no turn for this request"):
        await engine.run(runs_out())


@workflow
async def meets_errors() -> list[object]:
    seen: list[object] = []
    for fault in ("rate", "overflow"):
        try:
            await impatient[fault].run("x")
        except (ModelRateLimitError, ModelContextWindowExceededError) as error:
            seen += [type(error).__name__, error.retry_after]
    return seen


impatient = {
    "rate": Agent(
        ScriptedModel([Fails(429, retry_after=2)]), name="rate", capabilities=[Durability()]
    ),
    "overflow": Agent(
        ScriptedModel([ContextOverflow()]), name="overflow", capabilities=[Durability()]
    ),
}


async def test_workflow_code_catches_a_fault_by_its_class(engine: Engine) -> None:
    seen = await engine.run(meets_errors())
    assert seen[1::2] == [2.0, None]
    assert await crash_everywhere(meets_errors()) == []
