"""The power is lost at any moment: what was acknowledged is there, and everything goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlast import Engine
from outlast._store.sqlite.backup import restore
from outlast.errors import StoreDamaged, WaitTimeout
from tests.crash.power_loss import Call, Disk, State, can_trace, python, traced
from tests.crash.power_program import NEWER, SIGNALS, go, totals

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
MODES = ("lost", "kept", "mixed", "mostly lost")

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(not can_trace(), reason="strace is not here, or may not trace"),
]


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every state logs what recovery found; each has the schema that the program ends with."""
    monkeypatch.setattr("outlast._store.sqlite.tables.schema.migrations", lambda: NEWER)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def recorded(folder: Path, syncs_left_out: str = "") -> tuple[Path, list[Call]]:
    """Return what a program did to its files, in a directory below one that was there."""
    root = folder / "recorded"
    root.mkdir()
    database = root / "new" / "deeper" / "outlast.db"
    command = python("tests.crash.power_program", f"{database}", syncs_left_out)
    return root, traced(command, folder / "calls")


def keeper(mode: str, rng: random.Random) -> Callable[[], bool]:
    match mode:
        case "lost":
            return lambda: False
        case "kept":
            return lambda: True
        case "mixed":
            return lambda: rng.random() < 0.5
        case _:
            return lambda: rng.random() < 0.1


async def check(path: Path, told: list[str]) -> None:
    """Open a database after the power came back: all that was told holds, and all goes on."""
    starts = {line.split()[1] for line in told if line.startswith("started")}
    ends = {line.split()[1]: int(line.split()[2]) for line in told if line.startswith("ended")}
    async with Engine.open(path) as engine:
        there = {info.id async for info in engine.runs()}
        assert starts <= there, f"lost: {sorted(starts - there)}"
        for run in sorted(there):
            handle = engine.get(run, totals)
            if run in ends:
                assert (await handle.info()).status == "completed", run
            elif run not in ends and (await handle.info()).status != "completed":
                for number in range(SIGNALS):
                    if f"signalled {run} {number}" not in told:
                        await handle.signal(go, number, dedup=f"{number}")
            result = await handle.result(timeout="10s")
            assert result == int(run[1:]) + 1 + sum(range(SIGNALS)), run
            assert ends.get(run, result) == result


def check_with_backup(database: Path, told: list[str]) -> None:
    """Check a database, and the backup once there is one.

    A restore that was interrupted may have to be repeated before anything opens the database.
    """
    words = {line.partition(" ")[0] for line in told}
    backup = database.with_name("backup.db")
    if "restoring" in words and "restored" not in words:
        try:
            asyncio.run(check(database, told))
        except StoreDamaged:
            restore(backup, database)
    asyncio.run(check(database, told))
    if "copied" in words:
        # What was told later is not in it.
        asyncio.run(check(backup, told[: told.index("copied backup.db")]))


def states(
    root: Path, calls: list[Call], count: int, rng: random.Random
) -> Iterator[tuple[int, str, Disk, list[str]]]:
    """Iterate over moments of a recording, as many of them as asked for, with what was told."""
    told: list[str] = []
    moments: list[int] = []
    rehearsal = Disk(root, lambda _: None)
    for number, call in enumerate(calls):
        if rehearsal.do(call):
            moments.append(number)
    chosen = Counter(rng.choices(moments, k=count))
    disk = Disk(root, lambda text: told.extend(text.split("\n")[:-1]))
    for number, call in enumerate(calls):
        disk.do(call)
        for _ in range(chosen[number]):
            yield number, rng.choice(MODES), disk, list(told)


def explore(tmp_path: Path, calls: tuple[Path, list[Call]], count: int, seed: int) -> None:
    """Check states of the disk after a power loss, as many as asked for."""
    rng = random.Random(seed)
    place = tmp_path / "disk"
    for number, mode, disk, told in states(*calls, count, rng):
        shutil.rmtree(place, ignore_errors=True)
        State(keeper(mode, rng), rng).lay_out(disk.root, place)
        database = place / "new" / "deeper" / "outlast.db"
        try:
            check_with_backup(database, told)
        except BaseException as error:
            error.add_note(f"seed {seed}, call {number}, unsynced {mode}")
            raise


@pytest.mark.parametrize("seed", range(10 if IS_FULL else 1))
def test_what_was_acknowledged_is_there_after_a_power_loss(tmp_path: Path, seed: int) -> None:
    explore(tmp_path, recorded(tmp_path), 1_000 if IS_FULL else 150, seed)


@pytest.mark.parametrize("syncs", ["of directories", "of the log"])
def test_a_store_that_leaves_out_a_sync_is_found(tmp_path: Path, syncs: str) -> None:
    calls = recorded(tmp_path, syncs)

    with pytest.raises((AssertionError, StoreDamaged, WaitTimeout)):
        explore(tmp_path, calls, 150, seed=0)
