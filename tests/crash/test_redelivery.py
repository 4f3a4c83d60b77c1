"""A sender that was told nothing, because the process died, sends again under the same key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from outlast import Engine
from tests.crash.redelivery_worker import REQUESTS, Clerk, Ledger, lines_of

# Requests 0, 1, 3, 4, 6, 7 keep a line; every third one is refused and keeps nothing.
ANSWERS = [
    "kept 1",
    "kept 2",
    "refused after it would have kept 3",
    "kept 3",
    "kept 4",
    "refused after it would have kept 5",
    "kept 5",
    "kept 6",
    "refused after it would have kept 7",
]


def run_worker(db: Path, answers: Path, dies_before: str) -> int:
    """Run the worker, and return how it ended."""
    command = [sys.executable, "-m", "tests.crash.redelivery_worker", str(db), str(answers)]
    effects = str(db.with_name("effects"))
    done = subprocess.run(
        [*command, dies_before],
        env={**os.environ, "EFFECTS": effects},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("dies_before", ["answer", "acknowledgement"])
async def test_each_request_is_applied_once_and_has_its_first_answer(
    dies_before: str, tmp_path: Path
) -> None:
    db, answers = tmp_path / "outlast.db", tmp_path / "answers"

    # Each life asks again for what the one before it had committed, and dies of the next.
    deaths = 0
    while run_worker(db, answers, dies_before):
        deaths += 1

    assert deaths == REQUESTS
    assert lines_of(answers) == ANSWERS
    async with Engine.open(db, read_only=True) as engine:
        info = await engine.actor_info(Clerk, "one")
        assert [letter async for letter in engine.dead_letters()] == []
    assert info.waiting == 0
    kept = [f"line {number}" for number in range(REQUESTS) if number % 3 != 2]
    assert msgspec.convert(info.state, Ledger).lines == kept
    effects = lines_of(tmp_path / "effects")
    assert effects == [f"line {number}" for number in range(REQUESTS) if number % 3]
