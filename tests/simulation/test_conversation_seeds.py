"""Conversations with an agent whose machine crashes: what was said is said once.

Several talk to the agent at the same time: they wait, steer and interrupt. Words come with pauses,
so that crashes and interruptions fall in the midst of responses.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from pydantic_ai import Agent, ModelRequest, ModelResponse

from outlast import wf, workflow
from outlast.agents import (
    AgentActor,
    Durability,
    Entry,
    agent_events,
    conversation_entries,
    effect,
)
from outlast.errors import HandlerFailed
from outlast.testing import Asked, Calls, Says, ScriptedModel, Sim
from outlast.testing.replaying import _KilledAt
from outlast.types import RunId, WhileBusy
from tests.simulation.conversations import said_in, texts_in

WORDS = 6
SECOND_TURN = 6  # the first one has a call of a tool: so many entries


def script(asked: Asked) -> Says | Calls:
    """Look up a number first, then say some words about the last text."""
    if asked.turn % 3 == 1 and not asked.results:
        return Calls(("look_up", {"text": asked.prompt}))
    words = " ".join(f"{asked.prompt}-{number}" for number in range(WORDS))
    return Says(words, tokens_per_second=20)


chatter: Agent[None, str] = Agent(
    ScriptedModel(script), name="chatter", capabilities=[Durability(stream=True)]
)


@chatter.tool_plain
@effect("pure")
async def look_up(text: str) -> str:
    """Look something up."""
    await asyncio.sleep(0.05)
    return f"found {text}"


class Chatter(AgentActor[None, str], name="seeds.chatter"):
    """Talks."""

    agent = chatter


@workflow
async def talk(plan: list[tuple[float, WhileBusy, str]]) -> list[str]:
    """Say each text at its time, and return the answers, or names of errors."""

    async def say(at: float, policy: WhileBusy, text: str) -> str:
        await asyncio.sleep(at)
        try:
            ref = wf.actor(Chatter, "one").options(while_busy=policy)
            return await ref.ask(Chatter.chat, text)
        except HandlerFailed as error:
            return error.type_name

    return list(await asyncio.gather(*(say(*one) for one in plan)))


def plan_of(seed: int) -> list[tuple[float, WhileBusy, str]]:
    rng = random.Random(seed)
    policies: Sequence[WhileBusy] = ("queue", "steer", "interrupt")
    return [(rng.uniform(0, 1.5), rng.choice(policies), f"t{number}") for number in range(6)]


@workflow
async def fork_and_talk() -> str:
    """Hold a conversation, fork it at its second turn, and talk to the fork."""
    original, fork = wf.actor(Chatter, "original"), wf.actor(Chatter, "fork")
    for text in ("t0", "t1"):
        await original.ask(Chatter.chat, text)
    await fork.ask(Chatter.fork, "original", SECOND_TURN, "t2")
    return await fork.ask(Chatter.chat, "t3")


async def told_in(sim: Sim, key: str = "one") -> tuple[list[Entry], str]:
    """Return the entries of the conversation, and the words that its readers were left with."""
    ref = sim.actor(Chatter, key)
    await sim.get(ref.id).terminate("the test is over")
    entries = [e.value async for e in ref.stream(conversation_entries) if e.kind == "data"]
    words: dict[int, tuple[str, str]] = {}
    async for event in ref.stream(agent_events):
        if event.kind == "retract":
            words = {at: word for at, word in words.items() if word[0] != event.writer}
        elif event.kind == "data" and (said := said_in(event.value)):
            words[event.offset] = (event.writer, said)
    return [e for e in entries if e is not None], "".join(word for _, word in words.values())


def check(
    plan: Sequence[tuple[float, WhileBusy, str]], answers: list[str], told: tuple[list[Entry], str]
) -> None:
    entries, words = told
    texts = sorted(text for _, _, text in plan)
    assert sorted(entry.text for entry in entries if entry.kind == "user") == texts
    assert sorted(texts_in(entries, ModelRequest)) == texts
    ended = [entry for entry in entries if entry.kind == "ended"]
    assert [entry.turn for entry in ended] == list(range(1, len(ended) + 1))
    assert {entry.outcome for entry in ended} <= {"completed", "interrupted"}
    said = texts_in(entries, ModelResponse)
    assert "".join(said) == words
    assert all(answer in said or answer == "TurnInterrupted" for answer in answers)
    interrupted = sum(entry.outcome == "interrupted" for entry in ended)
    assert (answers.count("TurnInterrupted") > 0) == (interrupted > 0)


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(16))
async def test_a_conversation_says_everything_once_over_crashes(seed: int) -> None:
    plan = plan_of(seed)
    async with Sim(seed=seed, crash=0.03) as sim:
        answers = await sim.run(talk(plan))
        told = await told_in(sim)

    check(plan, answers, told)


@pytest.mark.sim
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_kill_at_any_record_of_a_conversation_changes_nothing(seed: int) -> None:
    plan = plan_of(seed)
    at, last = 0, 1
    while at < last:
        at += 1
        sim = _KilledAt(at, RunId("seeds.chatter/one"))
        async with sim:
            answers = await sim.run(talk(plan))
            told = await told_in(sim)
            last = sim.records

            check(plan, answers, told)
    assert last > 20


@pytest.mark.sim
async def test_a_kill_at_any_record_of_a_fork_changes_nothing() -> None:
    at, last = 0, 1
    while at < last:
        at += 1
        sim = _KilledAt(at, RunId("seeds.chatter/fork"))
        async with sim:
            answer = await sim.run(fork_and_talk())
            entries, words = await told_in(sim, "fork")
            original, _ = await told_in(sim, "original")
            last = sim.records

            said = texts_in(entries, ModelResponse)
            assert [e.text for e in entries if e.kind == "user"] == ["t0", "t2", "t3"]
            assert [e.text for e in original if e.kind == "user"] == ["t0", "t1"]
            assert [e.message for e in entries[:SECOND_TURN]] == [
                e.message for e in original[:SECOND_TURN]
            ]
            assert said[-1] == answer
            assert "".join(said).endswith(words)
    assert last > 10
