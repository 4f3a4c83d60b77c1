"""A disk that does not sync any more: verbs and the drain end in time, and say why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.crash
def test_a_log_that_cannot_be_synced_is_said_at_once_and_holds_up_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.failing_syncs", str(tmp_path / "outlast.db")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    # In time, and whether it is said that the outcome is not known: only of what was on its way.
    assert done.stdout.splitlines() == [
        "refused True True",
        "refused True False",
        "refused True False",
        "trouble True",
        "result 7",
        "refused True True",
        "drained True",
        "left True",
    ]
    assert done.stderr.count("the store does not accept writes") == 2
