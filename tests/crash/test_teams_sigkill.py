"""A team in a process that is killed: its members come back, and lose nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec

from outlast import Engine, MemberInfo, TeamInfo
from tests.crash.redelivery_worker import lines_of
from tests.crash.team_worker import Ledger, Worker

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
WORKERS, MESSAGES, KILLS = (8, 1_000, 50) if IS_FULL else (5, 200, 10)


def begin(db: Path, acknowledged: Path) -> subprocess.Popen[str]:
    """Start the worker."""
    command = [sys.executable, "-m", "tests.crash.team_worker", str(db), str(acknowledged)]
    return subprocess.Popen(
        [*command, str(WORKERS), str(MESSAGES)],
        env={**os.environ, "EFFECTS": str(db.with_name("effects"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def members_of(team: TeamInfo) -> list[MemberInfo]:
    """Return the members of a team and of those within."""
    found = list(team.members)
    for member in team.members:
        found += members_of(member.team) if member.team is not None else []
    return found


async def restarts_in(db: Path) -> dict[str, int]:
    """Return how often each member was started again."""
    async with Engine.open(db, read_only=True) as engine:
        return {m.id: m.restarts async for team in engine.teams() for m in members_of(team)}


async def test_a_team_comes_back_from_every_kill_and_loses_nothing(tmp_path: Path) -> None:
    db, acknowledged = tmp_path / "outlast.db", tmp_path / "acknowledged"
    chance = random.Random(5)
    kills, before = 0, dict[str, int]()
    while kills < KILLS:
        worker = begin(db, acknowledged)
        try:
            worker.communicate(timeout=chance.uniform(0.4, 1.2))
            break
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
            kills += 1
        after = await restarts_in(db) if db.exists() else {}
        fewer = {name for name, count in before.items() if after.get(name, 0) < count}
        assert not fewer, f"counts of restarts went down: {fewer}"
        before = after
    last = begin(db, acknowledged)
    out, errors = last.communicate(timeout=300)

    assert out == "all done\n", errors
    assert kills == KILLS, "all was done before the last kill"
    kept: dict[str, list[str]] = {}
    async with Engine.open(db, read_only=True) as engine:
        async for info in engine.actors(Worker):
            kept[info.key] = msgspec.convert(info.state, Ledger).lines
        letters = [letter async for letter in engine.dead_letters()]
        teams = [team async for team in engine.teams()]
    assert [team.status for team in teams] == ["up"]
    assert {member.status for member in members_of(teams[0])} == {"up"}
    assert sum(member.restarts for member in members_of(teams[0])) >= WORKERS
    assert {letter.reason for letter in letters} <= {"failed"}
    poisoned = Counter(f"{letter.actor.rpartition('/')[2]}" for letter in letters)
    for key in map(str, range(WORKERS)):
        lines = kept[key]
        assert len(lines) == len(set(lines)), f"{key} applied a line twice"
        numbers = {int(line.partition(":")[2]) for line in lines}
        wanted = {number for number in range(MESSAGES) if number % 20 != 7}
        assert numbers == wanted, f"{key} lost {wanted - numbers}"
        assert poisoned[key] == MESSAGES - len(wanted)
    effects = Counter(lines_of(tmp_path / "effects"))
    assert len(effects) == WORKERS * len([n for n in range(MESSAGES) if n % 10 == 1])
    # Each failed the first time; only a kill between an effect and its record makes a third one.
    assert all(count >= 2 for count in effects.values())
    assert sum(effects.values()) - 2 * len(effects) <= kills * WORKERS
