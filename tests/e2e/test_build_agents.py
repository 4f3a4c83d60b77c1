"""`outlast build` of a program with an agent: killed in the middle of a sentence, it goes on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import SOURCE, until

pytest.importorskip("pydantic_ai")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        sys.platform != "linux" or importlib.util.find_spec("PyInstaller") is None,
        reason="executables are built with PyInstaller, and tried on Linux",
    ),
]

PROGRAM = '''
"""An agent that talks slowly until a file is there."""
from __future__ import annotations
import asyncio, os
from collections.abc import AsyncIterator
from pydantic_ai import Agent, ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from outlast import workflow
from outlast.agents import Durability, effect

WORDS = "The sum of one and two is three and no word of it comes twice .".split()

async def talk(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[object]:
    if not any(isinstance(message, ModelResponse) for message in messages):
        yield {0: DeltaToolCall("add", '{"n": 1}', tool_call_id="call_1")}
        return
    for index, word in enumerate(WORDS):
        yield word + " "
        if index == 6:
            with open("effects.txt", "a") as file:
                file.write("seventh\\n")
            await asyncio.sleep(0 if os.path.exists("go") else 600)

durable = Durability(stream=True)
agent = Agent(FunctionModel(stream_function=talk), name="adder", capabilities=[durable])

@agent.tool_plain
@effect("pure")
async def add(n: int) -> int:
    with open("effects.txt", "a") as file:
        file.write("tool\\n")
    return n

@workflow
async def adds() -> str:
    return (await agent.run("Add.")).output
'''


def test_an_executable_with_an_agent_is_killed_in_a_sentence_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "desk.py").write_text(PROGRAM)
    subprocess.run(
        [sys.executable, "-m", "outlast", "build", "desk.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    command = [str(tmp_path / "dist" / "desk"), "run", "adds", "--id", "a", "--db", "a.db"]
    bare = {"TMPDIR": str(tmp_path)}
    effects = tmp_path / "effects.txt"

    first = subprocess.Popen(command, cwd=tmp_path, env=bare, stderr=subprocess.DEVNULL)
    until(lambda: effects.exists() and "seventh" in effects.read_text())
    first.kill()
    first.wait(timeout=60)
    (tmp_path / "go").touch()
    done = subprocess.run(
        command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False, timeout=120
    )

    assert done.stdout.strip() == "The sum of one and two is three and no word of it comes twice ."
    assert effects.read_text().split() == ["tool", "seventh", "seventh"]
