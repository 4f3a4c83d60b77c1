"""A backup that is killed when it has its name, and before its first name is removed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from outlast import Engine, workflow
from outlast.errors import StoreError

KILLED_BACKUP = """
import os, signal, sys
from outlast.cli import main
from outlast.cli.group import run_command

link = os.link

def link_and_die(source, target):
    link(source, target)
    os.kill(os.getpid(), signal.SIGKILL)

os.link = link_and_die
run_command(main, ["db", "backup", sys.argv[2], "--db", sys.argv[1]])
"""


@workflow(name="backup_killed.flow")
async def flow() -> str:
    """End at once."""
    return "done"


def kill_backup(database: Path, backup: Path) -> None:
    """Back up, and die when the backup has its name."""
    command = [sys.executable, "-c", KILLED_BACKUP, str(database), str(backup)]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL


async def test_opening_what_a_killed_backup_left_names_what_to_delete(tmp_path: Path) -> None:
    database, backup = tmp_path / "outlast.db", tmp_path / "copies" / "backup.db"
    backup.parent.mkdir()
    async with Engine.open(database) as engine:
        await engine.run(flow(), id="r")
    kill_backup(database, backup)
    [left] = backup.parent.glob("*.partial")

    with pytest.raises(StoreError) as refused:
        async with Engine.open(backup):
            pass

    assert f"Delete the directory {left}" in f"{refused.value}"
    for name in left.iterdir():
        name.unlink()
    left.rmdir()
    async with Engine.open(backup) as engine:
        assert await engine.get("r", flow).result() == "done"
