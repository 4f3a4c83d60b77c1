"""The command line, as a user meets it."""

from __future__ import annotations

import re
import signal
import sqlite3
import time

import pytest

from outlast import limits
from tests.e2e.commands import Project, end, until


def words_of(value: list[str] | int | str) -> str:
    return " ".join(value) if isinstance(value, list) else ""


# ------------------------------------------------------------------------------- run
def test_log_lines_do_not_drive_the_terminal(project: Project) -> None:
    done = project("run", "app.py:fail", "text=\x1b[31m red")

    assert done.code == 1
    assert "\\x1b[31m red" in done.err
    assert "\x1b" not in done.err


def test_init_makes_a_project_that_runs(project: Project) -> None:
    made = project("init", "hello")
    again = project("init", "hello")

    assert (made.code, made.out) == (0, "hello\n")
    assert again.code == 2
    assert "not an empty directory" in again.err
    inner = Project.__new__(Project)
    inner.directory, inner.started = project.directory / "hello", project.started
    done = inner("run", "app.py:greet", "name=Ada")
    assert (done.code, done.out) == (0, "Hello, Ada!\n")
    assert (inner.directory / ".outlast" / "outlast.db").exists()


def test_run_prints_the_result_and_nothing_else_on_stdout(project: Project) -> None:
    plain = project("run", "app.py:greet", "name=Ada", "times=2")
    as_json = project("run", "app:greet", "--input", '{"name": "Ada"}', "--json")
    from_file = project("run", "app.py:greet", "--input", "-", stdin='{"name": "Bob"}')

    assert (plain.code, plain.out) == (0, "Hello, Ada!, Hello, Ada!\n")
    assert as_json.out == '"Hello, Ada!"\n'
    assert from_file.out == "Hello, Bob!\n"


def test_the_same_input_is_the_same_run(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada")
    again = project("run", "app.py:greet", "name=Ada")
    other = project("run", "app.py:greet", "name=Ada", "--id", "other")

    assert again.out == other.out == "Hello, Ada!\n"
    assert "was started before" in again.err
    assert len(project("ls", "--json").rows) == 2


def test_a_run_that_fails_exits_with_1_and_shows_no_traceback(project: Project) -> None:
    done = project("run", "app.py:fail", "text=boom", "--id", "f")

    assert done.code == 1
    assert "ValueError: boom" in done.err
    assert project("why", "f").out.startswith("failed")
    assert "raise ValueError(text)" in project("show", "f").out


def test_a_run_that_parks_exits_with_1_and_resume_lets_it_go_on(project: Project) -> None:
    parked = project("run", "app.py:parks", "path=there.txt", "--id", "p")
    (project.directory / "there.txt").write_text("here")
    resumed = project("resume", "p")
    done = project("run", "app.py:parks", "path=there.txt", "--id", "p")

    assert parked.code == 1
    assert "parked" in parked.err
    assert resumed.code == 0
    assert (done.code, done.out) == (0, "here\n")


def test_waiting_too_long_exits_with_5(project: Project) -> None:
    done = project("run", "app.py:slow", "--timeout", "0.5", "--id", "s")

    assert done.code == 5
    assert "why s" in done.err


def test_show_lists_the_records_of_steps_alone_on_request(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "g")
    shown = project("show", "g", "--steps").out
    every = project("show", "g").out

    assert "run_closed" in every or "run_started" in every
    _, _, listed = shown.partition("\njournal, ")
    count, *records = listed.strip().splitlines()
    assert re.fullmatch(r"\d+ records?, \d+ of them of steps \(a step can have several\)", count)
    assert all(" step_" in record for record in records)


def test_follow_shows_the_records_on_stderr(project: Project) -> None:
    done = project("run", "app.py:slow", "seconds=0.1", "--follow")

    assert done.out == "done\n"
    assert "timer_fired" in done.err
    assert "run_closed" in done.err


def test_process_steps_run_from_a_file_that_the_command_line_loaded(project: Project) -> None:
    done = project("run", "app.py:squares")

    assert (done.code, done.out) == (0, "[0, 1, 4]\n")


# ------------------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["run", "app.py:nothing"], 3, ["greet", "slow", "does not exist"]),
        (["run", "app.py:mark"], 3, ["is not a workflow"]),
        (["run", "missing.py:greet"], 3, ["no file missing.py"]),
        (["run", "missing.module:greet"], 3, ["no module"]),
        (["run", "app.py"], 2, ["APP:FLOW"]),
        (["run", "broken.py:x"], 2, ["broken.py:2", "SyntaxError"]),
        (["run", "raises.py:x"], 2, ["raises.py:3", "NameError"]),
        (["run", "exits.py:x"], 2, ["exits.py:2", "SystemExit"]),
        (["run", "app.py:greet"], 2, ["$.name", "missing"]),
        (["run", "app.py:greet", "nam=x", "times=many"], 2, ["nam", "times", "name"]),
        (["run", "app.py:greet", "name"], 2, ["key=value"]),
        (["run", "app.py:greet", "name=a", "name=b"], 2, ["twice"]),
        (["run", "app.py:greet", "--input", "{bad"], 2, ["not JSON"]),
        (["run", "app.py:greet", "--input", "@none.json"], 2, ["none.json"]),
        (["run", "app.py:greet", "name=x", "--id", ""], 2, ["a run id"]),
        (["run", "app.py:slow", "--detach", "--follow"], 2, ["--detach"]),
        (["run", "app.py:slow", "--timeout", "soon"], 2, ["--timeout"]),
        (["frobnicate"], 2, ["no command 'frobnicate'"]),
        (["ls", "--url", "x.example"], 2, ["is not the URL of a server"]),
        (["ls", "--db", "mysql://x"], 2, ["mysql"]),
        (["ls", "--db", "memory://x"], 2, ["its own process"]),
        (["ls"], 4, ["no database at"]),
        (["ls", "--json"], 4, ["no database at"]),
        (["show", "x"], 4, ["no database at"]),
        (["cancel", "x"], 4, ["no database at"]),
        (["db", "status"], 4, ["no database at"]),
    ],
    ids=words_of,
)
def test_a_mistake_is_told_in_words(
    project: Project, args: list[str], code: int, words: list[str]
) -> None:
    (project.directory / "broken.py").write_text("x = 1\ndef (:\n")
    (project.directory / "raises.py").write_text("import os\n\nos.sep + undefined\n")
    (project.directory / "exits.py").write_text("import sys\nsys.exit(7)\n")

    done = project(*args)

    assert done.code == code, done.err
    assert done.out == ""
    for word in words:
        assert any(choice in done.err for choice in word.split("|")), done.err
    assert not project.db.exists()


