"""Agents whose providers have limits: when their requests are sent, and what is told of them."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator

import pytest
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.function import AgentInfo, FunctionModel

from outlast import App, Engine, Retry, Timeout, step, wf, workflow
from outlast.agents import AgentActor, Conversation, Durability, Summarise, budget
from outlast.errors import RunFailed, UsageError
from outlast.testing import Asked, Fails, Says, ScriptedModel, Sim

PROVIDER = "test:key-1"

sent: list[tuple[float, str]] = []
"""When each request reached the model, by the simulation's clock, and what it said."""


def answer(asked: Asked) -> Says | Fails:
    """Note when it was asked; a text that ends in a question mark is refused once."""
    sent.append((asyncio.get_running_loop().time(), asked.prompt))
    if asked.prompt.endswith("?") and asked.attempt == 1:
        return Fails(429, retry_after=7)
    if asked.prompt.endswith("!") and asked.attempt <= 4:
        return Fails(429, retry_after=0)
    return Says(f"re: {asked.prompt}")


model = ScriptedModel(answer)
limited: Agent[None, str] = Agent(
    model, name="limited", capabilities=[Durability(provider=PROVIDER)]
)
streamed: Agent[None, str] = Agent(
    model, name="streamed", capabilities=[Durability(provider=PROVIDER, stream=True)]
)
impatient: Agent[None, str] = Agent(
    model,
    name="impatient",
    capabilities=[
        Durability(
            provider=PROVIDER,
            steps={
                "model": {"timeout": Timeout(run="2s", queue="20s"), "retry": Retry(attempts=1)}
            },
        )
    ],
)
refused: list[float] = []


async def untold_time(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Refuse once, with a time that is none."""
    del messages, info
    refused.append(asyncio.get_running_loop().time())
    if len(refused) == 1:
        raise ModelHTTPError(429, "scripted", retry_after=math.nan)
    return ModelResponse(parts=[TextPart("ok")])


untold: Agent[None, str] = Agent(
    FunctionModel(untold_time), name="untold", capabilities=[Durability(provider=PROVIDER)]
)
plain: Agent[None, str] = Agent(model, name="plain", capabilities=[Durability()])
AGENTS = {a.name or "": a for a in (limited, streamed, impatient, untold, plain)}


class Talker(AgentActor[None, str], name="limits.talker"):
    """Talks, and is limited."""

    agent = limited


class Tenanted(AgentActor[None, str], name="limits.tenanted"):
    """Talks for a tenant, which the actor's key begins with."""

    agent = limited

    async def deps(self) -> None:
        """Say whose request it is."""
        wf.set_attributes(tenant=self.key.partition(" ")[0])


class Summarised(AgentActor[None, str], name="limits.summarised"):
    """Talks, and is summarised soon."""

    agent = limited
    conversation = Conversation(window_tokens=100, compact=Summarise(to=50))


@step
async def asks(text: str) -> str:
    """Ask the agent in a step, which the agent's run is no part of."""
    return (await limited.run(text)).output


@workflow
async def ask_in_a_step(text: str) -> str:
    """Ask the agent in a step."""
    return await asks(text)


@workflow
async def ask_under(tokens: int, text: str) -> str:
    """Ask the agent under a budget."""
    with budget(tokens=tokens):
        return (await limited.run(text)).output


@workflow
async def ask(agent: str, text: str, tenant: str | None = None) -> str:
    """Ask one of the agents."""
    if tenant is not None:
        wf.set_attributes(tenant=tenant)
    return (await AGENTS[agent].run(text)).output


@pytest.fixture(autouse=True)
def clean() -> None:
    sent.clear()


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with Sim(seed=11, slow=0.0) as made:
        yield made


def times(of: str = "") -> list[float]:
    return [at for at, text in sent if text.startswith(of)]


async def test_requests_of_all_runs_wait_for_their_turns_in_one_queue(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=60)
    runs = [await sim.start(ask("limited" if n % 2 else "streamed", f"{n}")) for n in range(30)]

    answers = [await sim.result(run) for run in runs]

    assert answers == [f"re: {n}" for n in range(30)]
    assert times()[9] - times()[0] < 1.0
    assert times()[29] - times()[0] == pytest.approx(25.0, abs=1.0)


async def test_without_declared_limits_no_request_waits(sim: Sim) -> None:
    sim.engine.limits.provider("another", rpm=1)
    runs = [await sim.start(ask("limited", f"{n}")) for n in range(20)]

    for run in runs:
        await sim.result(run)

    assert times()[19] - times()[0] < 1.0


@pytest.mark.parametrize("name", ["outlast", "outlast:scripted"])
async def test_an_agent_that_names_no_provider_keeps_to_the_limits_of_its_model(
    sim: Sim, name: str
) -> None:
    sim.engine.limits.provider(name, rpm=1)
    runs = [await sim.start(ask("plain", f"{n}")) for n in range(2)]

    for run in runs:
        await sim.result(run)

    assert times()[1] - times()[0] >= 60.0


async def test_a_tenant_with_one_request_does_not_wait_behind_a_thousand_of_another(
    sim: Sim,
) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=60, fair_by="tenant")
    flood = [await sim.start(ask("limited", f"flood {n}", "acme")) for n in range(60)]
    await sim.advance(5)
    small = [await sim.start(ask("limited", f"small {n}", "small")) for n in range(3)]
    began = sim_time(sim)

    for run in (*small, *flood):
        await sim.result(run)

    assert times("small")[2] - began < 8.0
    assert times("flood")[59] > times("small")[2] + 30.0


