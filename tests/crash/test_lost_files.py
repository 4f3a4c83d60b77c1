"""A database whose files go while a server has it open: nothing more is acknowledged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlast import Engine
from tests.crash.serving import Server

PROGRAM = """
import asyncio
from pathlib import Path
from outlast import Signal, step, workflow
go = Signal("go", int)

@step
async def endless() -> None:
    Path("began").touch()
    try:
        await asyncio.Event().wait()
    finally:
        Path("stopped").touch()

@workflow
async def works() -> None:
    await endless()

@workflow
async def waits(n: int) -> int:
    return n + await go.receive()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    server = Server(tmp_path, program)
    server.start()
    while ask(server, "GET", "/readyz")[0] != 200:
        time.sleep(0.05)
    yield server
    server.kill()


def ask(server: Server, method: str, path: str, body: object = None) -> tuple[int, str]:
    """Return status and text of an answer; status 0 when nothing listens."""
    request = urllib.request.Request(
        server.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def wait_for(file: Path) -> None:
    while not file.exists():  # the time limit of the test ends it
        time.sleep(0.05)


def start(server: Server, run: str) -> tuple[int, str]:
    return ask(server, "POST", "/v1/workflows/program.waits/runs", {"id": run, "input": {"n": 1}})


def _delete(db: Path) -> None:
    db.unlink()


def _delete_log(db: Path) -> None:
    db.with_name("outlast.db-wal").unlink()


def _move_away(db: Path) -> None:
    db.rename(db.with_name("old.db"))


def _replace(db: Path) -> None:
    shutil.copy(db, db.with_name("copy"))
    db.with_name("copy").rename(db)


def _delete_lock(db: Path) -> None:
    db.with_name("outlast.db.lock").unlink()


def _replace_lock(db: Path) -> None:
    db.with_name("other").touch()
    db.with_name("other").rename(db.with_name("outlast.db.lock"))


TAKE_OVER = """
import sys
from pathlib import Path
from msgspec.structs import replace
from outlast._store.sqlite.opening import open_writer
from outlast._store.sqlite.tables.shard import ShardRow, note

path = Path(sys.argv[1])
db, row = open_writer(path), ShardRow(path)  # past the owner lock
db.execute("BEGIN IMMEDIATE")
shard, (noted, database_id) = row.read(db), row.noted(db)
taken = replace(shard, owner="a thief", epoch=shard.epoch + 1, commits=shard.commits + 1)
note(db, taken, noted, database_id)
db.execute("COMMIT")
"""


def _take_lease(db: Path) -> None:
    subprocess.run([sys.executable, "-c", TAKE_OVER, str(db)], check=True)


@pytest.mark.crash
@pytest.mark.parametrize(
    "damage", [_delete, _delete_log, _move_away, _replace, _delete_lock, _replace_lock, _take_lease]
)
def test_a_server_whose_files_are_gone_says_so_and_acknowledges_nothing(
    tmp_path: Path, server: Server, damage: Callable[[Path], None]
) -> None:
    db = tmp_path / "outlast.db"
    for n in range(5):
        assert start(server, f"before-{n}")[0] == 201
    damage(db)
    there = db.exists()

    for n in range(5):
        status, text = start(server, f"after-{n}")
        assert (status, "outlast.db" in text) == (503, True), text
    status, text = ask(server, "GET", "/readyz")
    assert (status, "outlast.db" in text) == (503, True), text
    assert ask(server, "GET", "/v1/runs")[0] == 503
    assert ask(server, "GET", "/healthz")[0] == 200
    assert "CRITICAL" in (tmp_path / "server.log").read_text().upper()
    assert db.exists() == there
    assert server.stop() != 0


@pytest.mark.crash
@pytest.mark.parametrize("damage", [_delete_lock, _take_lease])
def test_an_idle_server_that_loses_its_database_stops_its_steps_and_is_not_ready(
    tmp_path: Path, server: Server, damage: Callable[[Path], None]
) -> None:
    body: dict[str, object] = {"id": "long", "input": {}}
    assert ask(server, "POST", "/v1/workflows/program.works/runs", body)[0] == 201
    wait_for(tmp_path / "began")

    damage(tmp_path / "outlast.db")

    wait_for(tmp_path / "stopped")
    assert ask(server, "GET", "/readyz")[0] == 503


@pytest.mark.crash
async def test_a_server_whose_database_is_gone_does_not_start_with_an_empty_one(
    tmp_path: Path, server: Server
) -> None:
    db = tmp_path / "outlast.db"
    assert start(server, "before")[0] == 201
    db.unlink()
    server.kill()

    server.start()
    assert server.wait() != 0

    assert not db.exists()
    assert "it once existed" in (tmp_path / "server.log").read_text()


@pytest.mark.crash
async def test_what_a_server_acknowledged_before_its_log_was_deleted_is_there(
    tmp_path: Path, server: Server
) -> None:
    for n in range(20):
        assert start(server, f"before-{n}")[0] == 201
    _delete_log(tmp_path / "outlast.db")
    assert start(server, "after")[0] == 503
    os.kill(server.pid, signal.SIGKILL)
    server.wait()

    async with Engine.open(tmp_path / "outlast.db") as engine:
        found = {info.id async for info in engine.runs()}
    assert found >= {f"before-{n}" for n in range(20)}


@pytest.mark.crash
@pytest.mark.parametrize("suffixes", [("-wal",), ("-wal", ".mark")])
async def test_after_an_older_log_was_put_under_a_server_the_next_start_has_everything(
    tmp_path: Path, server: Server, suffixes: tuple[str, ...]
) -> None:
    db = tmp_path / "outlast.db"
    for n in range(5):
        assert start(server, f"early-{n}")[0] == 201
    for suffix in suffixes:
        shutil.copy(f"{db}{suffix}", tmp_path / f"older{suffix}")
    for n in range(30):
        assert start(server, f"before-{n}")[0] == 201
    for suffix in suffixes:
        (tmp_path / f"older{suffix}").rename(f"{db}{suffix}")
    status, text = start(server, "after")
    assert (status, "was copied into the database file; start again" in text) == (503, True), text
    os.kill(server.pid, signal.SIGKILL)
    server.wait()

    async with Engine.open(db) as engine:
        found = {info.id async for info in engine.runs()}

    expected = {f"early-{n}" for n in range(5)} | {f"before-{n}" for n in range(30)}
    assert found >= expected
    assert (tmp_path / "outlast.db-wal.stale-1").exists()
