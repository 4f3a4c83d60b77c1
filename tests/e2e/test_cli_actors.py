"""Actors and teams on the command line, beside the program that runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.commands import Project, end

CREW = """
import asyncio, sys
from dataclasses import dataclass, field
from outlast import Actor, Child, Engine, Supervisor, actor, handler

@dataclass
class Notes:
    lines: list[str] = field(default_factory=list)

@actor(attempts=1)
class Notebook(Actor[Notes]):
    @handler
    async def add(self, line: str, times: int = 1) -> int:
        if line == "poison":
            raise ValueError("no such line")
        self.state.lines += [line] * times
        return len(self.state.lines)

team = Supervisor("office", [
    Child(Notebook, key="shared"),
    Supervisor("back", [Child(Notebook, key="own", restart="on_failure")], max_restarts=0),
])

async def main() -> None:
    async with Engine.open(".outlast/outlast.db") as engine:
        await engine.apply(team)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def crew(project: Project) -> Iterator[Project]:
    (project.directory / "crew.py").write_text(CREW)
    process = start(project)
    yield project
    if process.poll() is None:
        end(process)


def start(project: Project) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "crew.py"],
        cwd=project.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    project.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_actors_are_asked_told_and_shown(crew: Project) -> None:
    asked = crew("actor", "ask", "Notebook", "mine", "add", "line=hello", "times=2")
    told = crew("actor", "tell", "Notebook", "mine", "add", "--input", '{"line": "again"}')
    last = crew("actor", "ask", "Notebook", "mine", "add", "line=x")
    shown = crew("actor", "show", "Notebook", "mine", "--json")
    listed = crew("actor", "ls", "Notebook", "--json")

    assert (asked.code, asked.out) == (0, "2\n")
    assert told.code == 0
    assert last.out == "4\n"
    assert shown.fields["state"] == {"lines": ["hello", "hello", "again", "x"]}
    assert shown.fields["waiting"] == 0
    assert [row["key"] for row in listed.rows] == ["mine", "own", "shared"]


def test_the_tree_shows_who_failed_and_who_is_started_again(crew: Project) -> None:
    calm = crew("actor", "tree")
    crew("actor", "tell", "Notebook", "own", "add", "line=poison")
    stopped = crew("actor", "stop", "Notebook", "shared", "--reason", "for a test")
    crew("actor", "ask", "Notebook", "shared", "add", "line=x")
    crew("actor", "ask", "Notebook", "own", "add", "line=x")
    again = crew("actor", "tree", "office", "--json")
    dead = crew("actor", "dead", "--json")

    assert calm.out.splitlines()[0].startswith("office  up, one_for_one, 0 of 10 failures")
    assert [line.split("  ")[0] for line in calm.out.splitlines()[1:2]] == [
        "├─ crew.Notebook/shared"
    ]
    assert "office/back  up, one_for_one, 0 of 0 failures" in calm.out
    within = crew("actor", "tree", "office/back")
    assert within.out.startswith("office/back  up, one_for_one")
    assert stopped.code == 0
    (team,) = again.rows
    members = team["members"]
    assert isinstance(members, list)
    assert "restarts" in again.out
    (letter,) = dead.rows
    assert (letter["reason"], letter["error"]) == ("failed", "ValueError: no such line")


def test_a_dead_letter_is_sent_again(crew: Project) -> None:
    crew("actor", "tell", "Notebook", "mine", "add", "line=poison")
    crew("actor", "ask", "Notebook", "mine", "add", "line=x")
    (letter,) = crew("actor", "dead", "Notebook", "mine", "--json").rows

    sent = crew("actor", "redrive", f"{letter['number']}")
    unknown = crew("actor", "redrive", "999999")

    assert sent.code == 0
    assert unknown.code == 3
    assert "no dead letter has the id '999999'" in unknown.err


def test_what_is_not_there_is_said_so(crew: Project) -> None:
    actor = crew("actor", "show", "Notebook", "nobody")
    team = crew("actor", "tree", "nowhere")
    handler = crew("actor", "ask", "Notebook", "mine", "nothing")
    argument = crew("actor", "ask", "Notebook", "mine", "add", "times=2")

    assert (actor.code, team.code, handler.code, argument.code) == (3, 3, 3, 2)
    assert "it has not received a message yet" in actor.err
    assert "no team has the id 'nowhere'" in team.err
    assert "has no handler 'nothing'" in handler.err
    assert "line" in argument.err


def test_actors_can_be_looked_at_and_stopped_when_nothing_runs(crew: Project) -> None:
    crew("actor", "ask", "Notebook", "mine", "add", "line=hello")
    for process in crew.started:
        end(process)

    shown = crew("actor", "show", "Notebook", "mine", "--json")
    tree = crew("actor", "tree", "--json")
    asked = crew("actor", "ask", "Notebook", "mine", "add", "line=x")
    stopped = crew("actor", "stop", "Notebook", "mine")
    after = crew("actor", "show", "Notebook", "mine", "--json")

    assert shown.fields["state"] == {"lines": ["hello"]}
    assert [team["id"] for team in tree.rows] == ["outlast.Supervisor/office"]
    assert asked.code == 4
    assert "no engine is running on" in asked.err
    assert stopped.code == 0
    assert after.fields["status"] == "completed"