async def test_requests_of_actors_come_before_those_of_workflows(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=60)
    runs = [await sim.start(ask("limited", f"batch {n}")) for n in range(60)]
    await sim.advance(5)
    began = sim_time(sim)

    await sim.engine.actor(Talker, "ann").ask(Talker.chat, "chat")

    assert times("chat")[0] - began < 3.0
    for run in runs:
        await sim.result(run)


async def test_actors_are_tenants_of_their_own_unless_their_code_says_otherwise(
    sim: Sim,
) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=60, fair_by="tenant")
    for number in range(20):
        await sim.engine.actor(Talker, f"{number}").tell(Talker.chat, "own")
    await sim.advance(1)
    [own] = sim.engine.limits.providers()
    await sim.advance(60)
    for number in range(20):
        await sim.engine.actor(Tenanted, f"acme {number}").tell(Tenanted.chat, "acme")
    await sim.advance(1)
    [shared] = sim.engine.limits.providers()

    assert own.tenants == own.waiting > 5
    assert shared.waiting > 5
    assert shared.tenants == 1


async def test_summaries_wait_for_their_turns_too(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=100)
    talker = sim.engine.actor(Summarised, "ann")
    for number in range(4):
        await talker.ask(Summarised.chat, f"{number} " + "word " * 60)
    [info] = sim.engine.limits.providers()

    assert len([text for _, text in sent if "Summar" in text or "user:" in text.lower()]) >= 1
    assert info.requests_used == len(sent)


async def test_an_agent_in_a_tool_waits_for_its_turn_too(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=100)

    assert await sim.run(ask_in_a_step("hello")) == "re: hello"

    [info] = sim.engine.limits.providers()
    assert info.requests_used == 1


async def test_a_request_that_a_budget_refuses_uses_no_turn(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=1)
    refused = await sim.start(ask_under(5, "refused"))
    assert "the request was not sent" in await outcome(sim, refused)

    assert await sim.run(ask_under(100_000, "sent")) == "re: sent"
    assert len(sent) == 1
    assert times()[0] - sim_time(sim) > -30.0


async def test_a_hold_is_told_while_it_lasts(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=600)
    run = await sim.start(ask("limited", "really?"))
    await sim.advance(2)

    why = await sim.engine.get(run).why()
    [info] = sim.engine.limits.providers()

    assert "the provider asked to wait" in why
    assert 3 < info.held_seconds < 7


async def test_a_turn_that_waits_can_be_interrupted(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=1)
    await sim.result(await sim.start(ask("limited", "first")))
    talker = sim.engine.actor(Talker, "eve")
    await talker.tell(Talker.chat, "waits")
    await sim.advance(2)
    [before] = sim.engine.limits.providers()

    assert await talker.ask(Talker.interrupt)
    [after] = sim.engine.limits.providers()

    assert (before.waiting, after.waiting) == (1, 0)
    assert len(sent) == 1


async def test_a_provider_that_asks_to_wait_is_left_alone_and_the_request_is_sent_again(
    sim: Sim,
) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=600)
    first = await sim.start(ask("limited", "really?"))
    await sim.advance(1)
    others = [await sim.start(ask("streamed", f"{n}")) for n in range(5)]

    assert await sim.result(first) == "re: really?"
    for run in others:
        await sim.result(run)

    refused = times("really?")[0]
    assert len(times("really?")) == 2
    assert min(at for at, _ in sent[1:]) - refused >= 7.0


async def test_a_provider_that_refuses_again_and_again_without_a_time_is_given_time(
    sim: Sim,
) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=600)
    run = await sim.start(ask("limited", "now!"))

    assert await sim.result(run) == "re: now!"
    pauses = [after - before for before, after in itertools.pairwise(times())]
    assert len(pauses) == 4
    assert pauses[0] < 1.0
    assert pauses[1] >= 2.0
    assert pauses[2] >= 4.0


