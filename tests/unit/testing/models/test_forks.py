"""A run is forked at a request of its agent, which goes on with another model or prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pydantic_ai import Agent

from outlast import Engine, Run, RunFailed, UsageError, workflow
from outlast.agents import Durability, agent_events, effect, idempotency_key
from outlast.testing import (
    Asked,
    Calls,
    Fails,
    ScriptedModel,
    Sim,
    assert_exactly_once,
    crash_everywhere,
    fork,
)

effects: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def no_effects() -> None:
    effects.clear()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine.open(f"memory://{uuid4()}") as opened:
        yield opened


usual = ScriptedModel(
    [
        Calls(("look", {"at": "A"})),
        Calls(("look", {"at": "B"})),
        "A and B are fine.",
    ],
    name="usual",
)
clerk = Agent(
    usual,
    name="clerk",
    instructions="Be kind.",
    system_prompt="You are a clerk.",
    capabilities=[Durability()],
)
speaker = Agent(usual, name="speaker", capabilities=[Durability(stream=True)])


@clerk.tool_plain
@speaker.tool_plain
async def look(at: str) -> str:
    effects[at] += 1
    return f"{at} is fine"


def key_of(at: str) -> str:
    return f"pay {at}"


payer = Agent(
    ScriptedModel([Calls(("pay", {"at": "A"}), ("look", {"at": "A"})), "Paid."]),
    name="payer",
    capabilities=[Durability()],
)


@payer.tool_plain
@effect(idempotent=key_of)
async def pay(at: str) -> str:
    effects[f"{at} {idempotency_key()}"] += 1
    return f"{at} is paid"


@payer.tool_plain(name="look")
@effect("pure")
async def look_once(at: str) -> str:
    effects[f"{at} {idempotency_key().partition('/')[0]}"] += 1
    return f"{at} is fine"


@workflow
async def pays() -> str:
    return (await payer.run("Pay.")).output


@workflow
async def checks(what: str) -> str:
    return (await clerk.run(what)).output


@workflow
async def speaks(what: str) -> str:
    return (await speaker.run(what)).output


@workflow
async def checks_twice() -> str:
    first = (await clerk.run("One.")).output
    return first + (await clerk.run("Two.")).output


@workflow
async def both() -> str:
    return (await clerk.run("One.")).output + (await speaker.run("Two.")).output


async def checked(engine: Engine) -> Run[str]:
    run = await engine.start(checks("Check A and B."))
    await run.result()
    return run


def brief(asked: Asked) -> str:
    told = asked.results[0].content if asked.results else "nothing"
    return f"Answer {asked.turn} to {asked.prompt!r} after {told}."


async def test_what_was_before_comes_from_the_journal_and_the_rest_from_the_other_model(
    engine: Engine,
) -> None:
    run = await checked(engine)
    other = ScriptedModel(brief, name="other")
    asked = len(usual.requests)

    forked = await fork(run, at=2, model=other)

    assert await forked.run.result() == "Answer 2 to 'Check A and B.' after A is fine."
    assert await run.result() == "A and B are fine."
    assert effects == {"A": 1, "B": 1}
    assert len(other.requests) == 1
    assert len(usual.requests) == asked


async def test_the_difference_is_in_cost_tools_and_answer(engine: Engine) -> None:
    run = await checked(engine)
    forked = await fork(run, at=2, model=ScriptedModel(brief))
    await forked.run.result()

    diff = await forked.diff()

    assert diff.differs
    assert (diff.original.requests, diff.fork.requests) == (3, 2)
    assert diff.original.tools == ('look({"at":"A"})', 'look({"at":"B"})')
    assert diff.fork.tools == ('look({"at":"A"})',)
    assert diff.fork.input_tokens < diff.original.input_tokens
    assert "answer: A and B are fine. -> Answer 2 to" in f"{diff}"


async def test_a_fork_with_nothing_else_is_no_different(engine: Engine) -> None:
    forked = await fork(await checked(engine), at=3)
    await forked.run.result()

    diff = await forked.diff()

    assert not diff.differs
    assert "->" not in f"{diff}"


async def test_another_prompt_is_what_the_model_is_told(engine: Engine) -> None:
    model = ScriptedModel(brief)
    forked = await fork(await checked(engine), at=3, model=model, prompt="Check B.")

    assert await forked.run.result() == "Answer 3 to 'Check B.' after B is fine."


async def test_another_prompt_goes_to_the_agents_own_model_too(engine: Engine) -> None:
    asked = len(usual.requests)
    forked = await fork(await checked(engine), at=3, prompt="Check B.")
    await forked.run.result()

    assert [request.prompt for request in usual.requests[asked + 3 :]] == ["Check B."]


async def test_other_instructions_take_the_place_of_all_that_the_agent_has(engine: Engine) -> None:
    model = ScriptedModel(brief)
    forked = await fork(await checked(engine), at=1, model=model, instructions="Be short.")

    await forked.run.result()

    assert model.requests[0].instructions == "Be short."
    assert "You are a clerk." in usual.requests[-1].instructions


async def test_other_arguments_are_those_of_the_workflow(engine: Engine) -> None:
    model = ScriptedModel(brief)
    forked = await fork(await checked(engine), at=2, model=model, input={"what": "Check C."})

    assert await forked.run.result() == "Answer 2 to 'Check C.' after A is fine."


async def test_a_fork_of_a_stream_says_nothing_of_what_it_left(engine: Engine) -> None:
    run = await engine.start(speaks("Check A and B."))
    await run.result()
    forked = await fork(run, at=3, model=ScriptedModel(brief))
    said = await forked.run.result()

    text = "".join([f"{event.value}" async for event in forked.run.stream(agent_events)])
    assert said == "Answer 3 to 'Check A and B.' after B is fine."
    assert "B is fine" in text
    assert "A and B are" not in text


down = Agent(
    ScriptedModel([Calls(("look", {"at": "A"})), Fails(503, times=9)]),
    name="down",
    capabilities=[Durability()],
)
down.tool_plain(look)


@workflow
async def fails() -> str:
    return (await down.run("Check A.")).output


async def test_a_run_whose_model_failed_is_finished_by_another(engine: Engine) -> None:
    run = await engine.start(fails())
    with pytest.raises(RunFailed, match="503"):
        await run.result()

    forked = await fork(run, at=2, model=ScriptedModel(brief))

    assert await forked.run.result() == "Answer 2 to 'Check A.' after A is fine."
    assert (await forked.diff()).original.requests == 1
    assert effects == {"A": 1}


async def test_a_later_run_of_the_agent_is_chosen_and_has_the_other_model(engine: Engine) -> None:
    run = await engine.start(checks_twice())
    await run.result()
    model = ScriptedModel(brief)

    first = await fork(run, at=3, model=model, prompt="Check B.")
    second = await fork(run, at=3, model=model, prompt="Check B.", agent="clerk#2")

    expected = "Answer 3 to 'Check B.' after B is fine."
    assert (await second.run.result()) == f"A and B are fine.{expected}"
    assert second.agent_run == "clerk#2"
    # The prompt is that of one run of the agent, the model that of the agent.
    assert (await first.run.result()) == f"{expected}Answer 1 to 'Two.' after nothing."


async def test_the_tools_of_a_fork_have_the_keys_of_the_original(engine: Engine) -> None:
    run = await checked(engine)
    forked = await fork(run, at=2)
    await forked.run.result()

    assert effects == {"A": 1, "B": 2}
    await assert_exactly_once(forked.run, "look", calls=2)


@pytest.mark.parametrize("seed", range(8))
async def test_each_fork_has_its_model_over_crashes_of_the_engine(seed: int) -> None:
    async with Sim(seed=seed, crash=0.3) as sim:
        run = await sim.start(checks("Check A and B."))
        await sim.result(run)

        async def forks(engine: Engine) -> str:
            model = ScriptedModel(brief)
            return (await fork(engine.get(run, checks), at=2, model=model)).run.id

        await sim.call(forks)  # called again when a crash cuts it off, so there may be several
        made = [info.id async for info in sim.engine.runs("workflow:checks") if info.id != run]

        expected = "Answer 2 to 'Check A and B.' after A is fine."
        assert [await sim.result(one) for one in made] == [expected] * len(made)


async def test_a_request_or_an_agent_that_is_not_there_is_named(engine: Engine) -> None:
    run = await checked(engine)

    with pytest.raises(UsageError, match="clerk#1 has no request 4: it has made 3"):
        await fork(run, at=4)
    with pytest.raises(UsageError, match="no requests of an agent 'boss': it has clerk#1"):
        await fork(run, at=1, agent="boss")
    with pytest.raises(UsageError, match=r"model= takes an instance of .* Model, not 5"):
        await fork(run, at=1, model=5)  # type: ignore[arg-type]  # what the checker refuses
    with pytest.raises(UsageError, match="at= is the number of a request, from 1 on, not 'x'"):
        await fork(run, at="x")  # type: ignore[arg-type]  # the same


async def test_among_several_agents_one_must_be_named(engine: Engine) -> None:
    run = await engine.start(both())
    await run.result()

    with pytest.raises(UsageError, match="in which agent to fork: one of clerk#1, speaker#1"):
        await fork(run, at=2)
    forked = await fork(run, at=2, agent="speaker", model=ScriptedModel(brief))
    assert (await forked.run.result()).startswith("A and B are fine.Answer 2")


async def test_other_runs_have_the_agents_own_model(engine: Engine) -> None:
    run = await checked(engine)
    await (await fork(run, at=2, model=ScriptedModel(brief))).run.result()

    assert await engine.run(checks("Check A and B.")) == "A and B are fine."
    assert await crash_everywhere(checks("Check A and B.")) == []


async def test_new_keys_are_those_of_steps_and_not_what_a_key_function_returns(
    engine: Engine,
) -> None:
    run = await engine.start(pays(), id="r")
    await run.result()
    forked = await fork(run, at=1, keys="new")
    await forked.run.result()

    assert effects == {"A pay A": 2, "A r": 1, f"A {forked.run.id}": 1}
