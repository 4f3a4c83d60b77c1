"""The API within another application: by which names it may be called."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from pathlib import Path

import pytest

import outlast
from outlast import Engine
from outlast.mounting import AsgiApp


async def get(app: AsgiApp, host: str, server: object) -> tuple[int, bytes]:
    """Make a request that came to this address, as an ASGI server hands it over."""
    sent: list[MutableMapping[str, object]] = []

    async def receive() -> MutableMapping[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(message)

    scope: dict[str, object] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", host.encode())],
        "client": ("127.0.0.1", 50000),
        "server": server,
    }
    await app(scope, receive, send)
    status, body = sent[0]["status"], sent[-1]["body"]
    assert isinstance(status, int)
    assert isinstance(body, bytes)
    return status, body


@pytest.mark.parametrize(
    ("host", "server", "status"),
    [
        ("localhost:8000", ("127.0.0.1", 8000), 200),
        ("127.0.0.1:9000", ("127.0.0.1", 8000), 200),  # through a tunnel
        ("[::1]:8000", ("::1", 8000), 200),
        ("evil.example:8000", ("127.0.0.1", 8000), 421),
        ("evil.example", ["127.0.0.5", 80], 421),
        ("evil.example:8000", ("::1", 8000), 421),
        ("evil.example:8000", ("::ffff:127.0.0.1", 8000), 421),
        ("127.0.0.1.evil.example:8000", ("127.0.0.1", 8000), 421),
        ("shop.example", ("10.0.0.7", 8000), 200),  # the application's to judge
        ("shop.example", ("/run/shop.sock", None), 200),
        ("shop.example", None, 200),
    ],
)
async def test_at_a_loopback_address_only_names_of_this_machine_are_known(
    tmp_path: Path, host: str, server: object, status: int
) -> None:
    async with Engine.open(tmp_path / "mounted.db") as engine:
        found, body = await get(outlast.asgi(engine), host, server)

    assert found == status
    if status == 421:
        assert "outlast.asgi(engine, allow_hosts=[NAME])" in json.loads(body)["detail"]


@pytest.mark.parametrize("server", [("127.0.0.1", 8000), ("10.0.0.7", 8000), None])
async def test_behind_a_proxy_the_names_that_were_said_are_known(
    tmp_path: Path, server: object
) -> None:
    async with Engine.open(tmp_path / "mounted.db") as engine:
        app = outlast.asgi(engine, allow_hosts=["shop.example"])

        assert (await get(app, "shop.example", server))[0] == 200
        assert (await get(app, "evil.example", server))[0] == 421
