"""The command line and its store: beside an owner, with nobody there, and looking after it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import Project, until


# -------------------------------------------------------------------- with an owner
def test_reading_works_beside_an_owner(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "a"):
        until(lambda: project.effects() == ["asked"])
        until(lambda: project("show", "a", "--json").fields["status"] == "waiting")

        assert "approval" in project("why", "a").out
        assert [r["id"] for r in project("ls", "status:waiting", "--json").rows] == ["a"]
        assert project("db", "status", "--json").fields["owner_pid"] is not None


def test_a_signal_reaches_a_run_through_its_owner(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "a") as owner:
        until(lambda: project.effects() == ["asked"])
        wrong = project("signal", "a", "approval", '"maybe"')
        sent = project("signal", "a", "approval", "true", "--dedup", "k")

        out, _ = owner.communicate(timeout=60)

    assert wrong.code == 2
    assert sent.code == 0
    assert out == "true\n"


@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("terminate", "terminated")])
def test_stopping_reaches_a_run_through_its_owner(project: Project, verb: str, status: str) -> None:
    with project.owner("app.py:approve", "--id", "a") as owner:
        until(lambda: project.effects() == ["asked"])
        done = project(verb, "a", "--reason", "enough")
        _, err = owner.communicate(timeout=60)

    assert done.code == 0
    assert owner.returncode == 1
    assert "enough" in err
    assert project("show", "a", "--json").fields["status"] == status


def test_a_signal_to_nobody_is_read_by_the_next_engine(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "a"):
        until(lambda: project.effects() == ["asked"])

    sent = project("signal", "a", "approval", "true")
    done = project("run", "app.py:approve", "--id", "a")

    assert sent.code == 0
    assert "no engine is running" in sent.err
    assert (done.code, done.out) == (0, "true\n")


def test_cancel_and_terminate_to_nobody(project: Project) -> None:
    for run in ("c", "t"):
        with project.owner("app.py:approve", "--id", run):
            until(lambda: "asked" in project.effects())
        (project.directory / "effects.txt").unlink()

    cancelled, terminated = project("cancel", "c"), project("terminate", "t")
    assert cancelled.code == terminated.code == 0
    assert project("show", "t", "--json").fields["status"] == "terminated"
    with project.owner("app.py:approve", "--id", "other"):
        until(lambda: project("show", "c", "--json").fields["status"] == "cancelled")
    again = project("cancel", "c")
    assert (again.code, "has already ended (cancelled)" in again.err) == (0, True)


def test_run_beside_an_owner_starts_there_and_waits(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "a"):
        done = project("run", "app.py:greet", "name=Ada")
        detached = project("run", "app.py:greet", "name=Bob", "--id", "b", "--detach")
        until(lambda: project("show", "b", "--json").fields["status"] == "completed")

    assert (done.code, done.out) == (0, "Hello, Ada!\n")
    assert (detached.code, detached.out) == (0, "b\n")


def test_a_run_that_the_owner_has_no_code_for_waits_and_is_taken_over(project: Project) -> None:
    (project.directory / "other.py").write_text(
        "from outlast import workflow\n\n@workflow\nasync def double(n: int) -> int:\n"
        "    return 2 * n\n"
    )
    with project.owner("app.py:approve", "--id", "a"):
        detached = project("run", "other.py:double", "n=2", "--id", "two", "--detach")
        pending = project("show", "two", "--json").fields
        waiting = project.start("run", "other.py:double", "n=3")
        assert waiting.stderr is not None
        while "stays parked" not in waiting.stderr.readline():
            pass

    out, _ = waiting.communicate(timeout=60)

    assert detached.code == 0
    assert pending["status"] in ("pending", "parked")
    assert (waiting.returncode, out) == (0, "6\n")


def test_a_locked_store_whose_owner_does_not_listen_exits_with_4(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "a"):
        until(lambda: project.effects() == ["asked"])
        socket = project.db.with_name("outlast.db.sock")
        socket.unlink()
        socket.mkdir()  # a file in its place would be replaced
        done = project("cancel", "a")

    assert done.code == 4
    assert "is owned by process" in done.err


# ----------------------------------------------------------------------- maintenance
def test_db_commands(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "g")
    backup = project("db", "backup", "copy.db")
    again = project("db", "backup", "copy.db")
    lines = project("db", "export").lines
    status = project("db", "status", "--json").fields
    pruned = project("db", "prune", "--older-than", "0s")

    assert backup.code == 0
    assert again.code == 2
    assert lines[0]["type"] == "run"
    assert {line["type"] for line in lines[1:]} == {"record"}
    assert status["runs"] == {"completed": 1}
    assert status["actors"] == 0
    assert "1 run deleted" in pruned.err
    assert project("ls", "--json").rows == []
    assert [r["id"] for r in project("ls", "--json", "--db", "copy.db").rows] == ["g"]
    assert "up to date" in project("db", "migrate").err


def test_a_backup_can_be_taken_beside_an_owner(project: Project) -> None:
    with project.owner("app.py:approve", "--id", "a"):
        until(lambda: project.effects() == ["asked"])
        done = project("db", "backup", "copy.db")
        locked = project("db", "prune", "--older-than", "0s")

    assert done.code == 0
    assert locked.code == 4
    assert project("show", "a", "--json", "--db", "copy.db").fields["id"] == "a"


def test_a_backup_is_not_stopped_by_what_a_killed_one_left(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "g")
    left = project.db.with_name("copy.db.partial")
    left.write_bytes(b"half of a copy")

    done = project("db", "backup", str(project.db.with_name("copy.db")))

    assert (done.code, done.err.count("\n")) == (0, 1)
    assert [f.name for f in project.db.parent.glob("copy*")] == ["copy.db", "copy.db.partial"]


def test_a_backup_opens_elsewhere_and_restores_without_complaint(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "before")
    project("db", "backup", "copy.db")
    project("run", "app.py:greet", "name=Bob", "--id", "after")
    elsewhere = project("run", "app.py:greet", "name=Cy", "--id", "there", "--db", "copy.db")

    restored = project("db", "restore", "copy.db")
    ran = project("run", "app.py:greet", "name=Dan", "--id", "again")

    assert (elsewhere.code, elsewhere.err) == (0, "run there\n")
    assert restored.code == 0
    assert (ran.code, ran.err) == (0, "run again\n")
    assert {r["id"] for r in project("ls", "--json").rows} == {"before", "there", "again"}
    [kept] = project.db.parent.glob("*.before-restore-1")
    old = project("ls", "--json", "--db", str(kept / project.db.name))
    assert {r["id"] for r in old.rows} == {"before", "after"}


def test_an_older_copy_in_the_place_of_a_database_is_refused_until_the_loss_is_accepted(
    project: Project,
) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "before")
    project("db", "backup", "copy.db")
    project("run", "app.py:greet", "name=Bob", "--id", "after")
    (project.db.parent.parent / "copy.db").replace(project.db)

    refused = project("run", "app.py:greet", "name=Cy", "--id", "more")
    listed = project("ls")
    looked = project("db", "salvage")
    lost = int(looked.out.partition("lacks ")[2].partition(" ")[0])
    wrong = project("db", "salvage", "--accept-loss", f"{lost + 1}")
    sick = project("doctor")

    assert refused.code == listed.code != 0
    assert "acknowledged commit" in refused.err
    assert f"--accept-loss {lost}" in refused.err
    assert looked.code == 1
    assert (wrong.code, f"lacks {lost}" in wrong.err) == (2, True)
    assert (sick.code, "acknowledged commit" in sick.out) == (1, True)

    accepted = project("db", "salvage", "--accept-loss", f"{lost}")
    assert accepted.code == 0
    assert project("doctor").code == 0
    assert {r["id"] for r in project("ls", "--json").rows} == {"before"}
    assert project("run", "app.py:greet", "name=Cy", "--id", "more").code == 0
    assert project("db", "salvage").code == 0


def test_a_database_that_a_process_runs_is_neither_restored_nor_salvaged(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "before")
    project("db", "backup", "copy.db")
    with project.owner("app.py:approve", "--id", "a"):
        until(lambda: project.effects() == ["asked"])
        restored = project("db", "restore", "copy.db")
        salvaged = project("db", "salvage", "--accept-loss", "1")

    assert (restored.code, salvaged.code) == (4, 4)
    assert "stop that process" in restored.err
    assert {r["id"] for r in project("ls", "--json").rows} == {"before", "a"}


def test_a_lost_database_is_made_anew_by_no_command_and_restored_by_one(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "before")
    project("db", "backup", "copy.db")
    project.db.unlink()

    for command in (
        ("run", "app.py:greet", "name=Bob"),
        ("ls",),
        ("db", "status"),
        ("resume", "x"),
    ):
        refused = project(*command)
        assert refused.code == 4
        assert "once existed" in refused.err
    sick = project("doctor")
    assert (sick.code, "once existed" in sick.out) == (1, True)
    assert not project.db.exists()
    assert project("db", "restore", "copy.db").code == 0
    assert [r["id"] for r in project("ls", "--json").rows] == ["before"]


def test_doctor_finds_a_damaged_store(project: Project) -> None:
    healthy = project("doctor", "--json")
    project.db.write_bytes(b"not a database" * 100)
    sick = project("doctor")

    assert healthy.code == 0
    assert {"python", "sqlite", "disk", "file system", "limits"} <= {
        finding["name"] for finding in healthy.rows
    }
    assert sick.code == 1
    assert "BAD" in sick.out


def test_verify_tells_of_a_damaged_schema_once_and_exits_with_1(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada")
    data = bytearray(project.db.read_bytes())
    at = data.rfind(b"CREATE TABLE mailbox")
    data[data.find(b"TEXT", at) + 3] ^= 0x80
    project.db.write_bytes(data)

    sick = project("db", "verify")

    assert sick.code == 1
    assert "damaged" in sick.out
    assert "outlast db verify" not in sick.out + sick.err


def test_version_and_help() -> None:
    outs = [
        subprocess.run(
            [sys.executable, "-m", "outlast", *args], capture_output=True, text=True, check=True
        ).stdout
        for args in (["version"], ["--help"], ["run", "--help"], ["db", "--help"])
    ]

    assert outs[0].startswith("outlast ")
    assert "doctor" in outs[1]


def test_the_environment_names_the_database(project: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    project("run", "app.py:greet", "name=Ada", env={"OUTLAST_DB": str(elsewhere)})

    assert elsewhere.exists()
    assert not project.db.exists()
    assert len(project("ls", "--json", "--db", f"sqlite:///{elsewhere}").rows) == 1


def test_watching_a_database_that_is_moved_away_ends_with_the_reason(project: Project) -> None:
    assert project("run", "app.py:approve", "--id", "a", "--detach").code == 0
    watching = project.start("watch", "a", "--json")
    assert watching.stdout is not None
    watching.stdout.readline()

    project.db.rename(project.db.with_name("elsewhere.db"))
    _, said = watching.communicate(timeout=60)

    assert watching.returncode not in (0, 1)
    assert f"{project.db.name} was deleted or moved away" in said


def _foreign(path: Path, journal_mode: str) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode={journal_mode}")
    db.execute("CREATE TABLE theirs(a)")
    db.close()


FOREIGN: dict[str, Callable[[Path], object]] = {
    "sqlite": lambda path: _foreign(path, "DELETE"),
    "sqlite with a log": lambda path: _foreign(path, "WAL"),
    "text": lambda path: path.write_text("not a database"),
    "empty": lambda path: path.touch(),
    "directory": lambda path: path.mkdir(),
}
WITH_A_DATABASE = (
    ("ls",), ("show", "a"), ("cancel", "a"), ("doctor",), ("db", "verify"), ("db", "status"),
    ("db", "export"), ("db", "migrate"), ("db", "salvage"),
)  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_nothing_is_left_beside_a_file_that_is_refused(project: Project, kind: str) -> None:
    place = project.directory / "theirs"
    place.mkdir()
    FOREIGN[kind](place / "their.db")

    for command in (*WITH_A_DATABASE, ("run", "app.py:greet", "name=Ada")):
        done = project(*command, "--db", "theirs/their.db")

        assert done.code != 0, command
        assert [file.name for file in place.iterdir()] == ["their.db"], command


def test_looking_at_a_backup_leaves_nothing_beside_it(project: Project) -> None:
    project("run", "app.py:greet", "name=Ada", "--id", "a")
    place = project.directory / "backups"
    place.mkdir()
    assert project("db", "backup", "backups/a.db").code == 0
    before = (place / "a.db").read_bytes()

    for command in (("ls",), ("show", "a"), ("doctor",), ("db", "verify"), ("db", "status")):
        assert project(*command, "--db", "backups/a.db").code == 0, command
        assert [file.name for file in place.iterdir()] == ["a.db"], command
    assert project("db", "restore", "backups/a.db", "--db", "new.db").code == 0

    assert [file.name for file in place.iterdir()] == ["a.db"]
    assert (place / "a.db").read_bytes() == before
