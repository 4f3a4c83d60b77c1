"""A restore that is killed at any of its steps: the old state, the new one, or what to do."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from outlast import Engine, workflow
from outlast._store.sqlite.backup import copy_database, restore
from outlast.errors import StoreDamaged
from tests.preloaded import run_program
from tests.unit.store.sqlite.processes import kill, next_line, python

# Kills itself before the step with this number: whatever changes a name, or makes one durable.
KILLED = """
import os, signal, sys
from pathlib import Path
from outlast._store.sqlite.backup import restore

left = int(sys.argv[3])

def counted(work):
    def step(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*arguments, **options)
    return step

for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "pwrite", "ftruncate"):
    setattr(os, name, counted(getattr(os, name)))
restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""

# An owner that is killed leaves commits in the log: it must stay with its database.
WRITE_AND_WAIT = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    await begin(store)
    say("wrote")
    sys.stdin.read()
"""


@workflow
async def backed_up() -> None:
    """In the backup."""


def killed_at(step: int, backup: Path, path: Path) -> bool:
    """Restore in a process that is killed before a step; return whether it was."""
    program = backup.with_name("killed.py")
    program.write_text(KILLED)
    ended = run_program(program, str(backup), str(path), f"{step}")
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


def contents(directory: Path) -> dict[str, bytes]:
    names = ("outlast.db", "outlast.db-wal", "outlast.db.mark")
    return {n: (directory / n).read_bytes() for n in names if (directory / n).exists()}


async def runs_in(path: Path) -> set[str]:
    async with Engine.open(path) as engine:
        return {info.id async for info in engine.runs()}


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    async with Engine.open(tmp_path / "other.db") as engine:
        await engine.run(backed_up(), id="backed up")
    backup = tmp_path / "backup.db"
    backup.touch()
    copy_database(tmp_path / "other.db", backup)
    return backup


@pytest.fixture(params=["all", "without database", "without log"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The directory of a database whose owner was killed, or of what was left of it."""
    directory = tmp_path / "old"
    directory.mkdir()
    with python(WRITE_AND_WAIT, directory / "outlast.db") as owner:
        assert next_line(owner) == "wrote"
        kill(owner)
    gone = {"without database": "", "without log": "-wal"}.get(str(request.param))
    if gone is not None:
        (directory / f"outlast.db{gone}").unlink()
    return directory


@pytest.mark.crash
async def test_a_killed_restore_leaves_the_old_state_or_says_how_to_go_on(
    tmp_path: Path, backup: Path, old: Path
) -> None:
    before = contents(old)
    step, was_killed = 0, True
    while was_killed:
        place = tmp_path / f"step-{step}"
        shutil.copytree(old, place)
        path = place / "outlast.db"
        was_killed = killed_at(step, backup, path)
        await _check_as_it_was_left(path, before)

        if step % 4 == 0:
            killed_at(max(0, step - 2), backup, path)  # and again: still one directory
        restore(backup, path)

        kept = sorted(place.glob("*before-restore*"))
        assert contents(kept[0]) == before, f"step {step}"
        assert await runs_in(path) == {"backed up"}
        assert not list(place.glob("*.moving")) + list(place.glob("*.restoring*"))
        step += 1
    assert step > 10


async def _check_as_it_was_left(path: Path, before: dict[str, bytes]) -> None:
    """Look at a copy: opening it may change it."""
    probe = path.parent.with_name("probe")
    shutil.copytree(path.parent, probe)
    try:
        if contents(probe) == before:
            return
        if "outlast.db" in contents(path.parent):
            assert await runs_in(probe / path.name) == {"backed up"}
            return
        with pytest.raises(StoreDamaged, match=r"Repeat `outlast db restore FILE --db") as caught:
            await runs_in(probe / path.name)
        kept = list(probe.glob("*before-restore*"))
        assert len(kept) == 1
        assert str(kept[0]) in str(caught.value)
        if kept[0].suffix == ".moving":
            _go_back(f"{caught.value}")
            assert contents(probe) == before
    finally:
        shutil.rmtree(probe)


def _go_back(error: str) -> None:
    """Do what the error says for going back to the old state."""
    way = error.partition("the old state: ")[2]
    assert way.startswith("mv ")
    subprocess.run(way, shell=True, check=True)
