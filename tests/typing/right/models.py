"""Models to test agents with, and what is read of the runs of agents."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from pydantic_ai import Agent
from pydantic_ai.models import Model

from outlast import Engine, Run, workflow
from outlast.testing import (
    AgentDiff,
    Asked,
    Calls,
    Fails,
    ForkedRun,
    Recording,
    Says,
    ScriptedModel,
    Sim,
    ToolCall,
    assert_exactly_once,
    fork,
    record,
    replay_model,
)


def decide(asked: Asked) -> Calls | str:
    return Calls(("refund", {"order": asked.prompt})) if asked.turn == 1 else "Done."


model = ScriptedModel(
    [
        "Hello.",
        Fails(429, retry_after=2),
        Calls(("refund", {"order": "A"}), ToolCall("refund", {"order": "B"}, "b")),
        Says("Done.", tokens_per_second=10),
        decide,
    ]
)
deciding = ScriptedModel(decide)
agent = Agent(model, name="support")


@workflow
async def answer(question: str) -> int:
    return len((await agent.run(question)).output)


async def main() -> None:
    async with model.serve() as url:
        assert_type(url, str)
    async with Engine.open("memory://typed") as engine:
        run = await engine.start(answer("x"))
        recording = await record(run)
        assert_type(recording, Recording)
        recording.dump(Path("recording.json"))
        assert_type(replay_model(Recording.load("recording.json")), Model[None])
        forked = await fork(run, at=2, model=deciding, prompt="y")
        assert_type(forked, ForkedRun[int])
        assert_type(forked.run, Run[int])
        assert_type(await forked.diff(), AgentDiff)
        await assert_exactly_once(run, "refund")
    async with Sim() as sim:
        await record(await sim.journal("x"))
