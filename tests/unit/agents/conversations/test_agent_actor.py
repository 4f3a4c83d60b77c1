"""Talking to an agent: it goes on from what was said, and can be steered and interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import UserError
from pydantic_ai.models.function import FunctionModel

from outlast import ActorRef, Engine, step, workflow
from outlast.agents import (
    AgentActor,
    Attachment,
    Conversation,
    Durability,
    Summarise,
    background,
    conversation_entries,
    effect,
)
from outlast.errors import ActorBusy, HandlerFailed, RegistrationError, UnknownActor
from outlast.testing import Asked, Calls, Fails, Says, ScriptedModel
from tests.unit.agents.conversations import talking
from tests.unit.agents.conversations.talking import Talker, entries_of, lines_of

T = TypeVar("T")


def soon(asked: Coroutine[object, object, T]) -> asyncio.Task[T]:
    return asyncio.ensure_future(asked)


@pytest.fixture(autouse=True)
def clean() -> None:
    talking.expect()


async def test_an_agent_goes_on_from_what_was_said_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Engine.open(path) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        assert await ref.ask(Talker.chat, "hello") == "hello "
        assert await ref.ask(Talker.chat, "use hammer") == "did hammer "
    async with Engine.open(path) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        assert await ref.ask(Talker.chat, "bye") == "bye "
        about = await ref.ask(Talker.about)
        lines = lines_of(await entries_of(engine, 3))

    said = ["user: hello", "agent: hello ", "user: use hammer", "tool: did hammer"]
    assert talking.told[-1] == [*said, "agent: did hammer ", "user: bye"]
    assert lines == [
        *said[:2],
        "completed",
        *said[2:],
        "agent: did hammer ",
        "completed",
        "user: bye",
        "agent: bye ",
        "completed",
    ]
    assert (about.turns, about.usage.requests, about.usage.tool_calls) == (3, 4, 1)


async def test_agents_under_other_keys_have_conversations_of_their_own(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        await engine.actor(Talker, "one").ask(Talker.chat, "hello")
        await engine.actor(Talker, "two").ask(Talker.chat, "bye")

    assert talking.told == [["user: hello"], ["user: bye"]]


async def test_text_that_steers_reaches_the_model_before_its_next_request(url: str) -> None:
    talking.expect("hammer")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        first = soon(ref.ask(Talker.chat, "use hammer"))
        await talking.begun["hammer"].wait()
        second = soon(ref.options(while_busy="steer").ask(Talker.chat, "gently"))
        async for event in ref.stream("conversation"):
            if "gently" in f"{event.value}":
                break
        talking.gates["hammer"].set()

        assert [await first, await second] == ["gently ", "gently "]
        lines = lines_of(await entries_of(engine, 1))

    assert talking.told[-1] == ["user: use hammer", "tool: did hammer", "user: gently"]
    assert lines[1] == "steered: gently"
    assert lines[-1] == "completed"


async def test_an_interruption_keeps_what_was_said_and_the_new_text_is_next(url: str) -> None:
    talking.expect("two")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        first = soon(ref.ask(Talker.chat, "one two three"))
        await talking.begun["two"].wait()
        second = soon(ref.options(while_busy="interrupt").ask(Talker.chat, "stop"))

        with pytest.raises(HandlerFailed, match="TurnInterrupted"):
            await first
        assert await second == "stop "
        entries = await entries_of(engine, 2)

    assert lines_of(entries)[:3] == ["user: one two three", "agent: one two ", "interrupted"]
    assert talking.told[-1] == ["user: one two three", "agent: one two ", "user: stop"]
    [response] = talking.responses_in([e.message for e in entries[:4] if e.message is not None])
    assert response.state == "interrupted"


async def test_a_tool_call_that_is_interrupted_is_closed_with_a_result_that_says_so(
    url: str,
) -> None:
    talking.expect("hammer")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        first = soon(ref.ask(Talker.chat, "use hammer"))
        await talking.begun["hammer"].wait()

        assert await ref.ask(Talker.interrupt)
        with pytest.raises(HandlerFailed, match="TurnInterrupted"):
            await first
        assert not await ref.ask(Talker.interrupt)
        assert await ref.ask(Talker.chat, "again") == "again "

    assert talking.told[-1][0] == "user: use hammer"
    assert "interrupted" in talking.told[-1][1]
    assert talking.told[-1][2:] == ["user: again"]


async def test_a_turn_interrupted_before_its_first_word_leaves_what_the_user_said(
    url: str,
) -> None:
    talking.expect()
    slow = ScriptedModel([Says("late", delay=3_600), "next"])
    quiet: Agent[None, str] = Agent(slow, name="quiet", capabilities=[Durability()])

    class Quiet(AgentActor[None, str], name="quiet-agent"):
        agent = quiet

    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Quiet, "one")
        first = soon(ref.ask(Quiet.chat, "hello"))
        async for seen in Quiet.observe(ref):
            if seen.entry is not None and seen.entry.text == "hello":
                break
        await ref.ask(Quiet.interrupt)
        with pytest.raises(HandlerFailed, match="TurnInterrupted"):
            await first
        lines = lines_of(await entries_of(engine, 1, kind=Quiet))

    assert lines == ["user: hello", "interrupted"]


async def test_a_message_that_is_not_to_wait_is_refused_during_a_turn(url: str) -> None:
    talking.expect("one")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        first = soon(ref.ask(Talker.chat, "one"))
        await talking.begun["one"].wait()
        with pytest.raises(ActorBusy):
            await ref.options(while_busy="reject").ask(Talker.chat, "two")
        waits = soon(ref.ask(Talker.chat, "three"))
        talking.gates["one"].set()

        assert [await first, await waits] == ["one ", "three "]
        assert "user: two" not in lines_of(await entries_of(engine, 2))


async def test_a_turn_that_fails_is_part_of_the_conversation(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Talker, "one")
        with pytest.raises(HandlerFailed, match="the model is away"):
            await ref.ask(Talker.chat, "fail")
        assert await ref.ask(Talker.chat, "hello") == "hello "
        lines = lines_of(await entries_of(engine, 2))

    assert lines[0] == "user: fail"
    assert lines[1].startswith("failed: ")
    assert "the model is away" in lines[1]
    assert lines[2:] == ["user: hello", "agent: hello ", "completed"]


async def test_a_long_conversation_is_cut_and_a_summary_stands_for_it(tmp_path: Path) -> None:
    """The window is small: each turn is longer than half of it."""
    asked: list[str] = []

    def summarise(request: Asked) -> str:
        asked.append(request.prompt)
        return "S"

    class Short(AgentActor[None, str], name="short-agent"):
        agent = Agent(
            FunctionModel(stream_function=talking.say),
            name="short",
            capabilities=[Durability(stream=True)],
        )
        conversation = Conversation(
            window_tokens=60,
            compact=Summarise(to=20, model=ScriptedModel(summarise)),
        )

    async with Engine.open(tmp_path / "o.db") as engine, asyncio.timeout(30):
        ref = engine.actor(Short, "one")
        for number in range(4):
            await ref.ask(Short.chat, f"turn {number} {'word ' * 40}".strip())
        lines = lines_of(await entries_of(engine, 4, kind=Short))

    assert talking.told[-1][0] == "user: Summary of the conversation so far:\n\nS"
    assert "turn 0" not in "".join(talking.told[-1])
    assert talking.told[-1][-1].startswith("user: turn 3")
    assert "User: turn 0" in asked[0]
    assert "Summary of the conversation so far:\n\nS" in asked[-1]
    assert [line[:12] for line in lines if line.startswith("user: turn")] == [
        f"user: turn {number}" for number in range(4)
    ]


@dataclass
class Named:
    name: str


@dataclass
class Reply:
    text: str
    number: int


@step
async def find_name(key: str) -> str:
    return f"user {key}"


typed = Agent(
    ScriptedModel([Calls(("final_result", {"text": "hi", "number": 3}))]),
    name="typed",
    deps_type=Named,
    output_type=Reply,
    capabilities=[Durability()],
)


class Typed(AgentActor[Named, Reply], name="typed-agent"):
    """Has dependencies and a typed answer."""

    agent = typed

    async def deps(self) -> Named:
        return Named(await find_name(self.key))


seen: list[str] = []


@typed.instructions
def greet(context: RunContext[Named]) -> str:
    seen.append(context.deps.name)
    return f"You talk to {context.deps.name}."


async def test_an_answer_has_the_type_of_the_agent_and_its_dependencies_come_from_the_actor(
    url: str,
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        answer = await engine.actor(Typed, "ann").ask(Typed.chat, "hello")

    assert answer == Reply("hi", 3)
    assert "user ann" in seen


async def test_attachments_are_kept_as_their_addresses(url: str) -> None:
    picture = Attachment("https://example.com/cat.png", "image/png")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        await engine.actor(Talker, "one").ask(Talker.chat, "look", [picture])
        entries = await entries_of(engine, 1)

    assert entries[0].attachments == [picture]
    assert "https://example.com/cat.png" in talking.told[-1][0]


async def test_the_class_says_what_becomes_of_messages_during_a_turn(url: str) -> None:
    class Rude(AgentActor[None, str], name="rude-agent"):
        agent = talking.agent
        while_busy = "reject"

    talking.expect("one")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref: ActorRef[Rude] = engine.actor(Rude, "one")
        first = soon(ref.ask(Rude.chat, "one"))
        await talking.begun["one"].wait()
        with pytest.raises(ActorBusy):
            await ref.ask(Rude.chat, "two")
        talking.gates["one"].set()
        await first


async def test_a_model_that_refuses_to_summarise_leaves_the_conversation_as_it_is(
    url: str,
) -> None:
    class Whole(AgentActor[None, str], name="whole-agent"):
        agent = Agent(
            FunctionModel(stream_function=talking.say),
            name="whole",
            capabilities=[Durability(stream=True)],
        )
        conversation = Conversation(
            window_tokens=20,
            compact=Summarise(to=10, model=ScriptedModel([Fails(400)] * 5)),
        )

    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Whole, "one")
        for number in range(3):
            await ref.ask(Whole.chat, f"turn {number} {'word ' * 30}".strip())

    assert talking.told[-1][0].startswith("user: turn 0")


async def test_a_class_without_an_agent_is_refused_with_what_it_lacks(engine: Engine) -> None:
    class Speechless(AgentActor[None, str]):
        pass

    with pytest.raises(UnknownActor, match="it has no agent; set `agent = Agent"):
        engine.actor(Speechless, "x")


def test_what_cannot_be_talked_to_is_refused_where_it_is_declared() -> None:
    plain: Agent[None, str] = Agent(ScriptedModel([]), name="plain")
    nameless: Agent[None, str] = Agent(ScriptedModel([]), capabilities=[Durability(name="x")])

    with pytest.raises(RegistrationError, match="must be durable"):

        class Plain(AgentActor[None, str]):  # pyright: ignore[reportUnusedClass]  # refused here
            agent = plain

    with pytest.raises(RegistrationError, match="with a name"):

        class Nameless(AgentActor[None, str]):  # pyright: ignore[reportUnusedClass]  # refused here
            agent = nameless

    with pytest.raises(RegistrationError, match="does not fit into a window"):
        Conversation(window_tokens=100, compact=Summarise(to=100))
    with pytest.raises(RegistrationError, match="whole number of tokens"):
        Summarise(to=0)


worker = Agent(
    FunctionModel(stream_function=talking.say),
    name="worker",
    deps_type=type(None),
    capabilities=[Durability(stream=True)],
)


@worker.tool_plain(name="tool")
@background
async def research(name: str) -> str:
    """Take a while."""
    talking.effects[f"tool {name}"] += 1
    if name == "bad":
        raise ValueError("no such topic")
    await talking.passes(name)
    return f"all about {name}"


class Worker(AgentActor[None, str], name="worker-agent"):
    """Its tool goes on in the background."""

    agent = worker


async def test_a_background_tool_wakes_the_agent_when_it_has_ended(url: str) -> None:
    talking.expect("bees")
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Worker, "one")
        begun = await ref.ask(Worker.chat, "use bees")
        assert begun.startswith("It runs in the background")
        assert await ref.ask(Worker.chat, "hello") == "hello "
        talking.gates["bees"].set()
        lines = lines_of(await entries_of(engine, 3, kind=Worker))

    assert "user: The background call of research has ended. Its result: all about bees" in lines
    assert talking.effects["tool bees"] == 1


async def test_a_background_tool_that_fails_tells_the_agent_so(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Worker, "one")
        await ref.ask(Worker.chat, "use bad")
        texts: list[str] = []
        async for event in ref.stream(conversation_entries):  # it may steer the turn that runs
            texts += [event.value.text] if event.value is not None else []
            if texts[-1].startswith("The background"):
                break

    assert texts[-1] == "The background call of research has failed: no such topic"


@workflow
async def works() -> str:
    return (await worker.run("use ants")).output


async def test_in_a_workflow_a_background_tool_is_waited_for(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        assert await engine.run(works()) == "all about ants "


def test_a_background_tool_declares_no_effect() -> None:
    with pytest.raises(UserError, match="exclude each other"):
        background(effect("pure")(talking.passes))
