"""An agent that is killed goes on: in the middle of a sentence, and at each of its tools."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from tests.preloaded import Finished, run_program

PROGRAM = """
import asyncio, json, os, sys
from collections.abc import AsyncIterator
from pydantic_ai import Agent, ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from outlast import Engine, workflow
from outlast.agents import Durability, agent_events, effect

db, effects, kill_at = sys.argv[1:]
WORDS = "The sum of one and two is three and no word of it comes twice .".split()

def happens(what):
    with open(effects, "a") as file:
        file.write(what + "\\n")
        file.flush()
    with open(effects) as file:
        count = file.read().split().count(what)
    if what == kill_at and count == 1:
        os.kill(os.getpid(), 9)

async def talk(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[object]:
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    happens(f"request{turn}")
    if turn == 0:
        for n in range(3):
            yield {n: DeltaToolCall("add", json.dumps({"n": n}), tool_call_id=f"call_{n}")}
        return
    for index, word in enumerate(WORDS):
        if index == 7:
            await asyncio.sleep(0.2)  # what was said so far is in the stream by then
            happens("seventh")
        yield word + " "

model = FunctionModel(stream_function=talk)
agent = Agent(model, name="adder", capabilities=[Durability(stream=True)])

@agent.tool_plain
@effect("pure")
async def add(n: int) -> int:
    happens(f"tool{n}")
    return n

@workflow
async def adds() -> str:
    return (await agent.run("Add.")).output

async def main() -> None:
    async with Engine.open(db) as engine:
        run = await engine.start(adds(), id="a")
        print(await run.result())
        kept = {}
        async for event in run.stream(agent_events):
            if event.kind == "retract":
                kept = {o: e for o, e in kept.items() if e.writer != event.writer}
            elif event.kind == "data":
                kept[event.offset] = event
        said = ""
        for _, event in sorted(kept.items()):
            part = event.value.get("part") or event.value.get("delta") or {}
            if event.value["event_kind"] == "part_start" and part["part_kind"] == "text":
                said += part["content"]
            elif part.get("part_delta_kind") == "text":
                said += part["content_delta"]
        print(said)

asyncio.run(main())
"""

SENTENCE = "The sum of one and two is three and no word of it comes twice . "
POINTS = ["request0", "tool0", "tool1", "tool2", "request1", "seventh"]


@pytest.mark.parametrize("kill_at", POINTS)
def test_a_killed_agent_goes_on_and_says_each_word_once(tmp_path: Path, kill_at: str) -> None:
    program, effects = tmp_path / "program.py", tmp_path / "effects"
    program.write_text(PROGRAM)

    def run() -> Finished:
        return run_program(program, str(tmp_path / "outlast.db"), str(effects), kill_at)

    assert run().returncode == -9
    done = run()

    assert done.stdout.splitlines() == [SENTENCE, SENTENCE], done.stderr
    counts = {what: effects.read_text().split().count(what) for what in POINTS}
    again = {"seventh": ["request1", "seventh"]}.get(kill_at, [kill_at])
    for what in POINTS:
        if what in again:
            assert counts[what] == 2
        elif what.startswith("tool") and kill_at.startswith("tool"):
            assert counts[what] in (1, 2)  # it was under way at the same time
        else:
            assert counts[what] == 1
    assert done.stderr == ""
