"""Verbs for all runs that a query wants, on the command line."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from tests.e2e.commands import SOURCE, Project


def begin(project: Project, count: int) -> None:
    """Have runs that nobody executes."""
    for n in range(count):
        project("run", "app.py:approve", "--id", f"r{n}", "--detach")


def statuses(project: Project) -> list[object]:
    return [row["status"] for row in project("ls", "--json").rows]


def test_without_a_terminal_it_must_be_said_that_all_are_meant(project: Project) -> None:
    begin(project, 3)

    asked = project("cancel", "--query", "status:open")
    assert asked.code == 2
    assert "cancel 3 runs needs a confirmation" in asked.err
    assert statuses(project) == ["pending"] * 3

    done = project("cancel", "--query", "status:open id:r1", "--yes")
    assert (done.code, "cancel: 1 of 1 run" in done.err) == (0, True)
    assert sorted(map(str, statuses(project))) == ["cancelled", "pending", "pending"]

    assert project("pause", "--query", "status:open", "--yes").code == 0
    assert project("terminate", "--query", "status:paused", "--yes").code == 0
    nothing = project("cancel", "--query", "status:open", "--yes")
    assert (nothing.code, "no run that cancel applies to" in nothing.err) == (0, True)


def test_on_a_terminal_the_count_is_shown_and_asked_for(project: Project) -> None:
    begin(project, 2)

    for answer, code, left in (("n", 1, "pending"), ("y", 0, "terminated")):
        master, terminal = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "outlast", "terminate", "--query", "status:open"],
            cwd=project.directory,
            stdin=terminal,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        os.write(master, f"{answer}\n".encode())
        _, err = process.communicate(timeout=60)
        os.close(master)
        os.close(terminal)
        assert b"terminate 2 runs?" in err
        assert process.returncode == code
        assert statuses(project) == [left] * 2


def test_an_id_or_a_query_is_wanted_and_not_both(project: Project) -> None:
    begin(project, 1)

    assert project("cancel").code == 2
    assert project("cancel", "r0", "--query", "status:open", "--yes").code == 2
    assert project("retry", "--query", "status:nonsense", "--yes").code == 2
