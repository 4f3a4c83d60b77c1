"""A database whose files go while a server has it open: nothing more is acknowledged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlast import Engine
from tests.crash.serving import Server

PROGRAM = """
from outlast import Signal, workflow
go = Signal("go", int)

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


@pytest.mark.crash
@pytest.mark.parametrize("damage", [_delete, _delete_log, _move_away, _replace])
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
