"""`outlast demo`: a job that is killed half-way, and whose accounts add up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Done, Project, until

LIMIT = 60


def play(directory: Path, *args: str) -> Done:
    db = directory / "demo.db"
    process = subprocess.run(
        [sys.executable, "-m", "outlast", "demo", "--db", str(db), "--limit", str(LIMIT), *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(process.returncode, process.stdout, process.stderr)


@pytest.mark.crash
def test_the_demo_survives_its_kill_and_its_figures_add_up(tmp_path: Path) -> None:
    done = play(tmp_path, "--json")

    assert done.code == 0, done.err
    account: dict[str, Any] = json.loads(done.out)
    kill = account["kill"]
    assert account["problems"] == []
    assert account["modules"] == LIMIT
    assert account["runs"] == account["runs_completed"] == LIMIT + 1
    assert account["runs_open_max"] == LIMIT + 1
    assert account["steps_recorded"] == 5 * LIMIT + 1
    assert 0 < kill["steps_recorded_before"] < account["steps_recorded"]
    assert 0 < kill["runs_open"] <= LIMIT + 1
    assert kill["attempts_executed_twice"] <= kill["attempts_in_flight"]
    assert kill["recorded_steps_run_again"] == 0
    assert kill["recovery_seconds"] > 0
    # Each report is sent by a step of the engine's own, which notes nothing.
    outcomes = account["steps_recorded"] - LIMIT + account["attempts_failed"]
    assert account["attempts_executed"] == outcomes + kill["attempts_executed_twice"]
    assert len(list((tmp_path / "demo-catalogue").iterdir())) == LIMIT
    assert "was sent SIGKILL" in done.err
    digest = account["digest"]
    assert digest["is_exact"] is True
    assert digest["tokens"] > digest["summaries"] > 0
    assert digest["approved_by"] == "admin"
    assert "dashboard: http://127.0.0.1:" in done.err


def test_without_a_kill_nothing_is_executed_twice(tmp_path: Path) -> None:
    done = play(tmp_path, "--no-kill")

    assert done.code == 0, done.err
    assert f"runs completed         {LIMIT + 1} of {LIMIT + 1}" in done.out
    assert "SIGKILL" not in done.err
    assert "\x1b" not in done.out + done.err


def test_a_store_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo.db").write_text("mine")

    done = play(tmp_path)

    assert done.code == 2
    assert "already exists" in done.err
    assert (tmp_path / "demo.db").read_text() == "mine"


def test_ctrl_c_ends_every_process_and_says_where_the_store_is(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    process = project.start("demo", "--db", str(tmp_path / "demo.db"))
    effects = tmp_path / "demo-effects.txt"
    until(lambda: effects.exists() and effects.stat().st_size > 10_000)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"The database is {tmp_path / 'demo.db'}" in err
    assert "Traceback" not in err
    pids = {int(line.split("\t")[3]) for line in effects.read_text().splitlines()}
    assert pids
    until(lambda: not any(is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_demo_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    process = project.start("demo", "--db", str(tmp_path / "demo.db"))
    effects = tmp_path / "demo-effects.txt"
    until(lambda: effects.exists() and effects.stat().st_size > 10_000)

    process.kill()
    process.communicate(timeout=60)

    pids = {int(line.split("\t")[3]) for line in effects.read_text().splitlines()}
    until(lambda: not any(is_alive(pid) for pid in pids))
