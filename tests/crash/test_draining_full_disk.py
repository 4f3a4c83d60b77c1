"""A server whose disk is full ends by its grace when it is asked to, and says what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.crash.serving import free_port

PROGRAM = """
import resource
from outlast import step, wf, workflow

@step
async def chunk(n: int) -> bytes:
    return bytes([n % 256]) * 20_000

@step
async def limit(size: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

@workflow
async def fills() -> int:
    await limit(1_500_000)
    return sum([len(await chunk(n)) for n in range(400)])
"""
TOKEN = "a-token-for-this-test-only"


def ask(url: str, body: object = None) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except urllib.error.URLError:
        return 0, {}


def until(url: str, status: int) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found, body = ask(url)
        if found == status:
            return body
        time.sleep(0.05)
    raise TimeoutError(url)


@pytest.mark.crash
def test_a_full_disk_is_not_ready_and_does_not_hold_up_the_end(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "outlast", "serve", "program.py", "--port", f"{port}", "--db",
         "outlast.db", "--grace", "2s"],
        cwd=tmp_path,
        env={**os.environ, "OUTLAST_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
        stderr=log,
    )  # fmt: skip
    try:
        until(f"{url}/readyz", 200)
        assert ask(f"{url}/v1/workflows/program.fills/runs", {"id": "f", "input": {}})[0] == 201
        assert until(f"{url}/readyz", 503)["state"] == "store-full"

        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=60)

        assert time.monotonic() - began < 30  # and not for ever
        assert code not in (0, -signal.SIGTERM)
        said = (tmp_path / "server.log").read_text()
        assert "transactions of 1 run" in said
        assert "Traceback" not in said
    finally:
        server.kill()
        server.wait()
        log.close()
