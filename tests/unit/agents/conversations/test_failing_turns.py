"""Turns that fail beside the agent, and what users have said in them."""

from __future__ import annotations

import asyncio
import types
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.function import FunctionModel
from typing_extensions import override

from outlast import Engine
from outlast.agents import (
    AgentActor,
    Conversation,
    Durability,
    Entry,
    Summarise,
    conversation_entries,
)
from outlast.errors import ActorParked, HandlerFailed, RegistrationError, UsageError
from outlast.testing import Says, ScriptedModel
from outlast.types import Retry
from tests.unit.agents.conversations import talking
from tests.unit.agents.conversations.talking import Talker, entries_of, lines_of

broken: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    talking.expect()
    broken.clear()


class Fragile(AgentActor[None, str], name="fragile-agent"):
    """What it needs for a turn fails when the test says so."""

    agent = talking.agent

    async def deps(self) -> None:
        if "deps" in broken:
            raise ValueError("no dependencies")

    @override
    def budget(self) -> AbstractContextManager[object]:
        if "budget" in broken:
            raise ValueError("no budget")
        return nullcontext()


@pytest.mark.parametrize("part", ["deps", "budget"])
async def test_a_turn_that_fails_before_its_agent_runs_keeps_what_was_said(
    url: str, part: str
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Fragile, "one")
        broken.append(part)
        with pytest.raises(HandlerFailed, match="ValueError: no"):
            await ref.ask(Fragile.chat, "hello")
        broken.clear()
        await ref.ask(Fragile.chat, "again")
        lines = lines_of(await entries_of(engine, 2, kind=Fragile))

    assert lines[0] == "user: hello"
    assert lines[1].startswith("failed: ValueError: no")
    assert talking.told[-1] == ["user: hello", "user: again"]


class Counts(AgentActor[None, int], name="counts-agent"):
    """Is declared with another output than its agent has."""

    agent = cast("Agent[None, int]", talking.agent)


async def test_an_output_that_cannot_be_stored_fails_the_turn_and_keeps_what_was_said(
    url: str,
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Counts, "one")
        with pytest.raises(HandlerFailed, match="EncodingError"):
            await ref.ask(Counts.chat, "hello")
        entries: list[Entry] = []
        async for event in ref.stream(conversation_entries):
            entries += [event.value] if event.value is not None else []
            if entries[-1].kind == "ended":
                break

    assert lines_of(entries)[:2] == ["user: hello", "agent: hello "]
    assert entries[-1].outcome == "failed"


class Stubborn(AgentActor[None, str], name="stubborn-agent"):
    """Its model can only stream, and a summary is wanted in one piece."""

    agent = Agent(
        FunctionModel(stream_function=talking.say),
        name="stubborn",
        deps_type=type(None),
        capabilities=[Durability(stream=True)],
    )
    conversation = Conversation(window_tokens=40, compact=Summarise(to=10))


async def test_a_summary_that_fails_in_any_way_leaves_the_conversation_as_it_is(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Stubborn, "one")
        for number in range(3):
            await ref.ask(Stubborn.chat, f"turn {number} {'word ' * 30}".strip())

    assert talking.told[-1][0].startswith("user: turn 0")


class Patient(AgentActor[None, str], name="patient-agent"):
    """Its model would be asked again and again."""

    agent = Agent(
        ScriptedModel([Says("late", delay=3_600), "next"]),
        name="patient",
        deps_type=type(None),
        capabilities=[
            Durability(steps={"model": {"retry": Retry(attempts=50, first="10s", jitter="none")}})
        ],
    )


async def test_an_interrupted_request_is_not_made_again(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Patient, "one")
        first = asyncio.ensure_future(ref.ask(Patient.chat, "hello"))
        async for seen in Patient.observe(ref):
            if seen.entry is not None:
                break
        await ref.ask(Patient.interrupt)

        with pytest.raises(HandlerFailed, match="TurnInterrupted"):
            await first


