"""The short examples: each runs to its end, and again from what the first run left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from tests.e2e.commands import until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, directory: Path) -> list[str]:
    """Run an example in a directory and return the lines that it printed."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def inbox(directory: Path) -> list[dict[str, object]]:
    """Return the open requests; none before the program has created its database."""
    command = [sys.executable, "-m", "outlast", "inbox", "--json", "--db", "approval.db"]
    done = subprocess.run(command, cwd=directory, capture_output=True, timeout=60, check=False)
    return msgspec.json.decode(done.stdout or b"[]", type=list[dict[str, object]])


def test_the_retried_step_succeeds_and_is_not_executed_again(tmp_path: Path) -> None:
    first = run("02_retry.py", tmp_path)
    second = run("02_retry.py", tmp_path)

    attempts = [f"charge 7: attempt {attempt}" for attempt in (1, 2, 3)]
    assert first == [*attempts, "mail receipt-7-999", "receipt-7-999"]
    assert second == ["receipt-7-999"]


def test_the_refund_is_paid_when_a_person_approves_it(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "03_approval.py")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as program:
        try:
            until(lambda: inbox(tmp_path) != [])
            [request] = inbox(tmp_path)
            approve = [sys.executable, "-m", "outlast", "approve", str(request["id"])]
            subprocess.run([*approve, "--db", "approval.db"], cwd=tmp_path, check=True, timeout=60)
            said, _ = program.communicate(timeout=60)
        finally:
            program.kill()

    assert request["title"] == "Refund order 7?"
    assert said.splitlines()[-1] == "refunded 4000 cents for order 7"
    assert run("03_approval.py", tmp_path)[-1] == "refunded 4000 cents for order 7"


def test_the_account_keeps_its_state_and_ignores_a_failed_message(tmp_path: Path) -> None:
    first = run("04_account.py", tmp_path)
    second = run("04_account.py", tmp_path)

    assert first == ["balance: 300", "rejected: insufficient funds", "entries: ['+500', '-200']"]
    assert second[0] == "balance: 600"
    assert second[-1] == "entries: ['+500', '-200', '+500', '-200']"
