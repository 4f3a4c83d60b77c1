"""A scripted model goes on with its own next turn in the process after the one that was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from tests.preloaded import Finished, run_program

PROGRAM = """
import asyncio, os, sys
from pydantic_ai import Agent
from outlast import Engine, Retry, workflow
from outlast.agents import Durability
from outlast.testing import Asked, Calls, Fails, ScriptedModel

db, marks, kill_at = sys.argv[1:]

def passing(turn):
    def passed(asked: Asked):
        mark = f"{asked.turn}.{asked.attempt}"
        with open(marks, "a+") as file:
            file.seek(0)
            is_first = mark not in file.read().split()
            file.write(mark + "\\n")
            file.flush()
        if mark == kill_at and is_first:
            os.kill(os.getpid(), 9)
        return turn
    return passed

model = ScriptedModel([
    passing(Calls(("add", {"n": 1}), ("add", {"n": 2}))),
    Fails(503),
    Fails(429, retry_after=0.1),
    passing(Calls(("add", {"n": 3}))),
    passing("The sum is six."),
])
steps = {"model": {"retry": Retry(attempts=5, first=0)}}
agent = Agent(model, name="adder", capabilities=[Durability(steps=steps)])

@agent.tool_plain
async def add(n: int) -> int:
    return n

@workflow
async def adds() -> str:
    return (await agent.run("Add.")).output

async def main() -> None:
    async with Engine.open(db) as engine:
        print(await (await engine.start(adds(), id="a")).result())
        print([(asked.turn, asked.attempt) for asked in model.requests])

asyncio.run(main())
"""

SEEN_AFTER = {
    "1.1": [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1)],
    "2.3": [(2, 3), (3, 1)],
    "3.1": [(3, 1)],
}


@pytest.mark.parametrize("kill_at", SEEN_AFTER)
def test_the_next_process_gets_the_next_turn(tmp_path: Path, kill_at: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run() -> Finished:
        place = str(tmp_path / "outlast.db")
        return run_program(program, place, str(tmp_path / "marks"), kill_at)

    assert run().returncode == -9
    done = run()

    assert done.stdout.splitlines() == ["The sum is six.", f"{SEEN_AFTER[kill_at]}"], done.stderr
