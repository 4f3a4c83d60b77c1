"""Tools that are plain functions: they run on threads, which nobody can stop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from pydantic_ai import Agent

from outlast import Engine, workflow
from outlast.agents import Durability, ToolOutcome, effect
from outlast.testing import Calls, ScriptedModel

happened: list[str] = []
gate = threading.Event()
called = threading.Event()


@pytest.fixture(autouse=True)
def clean() -> None:
    happened.clear()
    gate.clear()
    called.clear()


def send(letter: str) -> str:
    """Take as long as the test wants, the first time."""
    happened.append("begun")
    called.set()
    assert gate.wait(10)
    happened.append("sent")
    return letter


def unsend(letter: str) -> None:
    happened.append(f"undone {letter}")


def agent_named(name: str, timeout: str = "50ms") -> Agent[object, str]:
    model = ScriptedModel([Calls(("post", {"letter": "A"})), "done"])
    durability: Durability[object] = Durability(steps={"tools": {"timeout": timeout}})
    return Agent(model, name=name, capabilities=[durability])


undoing, asking = agent_named("threads_undoing"), agent_named("threads_asking")
patient = agent_named("threads_patient", timeout="1h")


@patient.tool_plain(name="post")
@undoing.tool_plain(name="post")
@effect(compensate=unsend)
def post_undoing(letter: str) -> str:
    return send(letter)


@asking.tool_plain(name="post")
@effect("at_most_once")
def post_once(letter: str) -> str:
    return send(letter)


@workflow
async def post(how: str) -> str:
    agents = {"undo": undoing, "ask": asking}
    return (await agents.get(how, patient).run("Post it.")).output


async def ended_late(engine: Engine, run_id: str) -> None:
    """Let the function go on when the run waits for its end."""
    assert await asyncio.to_thread(called.wait, 10)
    async with asyncio.timeout(10):
        while "end:post" not in await engine.get(run_id).why():  # noqa: ASYNC110  # it is asked
            await asyncio.sleep(0.01)
    assert happened == ["begun"]
    gate.set()


async def test_what_has_run_out_of_time_is_undone_after_its_end(engine: Engine) -> None:
    run = await engine.start(post("undo"))
    await ended_late(engine, run.id)

    assert await run.result() == "done"
    assert happened == ["begun", "sent", "undone A", "begun", "sent"]


async def test_a_person_is_asked_after_its_end(engine: Engine) -> None:
    run = await engine.start(post("ask"))
    await ended_late(engine, run.id)
    async with asyncio.timeout(10):
        while not (tokens := [t async for t in engine.tokens()]):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    assert happened == ["begun", "sent"]
    await engine.answer(tokens[0].id, ToolOutcome(happened=True))

    assert await run.result() == "done"
    assert happened == ["begun", "sent"]


async def test_it_is_undone_after_its_end_in_a_retry_too(engine: Engine) -> None:
    run = await engine.start(post("undo, without a timeout"))
    assert await asyncio.to_thread(called.wait, 10)
    await run.terminate("by the test")
    await run.retry()
    await ended_late(engine, run.id)

    assert await run.result() == "done"
    assert happened == ["begun", "sent", "undone A", "begun", "sent"]
