"""What a run answers, on the command line."""

from __future__ import annotations

from tests.e2e.commands import Project, end, until


def test_a_run_answers_beside_its_owner(project: Project) -> None:
    with project.owner("app.py:poem", "--id", "p") as owner:
        until(lambda: "waiting for signal" in project("why", "p").out)
        first = project("update", "p", "add_line", '"Not marble"', "--id", "a")
        again = project("update", "p", "add_line", '"Not marble"', "--id", "a")
        conflict = project("update", "p", "add_line", '"nor the gilded"', "--id", "a")
        refused = project("update", "p", "add_line", '""')
        unfit = project("update", "p", "add_line", "7")
        unknown = project("update", "p", "add_word", '"x"')
        nobody = project("update", "q", "add_line", '"x"')
        project("signal", "p", "approval", "true")
        out, _ = owner.communicate(timeout=30)

    assert [first.out, again.out] == ["1\n", "1\n"]
    assert "was used for another update" in conflict.err
    assert "an empty line" in refused.err
    assert "no update 'add_word' is declared" in unknown.err
    codes = [one.code for one in (first, again, conflict, refused, unfit, unknown, nobody)]
    assert codes == [0, 0, 1, 1, 2, 2, 3]
    assert out == '["Not marble"]\n'
    assert project.effects() == ["Not marble"]


def test_without_an_engine_nobody_answers(project: Project) -> None:
    with project.owner("app.py:poem", "--id", "p") as owner:
        until(lambda: "waiting for signal" in project("why", "p").out)
        end(owner)

    refused = project("update", "p", "add_line", '"Not marble"')

    assert refused.code == 4
    assert "only the run's own code can answer" in refused.err
    assert project("update", "q", "add_line", '"Not marble"').code == 3
