"""What runs ask of people, on the command line."""

from __future__ import annotations

import getpass

from tests.e2e.commands import Project, end, until


def one_id(project: Project) -> str:
    """Return the id of the one thing that waits, when it does."""
    until(lambda: len(project("inbox", "--json").rows) == 1)
    token = project("inbox", "--json").rows[0]["id"]
    assert isinstance(token, str)
    return token


def test_an_approval_is_given_to_the_engine_that_runs(project: Project) -> None:
    with project.owner("app.py:refund", "cents=40", "--id", "r") as owner:
        token = one_id(project)
        listed = project("inbox")
        given = project("approve", token, "--by", "ann", "--reason", "fair")
        again = project("reject", token, "--by", "bob")
        out, _ = owner.communicate(timeout=30)

    assert (given.code, again.code) == (0, 1)
    assert "Refund 40?" in listed.out
    assert '{"cents":40}' in listed.out.replace(" ", "")
    assert f"approved {token}" in given.err
    assert "ann has already answered" in again.err
    assert out == "True ann fair\n"
    assert project("inbox").out == ""
    assert [row["by"] for row in project("inbox", "--all", "--json").rows] == ["ann"]
    assert "approved by ann: fair" in project("inbox", "--all").out


def test_a_rejection_waits_for_the_next_engine_and_is_signed_by_the_user(project: Project) -> None:
    with project.owner("app.py:refund", "cents=41", "--id", "r") as owner:
        token = one_id(project)
        end(owner)

    rejected = project("reject", token, "--reason", "no")
    done = project("run", "app.py:refund", "cents=41", "--id", "r")

    assert rejected.code == 0
    assert "no engine is running" in rejected.err
    assert done.out == f"False {getpass.getuser()} no\n"
    assert f"rejected by {getpass.getuser()}: no" in project("inbox", "--all").out


def test_a_token_takes_a_value_that_fits(project: Project) -> None:
    with project.owner("app.py:quote", "--id", "q") as owner:
        token = one_id(project)
        unfit = project("answer", token, '"many"')
        verdict = project("approve", token)
        fit = project("answer", token, "7")
        out, _ = owner.communicate(timeout=30)

    assert (unfit.code, verdict.code, fit.code) == (2, 2, 0)
    assert "int" in unfit.err
    assert "is not an approval" in verdict.err
    assert out == "7\n"
    assert "answered 7 by" in project("inbox", "--all").out


def test_what_nobody_asked_is_not_found(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada")

    for verb in ("approve", "reject"):
        done = project(verb, "nothing")
        assert done.code == 3
        assert "no token has the id" in done.err
    assert project("answer", "nothing", "1").code == 3


def test_an_answer_that_no_engine_can_check_says_what_to_start(project: Project) -> None:
    with project.owner("app.py:quote", "--id", "q") as owner:
        token = one_id(project)
        end(owner)

    refused = project("answer", token, "7")

    assert refused.code == 4
    assert "start an engine that has the run's code" in refused.err