@pytest.fixture(scope="module")
def greeted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which run g has ended."""
    project = Project(tmp_path_factory.mktemp("greeted") / "shop")
    assert project("run", "app.py:greet", "name=Ada", "--id", "g").code == 0
    return project


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["show", "nobody"], 3, "no run has the id"),
        (["why", "nobody"], 3, "no run has the id"),
        (["tail", "nobody"], 3, "no run has the id"),
        (["signal", "nobody", "x", "1"], 3, "no run has the id"),
        (["cancel", "nobody"], 3, "no run has the id"),
        (["terminate", "nobody"], 3, "no run has the id"),
        (["resume", "nobody"], 3, "no run has the id"),
        (["signal", "g", "x", "{bad"], 2, "not JSON"),
        (["signal", "g", "x", "bare"], 2, "quotes"),
        (["signal", "g", "x", "1"], 1, "has ended"),
        (["ls", "status:odd"], 2, "no status"),
        (["cancel", "g", "--grace", "soon"], 2, "--grace"),
        (["run", "app.py:greet", "name=Bob", "--id", "g"], 1, "a different input"),
        (["run", "app.py:fail", "text=x", "--id", "g"], 1, "runs workflow"),
    ],
    ids=words_of,
)
def test_what_is_not_there_or_does_not_fit(
    greeted: Project, args: list[str], code: int, words: str
) -> None:
    done = greeted(*args)

    assert (done.code, done.out) == (code, ""), done.err
    assert words in done.err


@pytest.mark.parametrize("command", [["ls"], ["run", "app.py:greet", "name=x"], ["cancel", "x"]])
def test_a_database_that_cannot_be_used_is_refused_and_left_alone(
    project: Project, command: list[str]
) -> None:
    project("run", "app.py:greet", "name=Ada")
    connection = sqlite3.connect(project.db)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    newer = project(*command)
    project.db.write_bytes(b"this is not a database, but it is long enough to be looked at" * 50)
    before = project.db.read_bytes()
    damaged = project(*command)

    assert newer.code == damaged.code == 4
    assert "use the newer version of outlast" in newer.err
    assert "not a SQLite database" in damaged.err
    assert project.db.read_bytes() == before


# ----------------------------------------------------------------- dying and going on
def test_a_killed_run_goes_on_when_the_same_command_is_given_again(project: Project) -> None:
    first = project.start("run", "app.py:approve")
    # Recorded, that is, not only done: else the step would rightly be done again.
    until(lambda: project.effects() == ["asked"])
    until(lambda: project("ls", "--json").rows[0]["steps"] == 1)
    end(first, signal.SIGKILL)

    (run,) = project("ls", "--json").rows
    project("signal", f"{run['id']}", "approval", "true")
    done = project("run", "app.py:approve")

    assert (done.code, done.out) == (0, "true\n"), done.err
    assert project.effects() == ["asked"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_and_says_how_to_go_on(
    project: Project, number: signal.Signals, code: int
) -> None:
    process = project.start("run", "app.py:slow", "--id", "s")
    until(lambda: project.effects() == ["begun"])
    until(lambda: "timer" in project("why", "s").out)

    done = end(process, number)

    assert done.code == code
    assert "Traceback" not in done.err
    assert "outlast why s" in done.err
    assert not project.db.with_name("outlast.db.sock").exists()
    assert "timer" in project("why", "s").out


def test_a_second_ctrl_c_ends_at_once(project: Project) -> None:
    process = project.start("run", "app.py:blocked", "seconds=60")
    until(lambda: project.effects() == ["blocking"])
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        pass
    time.sleep(2 * limits.SIGNAL_ECHO_SECONDS)  # one that comes sooner is an echo of the first

    done = end(process, signal.SIGINT)

    assert (done.code, done.err) == (130, "")


def test_detached_runs_wait_for_an_engine(project: Project) -> None:
    detached = project("run", "app.py:slow", "seconds=0.1", "--id", "d", "--detach")
    effects = project.effects()
    waiting = project("show", "d", "--json").fields
    done = project("run", "app.py:slow", "seconds=0.1", "--id", "d")

    assert (detached.code, detached.out) == (0, "d\n")
    assert effects == []
    assert waiting["status"] == "pending"
    assert (done.code, done.out) == (0, "done\n")


def test_a_detached_start_is_told_as_json(project: Project) -> None:
    start = ("run", "app.py:slow", "seconds=0.1", "--id", "d", "--detach", "--json")
    first, again = project(*start), project(*start)

    workflow = project("show", "d", "--json").fields["workflow"]
    assert first.fields == {"id": "d", "workflow": workflow, "created": True}
    assert again.fields == {"id": "d", "workflow": workflow, "created": False}


# ---------------------------------------------------------------------------- looking
def test_tail_follows_to_the_end(project: Project) -> None:
    project("run", "app.py:slow", "seconds=1.0", "--id", "s", "--detach")
    runner = project.start("run", "app.py:slow", "seconds=1.0", "--id", "s")
    followed = project("tail", "s", "--json")
    runner.communicate(timeout=60)

    records = followed.lines
    assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
    assert records[-1]["kind"] == "run_closed"
    assert set(records[0]) == {
        "seq",
        "key",
        "kind",
        "name",
        "at",
        "epoch",
        "attempt",
        "value",
        "error",
        "place",
        "waited",
        "took",
        "input",
        "large_input",
        "traceback",
    }


def test_streams_are_shown_with_their_control_characters_made_harmless(project: Project) -> None:
    project("run", "app.py:talk", "--id", "t")
    plain = project("tail", "t", "--stream", "words")
    events = project("tail", "t", "--stream", "words", "--json").lines

    assert plain.out == "a\nb\n\\x1b[31mred\n"
    assert [e["kind"] for e in events] == ["data", "data", "data", "end"]
    assert events[2]["value"] == "\x1b[31mred"


def test_a_stream_that_an_ended_run_has_not_written_is_not_found(project: Project) -> None:
    project("run", "app.py:talk", "--id", "t")
    missing = project("tail", "t", "--stream", "wrods")

    assert (missing.code, missing.out) == (3, "")
    assert "'t' has not written to a stream 'wrods' and has ended (completed)" in missing.err
    assert "its streams: words" in missing.err


def test_a_stream_that_an_open_run_has_not_written_is_waited_for(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "a"):
        tailing = project.start("tail", "a", "--stream", "wrods")
        assert tailing.stderr is not None
        said = tailing.stderr.readline()
        project("signal", "a", "approval", "true")
        out, _ = tailing.communicate(timeout=60)

    assert "'a' has not written to a stream 'wrods' yet; it has no streams so far" in said
    assert "words" not in said  # its module declares that one, for another workflow
    assert (tailing.returncode, out) == (0, "")


def test_a_result_does_not_drive_the_terminal(project: Project) -> None:
    plain = project("run", "app.py:rude", "--id", "r")

    assert plain.out == "\\x1b[2Jgone\n"
    assert "\x1b" not in project("show", "r").out


def test_show_prints_the_fields_of_run_info(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "g")
    info = project("show", "g", "--json").fields

    assert set(info) == {
        "id",
        "workflow",
        "version",
        "status",
        "created_at",
        "started_at",
        "closed_at",
        "wake_at",
        "parent",
        "attributes",
        "steps",
        "crash_count",
        "error",
    }
    assert "Hello, Ada!" in project("show", "g").out
    assert project("why", "g", "--json").fields["status"] == "completed"


def test_a_reader_that_has_seen_enough_hears_no_complaint(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "g")
    process = project.start("ls", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(60)

    assert err == ""
