"""Conversations that begin with a part of another one, and go on with another text or model."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic_ai import Agent, RunContext

from outlast import Engine
from outlast.agents import (
    AgentActor,
    Conversation,
    Durability,
    Entry,
    ForkedFrom,
    Price,
    Question,
    conversation_entries,
    requires_approval,
    set_prices,
)
from outlast.errors import HandlerFailed
from outlast.testing import Asked, Calls, Says, ScriptedModel
from tests.unit.agents.conversations import talking
from tests.unit.agents.conversations.talking import Talker, entries_of, lines_of


def answer(asked: Asked) -> Says | Calls:
    """Refund what is to be refunded, and else repeat what was said."""
    if not asked.results and "refund" in asked.prompt:
        return Calls(("refund", {"cents": 900}))
    return Says(f"You said {asked.prompt}.")


dear = ScriptedModel(answer, name="dear")
cheap = ScriptedModel(answer, name="cheap")
clerk = Agent(
    dear,
    name="forked-clerk",
    deps_type=type(None),
    capabilities=[Durability(models={"cheap": cheap})],
)


@clerk.tool
@requires_approval()
async def refund(ctx: RunContext[None], cents: int) -> str:
    """Pay money back."""
    return f"{cents} paid"


class Clerk(AgentActor[None, str], name="forked-clerk"):
    """Answers letters."""

    agent = clerk


brief = Agent(
    ScriptedModel(answer, name="dear"),
    name="forked-brief",
    deps_type=type(None),
    capabilities=[Durability()],
)


class Brief(AgentActor[None, str], name="forked-brief"):
    """Is told the last few words only."""

    agent = brief
    conversation = Conversation(window_tokens=1_150, compact=None)


@pytest.fixture(autouse=True)
def prices() -> object:
    talking.expect()
    set_prices({"dear": Price(input=1000, output=1000)})
    yield
    set_prices({"dear": None})


async def clerk_entries(engine: Engine, key: str, turn: int) -> list[tuple[int, Entry]]:
    found: list[tuple[int, Entry]] = []
    async for event in engine.actor(Clerk, key).stream(conversation_entries):
        if event.value is not None:
            found.append((event.offset, event.value))
            if event.value.kind == "ended" and event.value.turn == turn:
                break
    return found


async def brief_entries(engine: Engine, key: str, turn: int) -> list[tuple[int, Entry]]:
    found: list[tuple[int, Entry]] = []
    async for event in engine.actor(Brief, key).stream(conversation_entries):
        if event.value is not None:
            found.append((event.offset, event.value))
            if event.value.kind == "ended" and event.value.turn == turn:
                break
    return found


async def until_asked(engine: Engine, key: str) -> Question:
    async for event in engine.actor(Clerk, key).stream(conversation_entries):
        if event.value is not None and event.value.question is not None:
            return event.value.question
    raise AssertionError("people were asked nothing")


async def test_a_fork_goes_on_from_what_was_said_before_and_pays_for_none_of_it(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        one, two = engine.actor(Talker, "one"), engine.actor(Talker, "two")
        await one.ask(Talker.chat, "use hammer")
        await one.ask(Talker.chat, "bye")
        requests = talking.effects["request"]
        origin = await two.ask(Talker.fork, "one", 6, "hello")
        lines = lines_of(await entries_of(engine, 2, "two"))
        about = await two.ask(Talker.about)
        before = lines_of(await entries_of(engine, 2, "one"))

    assert origin == about.forked_from == ForkedFrom("one", 6, 6)
    assert talking.effects["request"] == requests + 1
    assert talking.effects["tool hammer"] == 1
    assert talking.told[-1] == [
        "user: use hammer",
        "tool: did hammer",
        "agent: did hammer ",
        "user: hello",
    ]
    assert lines[:4] == before[:4]
    assert lines[4:] == ["user: hello", "agent: hello ", "completed"]
    assert (about.turns, about.usage.requests) == (2, 1)


async def test_a_fork_keeps_its_model_over_turns_and_restarts(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine, asyncio.timeout(30):
        await engine.actor(Clerk, "a").ask(Clerk.chat, "hello")
        two = engine.actor(Clerk, "b")
        await two.ask(Clerk.fork, "a", 0, model="cheap")
        await two.ask(Clerk.chat, "first")
    async with Engine.open(tmp_path / "o.db") as engine, asyncio.timeout(30):
        await engine.actor(Clerk, "b").ask(Clerk.chat, "second")
        ended = [e for _, e in await clerk_entries(engine, "b", 2) if e.kind == "ended"]
        [original] = [e for _, e in await clerk_entries(engine, "a", 1) if e.kind == "ended"]

    assert [entry.model for entry in ended] == ["cheap", "cheap"]
    assert original.model == "dear"
    assert [e.usage.priced for e in ended if e.usage is not None] == [0, 0]
    assert original.usage is not None
    tokens = original.usage.input_tokens + original.usage.output_tokens
    assert (original.usage.priced, original.usage.usd) == (1, Decimal(tokens) / 1000)


@pytest.mark.parametrize(
    ("of", "at", "model", "why"),
    [
        ("a", 0, "no-such", "knows no model 'no-such'"),
        ("a", 1, None, "no turn that begins with entry 1"),
        ("a", 99, None, "no turn that begins with entry 99"),
        ("none", 0, None, "no turn that begins with entry 0"),
    ],
)
async def test_what_cannot_be_forked_is_refused_and_leaves_nothing_said(
    url: str, of: str, at: int, model: str | None, why: str
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        await engine.actor(Clerk, "a").ask(Clerk.chat, "hello")
        fork = engine.actor(Clerk, "b")
        with pytest.raises(HandlerFailed, match=why):
            await fork.ask(Clerk.fork, of, at, "hi", model)
        about = await fork.ask(Clerk.about)
        assert (about.entries, about.forked_from, about.model) == (0, None, "")
        assert await fork.ask(Clerk.chat, "hi") == "You said hi."
        with pytest.raises(HandlerFailed, match="has a conversation already"):
            await fork.ask(Clerk.fork, "a", 0, "hi")


async def test_a_conversation_shows_who_approved_a_call_and_a_busy_one_can_be_forked(
    url: str,
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Clerk, "a")
        await ref.tell(Clerk.chat, "refund me")
        asked = await until_asked(engine, "a")
        await engine.actor(Clerk, "b").ask(Clerk.fork, "a", 0, "rather not")
        other = await clerk_entries(engine, "b", 1)
        await engine.approve(asked.token, by="Mia", reason="as agreed")
        entries = await clerk_entries(engine, "a", 1)

    [answered] = [entry for _, entry in entries if entry.kind == "answered"]
    assert answered.question is not None
    assert answered.question.calls == asked.calls
    assert (answered.question.approved, answered.question.by, answered.text) == (
        True,
        "Mia",
        "as agreed",
    )
    assert [entry.text for _, entry in other if entry.kind == "user"] == ["rather not"]


async def test_a_fork_of_a_fork_refuses_a_message_whose_history_it_has_not(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        one, two, three = (engine.actor(Brief, key) for key in ("one", "two", "three"))
        for number in range(6):
            await one.ask(Brief.chat, f"{number} {'word ' * 150}".strip())
        starts = {
            entry.history_start: offset
            for offset, entry in await brief_entries(engine, "one", 6)
            if entry.kind == "user"
        }
        cut, at = max(starts.items())
        origin = await two.ask(Brief.fork, "one", at, "u")
        begun = [
            (offset, entry.history_start)
            for offset, entry in await brief_entries(engine, "two", 6)
            if entry.kind == "user"
        ]
        assert cut > 0
        assert origin == ForkedFrom("one", at, at - cut)
        assert begun[-1] == (origin.entries, 0)
        assert begun[0][1] < 0
        with pytest.raises(HandlerFailed, match="fork the conversation that it was made of"):
            await three.ask(Brief.fork, "two", begun[0][0], "v")
        assert (await three.ask(Brief.fork, "two", begun[-1][0], "v")).entries == origin.entries
