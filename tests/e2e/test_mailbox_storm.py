"""Far more messages than a mailbox holds: memory stays bounded, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from outlast import Engine
from tests.e2e.storm import SENDERS, Blocking, Rejecting, Report, Tally

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
MESSAGES = 100_000 if IS_FULL else 10_000
# What caches of the store and the allocator may take, and a tenth of what the messages of a full
# storm would need if they were kept.
GROWTH_BYTES_MAX = 32 * 1024 * 1024


@pytest.mark.parametrize("overflow", ["reject", "block"])
def test_every_acknowledged_message_of_a_storm_is_applied_once(
    overflow: str, tmp_path: Path
) -> None:
    db = tmp_path / "outlast.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.storm", str(db), overflow, str(MESSAGES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout, type=Report)
    tally, dead = asyncio.run(what_is_left(db, Rejecting if overflow == "reject" else Blocking))

    print(overflow, report)
    assert report.acknowledged == tally.applied == MESSAGES
    assert tally.breaks == 0
    assert tally.last == {f"s{n}": MESSAGES // SENDERS - 1 for n in range(SENDERS)}
    assert dead == 0
    assert (report.refused > 0) == (overflow == "reject")
    assert report.resident_bytes_after - report.resident_bytes_before < GROWTH_BYTES_MAX


async def what_is_left(db: Path, kind: type[Rejecting] | type[Blocking]) -> tuple[Tally, int]:
    """Return the actor's state, and how many dead letters there are."""
    async with Engine.open(db, read_only=True) as engine:
        info = await engine.actor_info(kind, "one")
        dead = [letter async for letter in engine.dead_letters()]
    return msgspec.convert(info.state, Tally), len(dead)