async def test_what_a_summary_has_used_counts_too(url: str) -> None:
    class Brief(AgentActor[None, str], name="brief-agent"):
        agent = Agent(
            FunctionModel(stream_function=talking.say),
            name="brief",
            deps_type=type(None),
            capabilities=[Durability(stream=True)],
        )
        conversation = Conversation(
            window_tokens=40, compact=Summarise(to=10, model=ScriptedModel(lambda _: "S"))
        )

    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Brief, "one")
        for number in range(2):
            await ref.ask(Brief.chat, f"turn {number} {'word ' * 30}".strip())
        about = await ref.ask(Brief.about)

    assert about.usage.requests == 3


async def test_a_tool_that_raises_is_told_to_the_model_with_its_error(url: str) -> None:
    raising = Agent(
        FunctionModel(stream_function=talking.say),
        name="raising",
        deps_type=type(None),
        capabilities=[Durability(stream=True)],
    )

    @raising.tool_plain
    async def tool(name: str) -> str:
        raise ValueError(f"there is no {name}")

    class Raising(AgentActor[None, str], name="raising-agent"):
        agent = raising

    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Raising, "one")
        with pytest.raises(HandlerFailed, match="there is no hammer"):
            await ref.ask(Raising.chat, "use hammer")
        await ref.ask(Raising.chat, "so")

    assert "there is no hammer" in talking.told[-1][1]


async def test_what_is_wrong_is_said_where_it_is_given(url: str) -> None:
    with pytest.raises(RegistrationError, match=r"Own\.chat is made of the agent"):
        types.new_class("Own", (AgentActor[None, str],), {}, exec_body=_with_own_chat)
    with pytest.raises(RegistrationError, match="compact= is Summarise"):
        Conversation(compact="x")  # type: ignore[arg-type]  # the mistake that is tested
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        with pytest.raises(UsageError, match="after= is the offset"):
            await anext(Talker.observe(ref, after=-5))
        with pytest.raises(TypeError, match=r"Talker\.chat\(\)"):
            await ref.ask(Talker.chat)  # type: ignore[call-arg]  # the mistake that is tested


def _with_own_chat(names: dict[str, object]) -> None:
    names.update(agent=talking.agent, chat=None)


class Slow(AgentActor[None, str], name="slow-agent"):
    """Its summaries take an hour."""

    agent = Agent(
        FunctionModel(stream_function=talking.say),
        name="slow",
        deps_type=type(None),
        capabilities=[Durability(stream=True)],
    )
    conversation = Conversation(
        window_tokens=40,
        compact=Summarise(to=10, model=ScriptedModel([Says("S", delay=3_600), "S"])),
    )


async def test_an_interruption_ends_a_summary_too(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Slow, "one")
        await ref.ask(Slow.chat, f"turn 0 {'word ' * 30}".strip())
        second = asyncio.ensure_future(ref.ask(Slow.chat, "turn 1"))
        async for seen in Slow.observe(ref):
            if seen.entry is not None and seen.entry.text == "turn 1":
                break
        await ref.ask(Slow.interrupt)

        with pytest.raises(HandlerFailed, match="TurnInterrupted"):
            await second


hammers = Agent(
    FunctionModel(stream_function=talking.say),
    name="parks",
    deps_type=type(None),
    capabilities=[
        Durability(stream=True, steps={"tools": {"retry": Retry(attempts=1, then="park")}})
    ],
)


@hammers.tool_plain(name="tool")
async def swing(name: str) -> str:
    """Miss."""
    raise ValueError(f"missed the {name}")


class Parks(AgentActor[None, str], name="parks-agent"):
    """A tool that raises parks it."""

    agent = hammers


async def test_the_conversation_of_a_parked_agent_can_be_read(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Parks, "one")
        await ref.ask(Parks.chat, "hello")
        with pytest.raises(ActorParked):
            await ref.ask(Parks.chat, "use hammer")
        kinds: list[str] = []
        async for seen in Parks.observe(ref):
            kinds += [] if seen.entry is None else [seen.entry.kind]
            if "ended" in kinds:
                break

    assert kinds == ["user", "message", "message", "ended"]
