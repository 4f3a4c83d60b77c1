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
    assert "pause requested: r" in paused.err
    assert out == "true\n"


def test_a_run_that_was_not_paused_is_not_resumed(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "r") as owner:
        until(lambda: "waiting for signal" in project("why", "r").out)
        beside = project("resume", "r")
        end(owner)
    alone = project("resume", "r")

    assert (beside.code, alone.code) == (2, 2)
    assert "run 'r' is neither paused nor parked" in beside.err
    assert "resume requested" not in alone.err


def test_a_run_that_nobody_runs_is_paused_at_once(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "r") as owner:
        until(lambda: "waiting for signal" in project("why", "r").out)
        end(owner)

    paused = project("pause", "r")

    assert paused.code == 0
    assert "no engine is running" in paused.err
    assert project("show", "r", "--json").fields["status"] == "paused"
    assert "paused by an operator" in project("why", "r").out


def test_operators_say_why(project: Project) -> None:
    project("run", "app.py:reads", "path=there", "--id", "f")
    with project.owner("app.py:approve", "--id", "r") as owner:
        until(lambda: "waiting for signal" in project("why", "r").out)
        project("pause", "r", "--reason", "beside its owner")
        end(owner)
    until(lambda: project("show", "r", "--json").fields["status"] == "paused")
    project("resume", "--query", "id:r", "--yes", "--reason", "all of them")
    project("fork", "f", "--at", "needs_text", "--reason", "a look")
    project("retry", "f", "--reason", "mended")

    audit = {row["verb"]: row["reason"] for row in project("audit", "--json").rows}
    assert audit["pause"] == "beside its owner"
    assert audit["resume"] == "all of them"
    assert (audit["retry"], audit["fork"]) == ("mended", "a look")


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


def test_a_fork_and_a_retry_say_first_what_runs_again(project: Project) -> None:
    project("run", "app.py:reads", "path=there", "--id", "f")

    retried = project("retry", "f", "--dry-run")
    plan = project("fork", "f", "--at", "needs_text", "--dry-run", "--json").fields
    with_new = project("fork", "f", "--at", "needs_text", "--keys", "new", "--json").fields

    assert retried.code == 0
    assert "runs again, if the code reaches it: step 0#2:" in retried.err
    assert "(failed), idempotency key f/0#2:" in retried.err
    assert project("show", "f", "--json").fields["status"] == "failed"
    assert plan["run_id"] == "f"
    assert (
        '"idempotency_key": "f/0#2:'
        in project("fork", "f", "--at", "needs_text", "--dry-run", "--json").out
    )
    assert with_new["id"] != "f"


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


def test_cancelling_a_parked_run_says_when_it_takes_effect(project: Project) -> None:
    project("run", "app.py:parks", "path=there.txt", "--id", "p")
    assert "a cancellation" not in project("why", "p").out

    cancelled = project("cancel", "p")

    for said in (cancelled.err, project("why", "p").out):
        assert "a cancellation is stored and takes effect when the run is resumed" in said
        assert "`outlast terminate p`" in said
    project("terminate", "p")
    assert project("show", "p", "--json").fields["status"] == "terminated"
