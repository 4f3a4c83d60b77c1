"""An engine in other people's processes, as the how-tos show it."""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import http.client
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from outlast._store.sqlite.files.lock import living_holder
from outlast.client import SyncClient
from tests.e2e.commands import end, until
from tests.e2e.pages import programs_of


class Shop:
    """The FastAPI application of the page, with two workers."""

    def __init__(self, place: Path) -> None:
        (place / "shop.py").write_text(programs_of("embed-in-a-web-application")[0])
        self.place = place
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "shop:app", "--workers", "2"]
        command += ["--port", f"{self.port}", "--timeout-graceful-shutdown", "5"]
        self.process = subprocess.Popen(command, cwd=place, stderr=subprocess.DEVNULL, text=True)
        until(lambda: self.is_up(), seconds=60)

    def is_up(self) -> bool:
        try:
            return self.call("GET", "/orders/none")[0] == 200
        except OSError:
            return False

    def call(
        self, method: str, path: str, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Make a request on a connection of its own: any of the workers takes it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def place_order(self, order: str) -> tuple[int, bytes]:
        return self.call("POST", f"/orders/{order}")

    def is_completed(self, order: str) -> bool:
        return self.get(f"/orders/{order}")["status"] == "completed"

    def get(self, path: str) -> dict[str, object]:
        status, body = self.call("GET", path)
        assert status == 200, body
        found: dict[str, object] = json.loads(body)
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    end(shop.process, signal.SIGTERM)


def test_two_workers_share_a_file_and_outlive_its_owner(shop: Shop) -> None:
    orders = [f"{n}" for n in range(24)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(shop.place_order, orders))
        assert {status for status, _ in placed} == {200}
        owner = living_holder(shop.place / "shop.db")
        assert owner is not None
        os.kill(owner, signal.SIGKILL)

        def pay(order: str) -> int:
            try:
                return shop.call("POST", f"/orders/{order}/paid/{order}")[0]
            except (OSError, http.client.HTTPException):
                return 0  # the worker died under the request: a client sends it again

        left = orders
        ends = time.monotonic() + 60
        while left and time.monotonic() < ends:
            statuses = pool.map(pay, left)
            left = [n for n, status in zip(left, statuses, strict=True) if status != 200]
    assert not left
    for order in orders:
        until(partial(shop.is_completed, order))
    assert living_holder(shop.place / "shop.db") not in (None, owner)


def test_the_mounted_api_answers_in_every_worker(shop: Shop) -> None:
    token = (shop.place / "token").read_text().split()[0]
    shop.call("POST", "/orders/7")
    for _ in range(12):
        allowed = {"Authorization": f"Bearer {token}"}
        status, body = shop.call("GET", "/outlast/v1/runs?limit=5", allowed)
        assert (status, json.loads(body)["runs"][0]["id"]) == (200, "order-7")
        assert shop.call("GET", "/outlast/v1/runs")[0] == 401
        status, page = shop.call("GET", "/outlast/")
        assert (status, b"<!doctype html>" in page.lower()) == (200, True)
    # Bound to loopback: a page of another site that has pointed its name here gets nothing.
    assert shop.call("GET", "/outlast/", {"Host": "evil.example"})[0] == 421
    assert json.loads(shop.call("GET", "/openapi.json")[1])["info"]["title"] == "FastAPI"


def test_clients_and_commands_reach_the_mounted_api(shop: Shop) -> None:
    token = (shop.place / "token").read_text().split()[0]
    shop.call("POST", "/orders/7")
    url = f"http://127.0.0.1:{shop.port}/outlast"
    with SyncClient(url, token=token) as client:
        assert client.get("order-7").info().workflow == "shop.checkout"
    command = [sys.executable, "-m", "outlast", "ls", "--json", "--url", url]
    env = {**os.environ, "OUTLAST_TOKEN": token}
    listed = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert [run["id"] for run in json.loads(listed.stdout)] == ["order-7"]


def test_serve_beside_the_application_serves_its_engine(shop: Shop) -> None:
    command = [sys.executable, "-m", "outlast", "serve", "--db", "shop.db", "--port", "0"]
    serving = subprocess.Popen(command, cwd=shop.place, stderr=subprocess.PIPE, text=True)
    connection = http.client.HTTPConnection("127.0.0.1", timeout=60)
    try:
        assert serving.stderr is not None
        line = serving.stderr.readline()
        assert "serving the engine of process" in line
        port = int(line.split("http://127.0.0.1:")[1].split()[0])
        token = (shop.place / "token").read_text().split()[0]
        connection.port = port
        start = json.dumps({"input": {"order": "9"}, "id": "order-9"})
        connection.request(
            "POST",
            "/v1/workflows/shop.checkout/runs",
            start,
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        assert connection.getresponse().status == 201
        assert shop.get("/orders/9")["status"] != "unknown"
    finally:
        connection.close()
        end(serving, signal.SIGTERM)


def test_cells_of_a_notebook_run_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    define, enter, use, leave = programs_of("use-in-a-notebook")

    async def kernel() -> list[object]:
        names: dict[str, object] = {"__name__": "__main__"}

        async def cell(text: str) -> object:
            """Run a cell as a notebook does: it may await, and its last line is its value."""
            tree = ast.parse(text)
            last = tree.body[-1]
            if isinstance(last, ast.Expr):
                tree.body[-1] = ast.copy_location(
                    ast.Assign([ast.Name("_", ast.Store())], last.value), last
                )
                ast.fix_missing_locations(tree)
            code = compile(tree, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            done: object = eval(code, names)  # noqa: S307  # what a notebook does
            if inspect.isawaitable(done):
                await done
            return names.pop("_", None)

        values: list[object] = []
        for text in (define, enter, use, use, define, use):
            values.append(await cell(text))
        changed = define.replace("n * n", "n * n * n")
        values.append(await cell(changed))
        values.append(await cell(use))
        values.append(await cell(use.replace("first", "second")))
        await cell(leave)
        return values

    values = asyncio.run(kernel())
    assert values == [None, None, 14, 14, None, 14, None, 14, 36]
