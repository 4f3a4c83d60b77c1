"""Standing still, doing again, forking, comparing: on the command line."""

from __future__ import annotations

import pytest

from tests.e2e.commands import Project, end, until


def test_a_run_is_paused_and_resumed_beside_its_owner(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "r") as owner:
        until(lambda: "waiting for signal" in project("why", "r").out)
        paused = project("pause", "r")
        until(lambda: project("show", "r", "--json").fields["status"] == "paused")
        project("signal", "r", "approval", "true")
        resumed = project("resume", "r")
        out, _ = owner.communicate(timeout=30)

    assert (paused.code, resumed.code) == (0, 0)
    assert "asked to stand still: r" in paused.err
    assert out == "true\n"


def test_a_run_that_nobody_runs_is_paused_at_once(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "r") as owner:
        until(lambda: "waiting for signal" in project("why", "r").out)
        end(owner)

    paused = project("pause", "r")

    assert paused.code == 0
    assert "no engine is running" in paused.err
    assert project("show", "r", "--json").fields["status"] == "paused"
    assert "paused by a person" in project("why", "r").out


def test_a_failed_run_is_done_again(project: Project) -> None:
    failed = project("run", "app.py:reads", "path=there", "--id", "f")
    (project.directory / "there").write_text("found")

    retried = project("retry", "f")
    done = project("run", "app.py:reads", "path=there", "--id", "f")

    assert (failed.code, retried.code) == (1, 0)
    assert done.out == "begun found\n"
    assert project.effects() == ["begun"]
    assert project("retry", "f").code == 1


def test_a_fork_takes_up_where_it_is_told_and_differs_from_there(project: Project) -> None:
    (project.directory / "there").write_text("one")
    project("run", "app.py:reads", "path=there", "--id", "f")
    (project.directory / "there").write_text("two")

    forked = project("fork", "f", "--at", "needs_text")
    other = forked.out.strip()
    done = project("run", "app.py:reads", "path=there", "--id", other)
    differs = project("diff", "f", other, "--json")

    assert forked.code == 0
    assert done.out == "begun two\n"
    assert project.effects() == ["begun"]
    assert differs.code == 1
    assert differs.fields["first"] is not None
    assert "+" in project("diff", "f", other).out
    assert project("diff", "f", "f").code == 0


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["pause", "nobody"], 3),
        (["retry", "nobody"], 3),
        (["fork", "nobody", "--at", "2"], 3),
        (["fork", "g", "--at", "nothing"], 2),
        (["fork", "g", "--at", "2", "--input", "[]"], 2),
        (["diff", "g", "nobody"], 3),
        (["pause", "g"], 1),
    ],
)
def test_mistakes_are_told_apart(project: Project, args: list[str], code: int) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "g")

    assert project(*args).code == code
