"""Which model a durable run asks, what its tools see, and turns that a provider suspends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from pydantic_ai import (
    Agent,
    ModelMessage,
    ModelResponse,
    ModelRetry,
    RunContext,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.capabilities import ResolveModelId, SelectModel
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.models import Model, ModelResolutionContext, ModelSelectionContext
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import UsageLimits
from typing_extensions import override

from outlast import Engine, Run, workflow
from outlast.agents import Durability, effect
from outlast.errors import RunFailed
from outlast.testing import Sim, crash_everywhere
from tests.unit.agents.scripted import turn_of

asked: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def clean() -> None:
    asked.clear()


async def keys_of(run: Run[str]) -> list[str]:
    return [record.key async for record in run.journal() if record.kind == "step_done"]


# ------------------------------------------------------------------------ choice of models
def saying(word: str) -> FunctionModel:
    async def say(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        del messages, info
        asked[word] += 1
        return ModelResponse(parts=[TextPart(word)])

    return FunctionModel(say, model_name=word)


own, fast, stray = saying("own"), saying("fast"), saying("stray")
chooser = Agent(own, name="models_chooser", capabilities=[Durability(models={"fast": fast})])
MODELS = {"own": own, "fast": fast, "stray": stray}


@workflow
async def choose(model: str, *, as_instance: bool = False) -> str:
    chosen = MODELS[model] if as_instance else model
    return (await chooser.run("go", model=chosen)).output


@workflow
async def choose_by_override(model: str) -> str:
    with chooser.override(model=MODELS[model]):
        return (await chooser.run("go")).output


@pytest.mark.parametrize(
    "call",
    [
        lambda: choose("fast"),
        lambda: choose("fast", as_instance=True),
        lambda: choose_by_override("fast"),
    ],
    ids=["key", "instance", "override"],
)
async def test_a_registered_model_can_be_chosen(engine: Engine, call: Callable[[], object]) -> None:
    assert await engine.run(call()) == "fast"  # type: ignore[arg-type]  # calls of two workflows
    assert asked == {"fast": 1}


async def test_the_agents_own_model_can_be_named_as_an_instance(engine: Engine) -> None:
    assert await engine.run(choose("own", as_instance=True)) == "own"


async def test_an_instance_that_is_not_registered_is_refused(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="was not registered with `Durability`"):
        await engine.run(choose("stray", as_instance=True))
    with pytest.raises(RunFailed, match="Unknown model: nothing"):
        await engine.run(choose("nothing"))
    assert not asked


async def fast_then_own(context: ModelSelectionContext[object]) -> str:
    return "fast" if context.run_step == 1 else "own"


def by_tenant(context: ModelResolutionContext[str], model_id: str) -> Model | None:
    return MODELS.get(context.deps) if model_id == "tenant" else None


switching = Agent(
    own,
    name="models_switching",
    capabilities=[SelectModel(fast_then_own), Durability(models={"fast": fast, "own": own})],
)
rented = Agent(
    own,
    name="models_rented",
    deps_type=str,
    capabilities=[ResolveModelId(by_tenant), Durability(models={"fast": fast})],
)


@switching.output_validator
def is_own(output: str) -> str:
    if output != "own":
        raise ModelRetry("another model must say it")
    return output


@workflow
async def switch() -> str:
    return (await switching.run("go")).output


@workflow
async def rent(tenant: str) -> str:
    return (await rented.run("go", model="tenant", deps=tenant)).output


async def test_a_selector_chooses_the_model_of_each_request(engine: Engine) -> None:
    assert await engine.run(switch()) == "own"
    assert asked == {"fast": 1, "own": 1}
    assert await crash_everywhere(switch()) == []


async def test_a_resolver_that_uses_deps_is_asked_in_the_step(engine: Engine) -> None:
    assert await engine.run(rent("stray")) == "stray"
    assert await engine.run(rent("fast")) == "fast"
    assert asked == {"stray": 1, "fast": 1}
    assert await crash_everywhere(rent("stray")) == []


# ---------------------------------------------------------------------- what a tool sees
FIELDS = (
    *("deps", "prompt", "tool_call_id", "tool_name", "retry", "max_retries", "run_step"),
    *("metadata", "tool_call_approved", "partial_output", "loaded_capability_ids"),
)
seen: list[dict[str, object]] = []
refused: list[str] = []


async def call_once(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    del info
    if not turn_of(messages):
        return ModelResponse(parts=[ToolCallPart("look", {"at": 1}, tool_call_id="c1")])
    return ModelResponse(parts=[TextPart("done")])


looker = Agent(
    FunctionModel(call_once),
    name="models_looker",
    deps_type=dict[str, int],
    capabilities=[Durability()],
)


@looker.tool(retries=3)
@effect("pure")
async def look(ctx: RunContext[dict[str, int]], at: int) -> int:
    seen.append({name: getattr(ctx, name) for name in FIELDS})
    assert ctx.agent is looker
    assert ctx.model.model_name.startswith("function:call_once")
    assert len(ctx.messages) == 2
    assert ctx.usage.requests == 1
    try:
        ctx.enqueue("more")
    except Exception as error:  # noqa: BLE001  # what it raises is the question
        refused.append(f"{error}")
    return at


@workflow
async def looks() -> str:
    return (await looker.run("hello", deps={"a": 1}, metadata={"m": 2})).output


async def test_a_tool_sees_in_a_run_what_it_sees_outside(engine: Engine) -> None:
    seen.clear()
    refused.clear()
    await looker.run("hello", deps={"a": 1}, metadata={"m": 2})
    assert not refused

    assert await engine.run(looks()) == "done"

    outside, inside = seen
    assert inside == outside
    assert inside["deps"] == {"a": 1}
    (why,) = refused
    assert "not supported inside a durable step" in why


# ----------------------------------------------------------------------- order of steps
@dataclass
class Plan:
    title: str
    days: int


async def plan(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    output = info.output_tools[0].name
    turns: list[list[tuple[str, dict[str, object]]]] = [
        [("find", {"place": "Oslo"}), ("price", {"place": "Oslo"}), ("find", {"place": "Rome"})],
        [("unsure", {})],
        [(output, {"title": "", "days": 2})],
        [(output, {"title": "Oslo", "days": 2})],
    ]
    turn = turn_of(messages)
    return ModelResponse(
        parts=[
            ToolCallPart(name, arguments, tool_call_id=f"c{turn}.{number}")
            for number, (name, arguments) in enumerate(turns[turn])
        ]
    )


planner = Agent(
    FunctionModel(plan), name="models_planner", output_type=Plan, capabilities=[Durability()]
)


@planner.tool_plain
@effect("pure")
async def find(place: str) -> str:
    return place


@planner.tool_plain
@effect("pure")
async def price(place: str) -> int:
    return len(place)


@planner.tool_plain(retries=2)
@effect("pure")
async def unsure() -> str:
    raise ModelRetry("say it again")


@planner.output_validator
async def has_title(output: Plan) -> Plan:
    if not output.title:
        raise ModelRetry("it needs a title")
    return output


@workflow
async def plans(mode: str) -> str:
    match mode:
        case "sequential":
            with planner.parallel_tool_call_execution_mode("sequential"):
                return (await planner.run("Plan.")).output.title
        case "in order":
            with planner.parallel_tool_call_execution_mode("parallel_ordered_events"):
                return (await planner.run("Plan.")).output.title
        case _:
            return (await planner.run("Plan.")).output.title


@pytest.mark.parametrize("mode", ["sequential", "in order", "parallel"])
async def test_the_steps_of_a_run_are_these(engine: Engine, mode: str) -> None:
    run = await engine.start(plans(mode))
    assert await run.result() == "Oslo"

    keys = [key.partition(":")[0] for key in await keys_of(run)]
    tools = ["tool/c0.0", "tool/c0.1", "tool/c0.2"]
    expected = ["1/model", *tools, "2/model", "2/tool/c1.0", "3/model", "4/model"]
    expected = [f"1/{key}" if key in tools else key for key in expected]
    found = [key.removeprefix("=models_planner#1/") for key in keys]
    if mode == "sequential":
        assert found == expected
    assert sorted(found) == sorted(expected)
    assert await crash_everywhere(plans(mode)) == []


# ------------------------------------------------------------------------ suspended turns
class Suspending(FunctionModel):
    """Its provider suspends the turn twice before it is done."""

    withdrawn: list[str | None]

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(self._next, model_name="suspending")
        self.withdrawn = []
        self._seconds = seconds

    @override
    def continuation_delay(self, response: ModelResponse) -> float | None:
        return self._seconds

    async def _next(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        del info
        last = messages[-1]
        number = 1
        if isinstance(last, ModelResponse):
            number = int(f"{last.provider_response_id}") + 1
        asked[f"part {number}"] += 1
        state: Literal["suspended", "complete"] = "suspended" if number < 3 else "complete"
        return ModelResponse(
            parts=[TextPart(f"part {number} ")], state=state, provider_response_id=f"{number}"
        )

    @override
    async def cancel_suspended_response(self, response: ModelResponse) -> None:
        self.withdrawn.append(response.provider_response_id)


suspending = Suspending()
patient = Agent(suspending, name="models_patient", capabilities=[Durability()])
polling = Agent(Suspending(3_600.0), name="models_polling", capabilities=[Durability()])


@workflow
async def polls_the_provider() -> str:
    return (await polling.run("go")).output


@workflow
async def waits_for_the_provider(tokens: int | None = None) -> str:
    limits = UsageLimits(output_tokens_limit=tokens)
    try:
        return (await patient.run("go", usage_limits=limits)).output
    except UsageLimitExceeded:
        return "too much"


async def test_each_part_of_a_suspended_turn_is_a_step(engine: Engine) -> None:
    run = await engine.start(waits_for_the_provider())

    assert await run.result() == "part 1 part 2 part 3 "
    keys = [key.partition(":")[0] for key in await keys_of(run)]
    assert keys == [f"=models_patient#1/1/model{number}" for number in ("", "#2", "#3")]
    assert asked == {"part 1": 1, "part 2": 1, "part 3": 1}
    assert await crash_everywhere(waits_for_the_provider()) == []


async def test_a_poll_of_the_provider_waits_for_a_durable_timer() -> None:
    async with Sim(seed=1) as sim:
        run = await sim.start(polls_the_provider())
        assert await sim.result(run) == "part 1 part 2 part 3 "
        kinds = [record.kind for record in await sim.journal(run)]
    assert kinds.count("timer_fired") == 2


async def test_a_limit_that_is_exceeded_withdraws_the_suspended_turn(engine: Engine) -> None:
    suspending.withdrawn.clear()

    assert await engine.run(waits_for_the_provider(1)) == "too much"

    assert suspending.withdrawn == ["1"]
    assert asked["part 3"] == 0


# ------------------------------------------------------------------------ the lines that ask
@workflow
async def placed(how: str) -> None:
    match how:
        case "run":
            await own_agent.run("go")  # line: run
        case "together":
            await asyncio.gather(own_agent.run("a"), own_agent.run("b"))  # line: together
        case "group":
            async with asyncio.TaskGroup() as group:  # line: group
                group.create_task(own_agent.run("go"))
        case _:
            async with own_agent.iter("go", run_id="given") as run:  # line: iter
                async for _ in run:
                    pass


LINES = Path(__file__).read_text().splitlines()
own_agent = Agent(own, name="models_own", capabilities=[Durability()])


@pytest.mark.parametrize("how", ["run", "together", "group", "iter"])
async def test_a_step_shows_the_line_of_the_workflow_that_asks(engine: Engine, how: str) -> None:
    run = await engine.start(placed(how))
    await run.result()

    found = {record.place async for record in run.journal() if record.kind == "step_done"}
    number = next(n for n, line in enumerate(LINES, 1) if line.endswith(f"# line: {how}"))
    assert found == {f"agents/test_models.py:{number}"}
