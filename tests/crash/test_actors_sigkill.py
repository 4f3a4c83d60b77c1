"""Actors in a process that is killed: what was acknowledged is applied once, in order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec

from outlast import Engine
from tests.crash.actor_worker import Keeper, Ledger

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
ACTORS, SENDERS, MESSAGES, KILLS = (10_000, 100, 1_000, 20) if IS_FULL else (60, 20, 200, 10)


def begin(db: Path, acknowledged: Path) -> subprocess.Popen[str]:
    """Start the worker."""
    numbers = [str(number) for number in (ACTORS, SENDERS, MESSAGES)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.actor_worker", str(db), str(acknowledged), *numbers],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_messages_are_applied_once_and_in_order_over_kills(tmp_path: Path) -> None:
    db, acknowledged = tmp_path / "outlast.db", tmp_path / "acknowledged"
    chance = random.Random(3)
    kills = 0
    while kills < KILLS:
        worker = begin(db, acknowledged)
        try:
            worker.communicate(timeout=chance.uniform(0.3, 3.0 if IS_FULL else 0.9))
            break
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
            kills += 1
    last = begin(db, acknowledged)
    out, errors = last.communicate(timeout=600)

    assert out == "all done\n", errors
    assert kills >= 3
    promised: dict[str, list[str]] = {}
    for entry in acknowledged.read_text().splitlines():
        key, line = entry.split()
        promised.setdefault(key, []).append(line)
    kept: dict[str, list[str]] = {}
    async with Engine.open(db, read_only=True) as engine:
        async for info in engine.actors(Keeper):
            kept[info.key] = msgspec.convert(info.state, Ledger).lines
        assert [letter async for letter in engine.dead_letters()] == []
    for key, lines in promised.items():
        assert not set(lines) - set(kept[key]), f"{key} lost acknowledged messages"
    for key, lines in kept.items():
        assert max(Counter(lines).values(), default=1) == 1, f"{key} applied a message twice"
        for sender in {line.partition(":")[0] for line in lines}:
            numbers = [int(n) for s, _, n in (line.partition(":") for line in lines) if s == sender]
            assert numbers == sorted(numbers), f"{key}: {sender} out of order"
    slow = {
        f"{k}/{line}"
        for k, lines in kept.items()
        for line in lines
        if not int(line.split(":")[-1]) % 3
    }
    copied = {line for key, lines in kept.items() if key.startswith("copy-") for line in lines}
    assert copied == {line for line in slow if not line.startswith("copy-")}
