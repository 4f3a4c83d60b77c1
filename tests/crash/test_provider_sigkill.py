"""A provider's limits over kill -9: the provider counts in a file when each request has come.

The process is killed with requests under way; those that come next know what it had sent.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from tests.preloaded import run_program

KILLED = -9
AT_ONCE = 10

PROGRAM = """
import asyncio, os, sys, time
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from outlast import Engine, workflow
from outlast.agents import Durability

db, reached, kill_at = sys.argv[1:]

async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    with open(reached, "a") as file:
        file.write(f"{time.time()}\\n")
    with open(reached) as file:
        if len(file.readlines()) == int(kill_at):
            os.kill(os.getpid(), 9)
    await asyncio.sleep(0.2)
    return ModelResponse(parts=[TextPart("ok")])

agent = Agent(
    FunctionModel(answer, model_name="limited"), name="limited",
    capabilities=[Durability(provider="crash:key")],
)

@workflow
async def ask(number: int) -> str:
    return (await agent.run(f"Question {number}")).output

async def main() -> None:
    engine = Engine.open(db)
    engine.limits.provider("crash:key", rpm=60)
    async with engine:
        runs = [await engine.start(ask(number), id=f"run-{number}") for number in range(13)]
        print([await run.result() for run in runs].count("ok"))

asyncio.run(main())
"""


def test_a_new_process_keeps_to_what_a_killed_one_has_sent(tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    arguments = (f"{tmp_path / 'outlast.db'}", f"{reached}")

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    killed = run_program(program, *arguments, f"{AT_ONCE}")
    again = run_program(program, *arguments, f"{AT_ONCE + 5}")

    times = [float(line) for line in reached.read_text().split()]
    assert (killed.returncode, again.returncode) == (KILLED, KILLED)
    assert len(times) == AT_ONCE + 5
    assert times[AT_ONCE - 1] - times[0] < 1.0
    later = times[AT_ONCE:]
    apart = [after - before for before, after in pairwise(later)]
    assert min(apart) > 0.8  # one a second: what may be sent at once was used before the kill
