"""Third-party MCP servers through a durable agent that is killed after each of its records."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hatch_build

pytest.importorskip("fastmcp")
pytestmark = pytest.mark.full

SERVERS = Path(__file__).parent / "tool_servers"
PROGRAM = """
import asyncio, os, sys
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from outlast import Engine, workflow
from outlast._store.sqlite.writing import Writing
from outlast.agents import Durability, effect
from outlast.agents.mcp import mcp_process
from outlast.testing import Asked, Calls, ScriptedModel

node, everything, filesystem, folder, db, kill_at = sys.argv[1:]
commit, written = Writing.commit, 0

def counted(self, commit_id, batch):
    global written
    receipts = commit(self, commit_id, batch)
    written += sum(len(transaction.records) for transaction in batch)
    if written >= int(kill_at):
        os.kill(os.getpid(), 9)
    return receipts

Writing.commit = counted
note = os.path.join(folder, "note.txt")

def say(asked: Asked):
    script = [
        Calls(("echo", {"message": "hello"})),
        Calls(("write_file", {"path": note, "content": "written"})),
        Calls(("read_text_file", {"path": note})),
        "It is done.",
    ]
    return script[asked.turn - 1]

servers = [
    MCPToolset(mcp_process(node, everything), id="everything"),
    MCPToolset(mcp_process(node, filesystem, folder), id="filesystem"),
]
durable = Durability(steps={"mcp": {"effect": effect("pure")}})
agent = Agent(ScriptedModel(say), name="tooled", toolsets=servers, capabilities=[durable])

@workflow
async def serve() -> list[str]:
    result = await agent.run("Go.")
    parts = [part for message in result.all_messages() for part in message.parts]
    return [f"{part.content}" for part in parts if part.part_kind == "tool-return"]

async def main() -> None:
    async with Engine.open(db) as engine:
        run = await engine.start(serve(), id="a")
        print(await run.result())
        print(sum([1 async for _ in run.journal()]))

asyncio.run(main())
"""


def test_third_party_servers_work_through_an_agent_that_is_killed_at_each_record(
    tmp_path: Path,
) -> None:
    node = hatch_build.node_on_path() or hatch_build.node_in_package()
    assert node is not None
    _install(node)
    modules = SERVERS / "node_modules" / "@modelcontextprotocol"
    names = ("server-everything", "server-filesystem")
    places = [modules / name / "dist" / "index.js" for name in names]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(number: int, kill_at: int) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / f"files{number}"
        folder.mkdir(exist_ok=True)
        arguments = [Path(node.folder) / "node", *places, folder, tmp_path / f"{number}.db"]
        return subprocess.run(
            [sys.executable, program, *map(str, arguments), str(kill_at)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    undisturbed = run(0, 1_000_000)
    said, count = undisturbed.stdout.splitlines()
    assert said.startswith("['Echo: hello', "), undisturbed.stderr
    assert "{'content': 'written'}" in said
    for number in range(1, int(count)):
        assert run(number, number).returncode == -9
        again = run(number, 1_000_000)
        expected = said.replace("files0", f"files{number}")
        assert again.stdout.splitlines()[0] == expected, again.stderr
        assert (tmp_path / f"files{number}" / "note.txt").read_text() == "written"


def _install(node: hatch_build.Node) -> None:
    """Have npm fetch the servers, as the lock file pins them."""
    lock = hashlib.sha256((SERVERS / "package-lock.json").read_bytes()).hexdigest()
    stamp = SERVERS / "node_modules" / ".installed-from"
    if stamp.exists() and stamp.read_text() == lock:
        return
    subprocess.run(
        [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=SERVERS,
        env=dict(os.environ, PATH=f"{node.folder}{os.pathsep}{os.environ.get('PATH', '')}"),
        capture_output=True,
        check=True,
    )
    stamp.write_text(lock)