async def test_a_time_that_is_none_is_as_if_it_had_not_been_told(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=600)
    refused.clear()
    run = await sim.start(ask("untold", "hello"))

    assert await sim.result(run) == "ok"
    assert refused[1] - refused[0] >= 1.0


async def test_a_streamed_request_is_sent_again_too(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=600)
    run = await sim.start(ask("streamed", "really?"))

    assert await sim.result(run) == "re: really?"
    assert times()[1] - times()[0] >= 7.0


async def test_time_in_the_queue_does_not_count_as_time_of_the_attempt(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=60)
    runs = [await sim.start(ask("impatient", f"{n}")) for n in range(25)]

    for run in runs:
        await sim.result(run)  # each may run for 2 s, and the last waits for 18

    assert len(sent) == 25


async def test_the_time_in_the_queue_has_a_limit_of_its_own(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=60)
    runs = [await sim.start(ask("impatient", f"{n}")) for n in range(40)]

    ended = [await outcome(sim, run) for run in runs]

    assert all("queue" in x for x in ended if not x.startswith("re: "))
    assert 24 <= sum(x.startswith("re: ") for x in ended) <= 28
    assert len(sent) == sum(x.startswith("re: ") for x in ended)


async def test_a_run_that_waits_tells_its_place_and_what_is_before_it(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=60, fair_by="tenant")
    runs = [await sim.start(ask("limited", f"{n}", "acme")) for n in range(30)]
    await sim.advance(0.5)

    last = await sim.engine.get(runs[-1]).why()
    await sim.engine.get(runs[10]).cancel("not needed")
    await sim.advance(0.2)
    later = await sim.engine.get(runs[-1]).why()
    [info] = sim.engine.limits.providers()

    assert "place 20 of 20, after 19 batch requests; 10 of 60 requests a minute are used" in last
    assert "place 19 of 19" in later
    assert (info.name, info.waiting, info.tenants, info.requests_used) == (PROVIDER, 19, 1, 10)


async def test_tokens_are_counted_as_the_responses_say(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, tpm=3_000)
    long = "word " * 600

    for number in range(3):
        await sim.result(await sim.start(ask("limited", f"{number} {long}")))
    [info] = sim.engine.limits.providers()

    assert times()[2] - times()[0] > 30.0
    assert 1_000 < info.tokens_used <= 3_000


async def test_limits_that_are_raised_hold_at_once(sim: Sim) -> None:
    sim.engine.limits.provider(PROVIDER, rpm=1)
    runs = [await sim.start(ask("limited", f"{n}")) for n in range(5)]
    await sim.advance(5)
    assert len(sent) == 1

    sim.engine.limits.provider(PROVIDER, rpm=6_000)
    for run in runs:
        await sim.result(run)

    assert times()[4] - times()[0] < 7.0


async def test_a_program_declares_limits_before_its_runs_are_recovered(url: str) -> None:
    app = App()
    app.limits.provider(PROVIDER, rpm=500, tpm=10_000, fair_by="tenant")

    async with app.open(url) as engine:
        engine.limits.provider(PROVIDER, rpm=100)
        assert await engine.run(ask("limited", "hello")) == "re: hello"
        [info] = engine.limits.providers()

    assert (info.rpm, info.requests_used) == (100, 1)
    assert [(p.rpm, p.tpm, p.fair_by) for p in app.limits.providers()] == [(500, 10_000, "tenant")]


async def test_an_engine_closes_while_requests_wait_and_the_next_sends_them(url: str) -> None:
    engine = Engine.open(url)
    engine.limits.provider(PROVIDER, rpm=1)
    async with engine:
        runs = [await engine.start(ask("limited", f"{n}"), id=f"run-{n}") for n in range(5)]
        await runs[0].result(timeout=5)

    async with Engine.open(url) as later:
        answers = [await later.get(f"run-{n}", ask).result(timeout=10) for n in range(5)]

    assert answers == [f"re: {n}" for n in range(5)]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "need rpm="),
        ({"rpm": 0}, "from 1 to .*, not 0"),
        ({"rpm": True}, "from 1 to .*, not True"),
        ({"tpm": 1.5}, "from 1 to .*, not 1.5"),
        ({"rpm": 5, "fair_by": 3}, "name of an attribute, not 3"),
    ],
)
async def test_limits_that_make_no_sense_are_refused(
    engine: Engine, limits: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        engine.limits.provider("p", **limits)  # type: ignore[arg-type]  # what no checker has seen


def sim_time(sim: Sim) -> float:
    return sim._yard.client.monotonic()


async def outcome(sim: Sim, run: str) -> str:
    try:
        return f"{await sim.result(run)}"
    except RunFailed as error:
        return f"{error}"
