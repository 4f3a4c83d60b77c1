"""An engine that is killed while an MCP server works: the server ends too, and the run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastmcp")

SERVER = Path(__file__).parents[1] / "unit" / "agents" / "tool_server.py"
PROGRAM = """
import asyncio, logging, os, sys
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from outlast import Engine, workflow
from outlast.agents import Durability, effect
from outlast.agents.mcp import mcp_process

db, log, server = sys.argv[1:]
logging.getLogger("outlast.latency").setLevel("ERROR")  # a slow machine is no matter of this test
CALLS = ["echo", "hang", "echo"]

async def talk(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    with open(log, "a") as file:
        file.write(f"request:{turn}\\n")
    if turn < len(CALLS):
        call = ToolCallPart(CALLS[turn], {"text": f"t{turn}"}, tool_call_id=f"call_{turn}")
        return ModelResponse(parts=[call])
    told = [part.content for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    return ModelResponse(parts=[TextPart(f"{told}")])

tools = MCPToolset(mcp_process(sys.executable, server, log), id="tools")
durable = Durability(steps={"mcp": {"effect": effect("pure")}})
agent = Agent(FunctionModel(talk), name="tooled", toolsets=[tools], capabilities=[durable])

@workflow
async def serve() -> str:
    return (await agent.run("Go.")).output

async def main() -> None:
    async with Engine.open(db) as engine:
        print(await (await engine.start(serve(), id="a")).result())

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_server_at_work_ends_with_its_killed_engine_and_nothing_recorded_runs_again(
    tmp_path: Path,
) -> None:
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(PROGRAM)
    command = [sys.executable, *map(str, (program, tmp_path / "outlast.db", log, SERVER))]

    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _until(lambda: "hang:" in _text(log), first)
    server = int(_text(log).partition("started:")[2].split()[0])
    assert _is_alive(server)
    first.kill()
    first.communicate()
    _until(lambda: not _is_alive(server))

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.startswith("['t2 of "), done.stderr
    assert done.stderr == ""
    lines = [line for line in _text(log).split() if not line.startswith("started:")]
    assert lines == [
        *("request:0", "echo:t0", "request:1", "hang:t1"),
        *("hang:t1", "request:2", "echo:t2", "request:3"),
    ]


def _text(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"  # nobody has waited for it


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends, "it did not come about within 30 s"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.005)
