"""A server beside the engine that owns a database: whom it lets in, and what it passes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from outlast import Engine, Signal, Stream, limits, wf, workflow
from outlast._server.access import Access
from outlast._server.guard import Addresses, Guard
from outlast._server.relay import Relay
from outlast._server.static import Static
from outlast._server.tcp import TcpServer, listen
from outlast._server.tokenfile import TokenFile
from outlast._wire.routes import ROUTES
from outlast._wire.security.connections import Connections
from outlast._wire.unixsocket import address_of, socket_path
from outlast._world import RealWorld
from tests.unit.wire.served import Reply, reply_of

go = Signal("relay-go", int)
said = Stream("relay-said", str)


@workflow
async def relayed_waits() -> int:
    await said.write("first")
    number = await go.receive()
    await said.write("second")
    return number


@workflow
async def relayed_asks() -> str:
    return (await wf.approve("May I?")).by or ""


async def asked(engine: Engine) -> str:
    """Return the first token that is asked for, once it is."""
    for _ in range(3_000):
        async for token in engine.tokens():
            return token.id
        await asyncio.sleep(0.01)
    raise TimeoutError


class Beside:
    """A relay, and the engine beside which it is."""

    def __init__(self, engine: Engine, tokens: TokenFile, port: int) -> None:
        self.engine = engine
        self.tokens = tokens
        self.token = tokens.admin()
        self.port = port

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        data = b"" if body is None else json.dumps(body).encode()
        head = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {self.token if token is None else token}",
            "Connection": "close",
            **({"Content-Type": "application/json"} if data else {}),
            **({"Content-Length": f"{len(data)}"} if data or method == "POST" else {}),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        return reply_of(answer)


@pytest.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    tokens = TokenFile(tmp_path / "token")
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    async with Engine.open(tmp_path / "outlast.db") as engine:
        world = RealWorld()
        tokens.admin()
        relay = Relay(tmp_path / "outlast.db", world, Access(tokens, time.monotonic), Static())
        app = Guard(relay, Addresses.of("127.0.0.1", port))
        tcp = TcpServer(app, Connections(world, by_address=True), listener, None)
        tcp.begin(handles_signals=False)
        yield Beside(engine, tokens, port)
        await tcp.end()


async def test_what_is_asked_is_answered_by_the_owner(beside: Beside) -> None:
    made = await beside.request(
        "POST",
        "/v1/workflows/tests.unit.server.test_relay.relayed_waits/runs",
        {"id": "a/b ü"},
    )
    assert (made.status, made.json()["id"]) == (201, "a/b ü")
    shown = await beside.request("GET", "/v1/runs/a%2Fb%20%C3%BC")
    assert shown.json()["workflow"].endswith("relayed_waits")
    sent = await beside.request("POST", "/v1/runs/a%2Fb%20%C3%BC/signals/relay-go", {"value": 4})
    assert sent.status == 202
    result = await beside.request("GET", "/v1/runs/a%2Fb%20%C3%BC/result?timeout=30")
    assert result.json()["result"] == 4
    wrong = await beside.request("GET", "/v1/runs?limit=0")
    assert wrong.status == 422
    assert (await beside.request("HEAD", "/v1/runs")).status == 200


async def test_roles_and_names_are_those_of_the_token(beside: Beside) -> None:
    viewer = beside.tokens.add("vic", "viewer")
    operator = beside.tokens.add("olga", "operator")
    await beside.engine.start(relayed_asks(), id="q")
    assert (await beside.request("GET", "/v1/session", token=viewer)).json()["role"] == "viewer"
    refused = await beside.request("POST", "/v1/runs/q/cancel", {}, token=viewer)
    assert (refused.status, refused.json()["type"]) == (403, "/problems/role-missing")
    assert (await beside.request("GET", "/v1/runs", token="wrong" * 9)).status == 401
    token = await asked(beside.engine)
    path = f"/v1/tokens/{token}"
    signed = await beside.request("POST", path, {"value": True, "by": "boss"}, token=operator)
    assert signed.status >= 400  # over TCP a token signs with its own name
    answered = await beside.request("POST", path, {"value": True, "verdict": True}, token=operator)
    assert answered.status == 200
    assert await beside.engine.get("q", relayed_asks).result(timeout="30s") == "olga"


async def test_what_guards_a_server_guards_this_one(beside: Beside) -> None:
    async def status(path: str = "/v1/runs", **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await beside.request("GET", path, headers=named)).status

    assert await status(Host="evil.example") == 421
    assert await status(Origin="https://evil.example") == 403
    assert await status("/v1/share/changes") == 404
    start = "/v1/workflows/tests.unit.server.test_relay.relayed_waits/runs"
    plain = {"Content-Type": ""}
    assert (await beside.request("POST", start, {"id": "x"}, headers=plain)).status == 415
    assert (await beside.request("POST", "/v1/share/commit", {})).status == 404
    large = await beside.request("POST", start, headers={"Content-Length": "9999999"})
    assert large.status == 413
    assert (await beside.request("GET", "/")).headers["content-type"].startswith("text/html")


async def test_health_needs_no_token_here_either(beside: Beside) -> None:
    healthy = await beside.request("GET", "/healthz", headers={"Authorization": ""})
    assert healthy.status == 200
    assert (await beside.request("GET", "/readyz")).status == 200


WHOLE = [
    route.path
    for route in ROUTES
    if route.method == "GET" and "{" not in route.path and not route.is_local
    if route.path not in ("/v1/events", "/v1/logs", "/v1/diff")
]


@pytest.mark.parametrize("path", [*WHOLE, "/v1/runs/none", "/v1/runs?limit=0", "/none"])
@pytest.mark.parametrize("is_known", [True, False])
async def test_an_answer_comes_whole(beside: Beside, path: str, is_known: bool) -> None:
    shown = {} if is_known else {"Authorization": ""}
    found = await beside.request("GET", path, headers=shown)
    assert found.status in (200, 404, 422) if is_known else found.status in (200, 401, 404)
    assert found.body
    assert len(found.body) == int(found.headers["content-length"])


async def silence(database: Path) -> tuple[asyncio.Server, list[asyncio.StreamWriter]]:
    """Put a server in the place of an owner's socket that takes what comes and says nothing."""
    writers: list[asyncio.StreamWriter] = []

    def took(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    place = socket_path(f"{database}")
    place.unlink(missing_ok=True)
    with address_of(place) as address:
        return await asyncio.start_unix_server(took, address), writers


@pytest.mark.parametrize("path", ["/v1/runs", "/readyz", "/v1/runs/r/result?timeout=300"])
async def test_an_owner_that_is_stopped_is_said_to_be_away(
    beside: Beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(limits, "SOCKET_SILENCE_SECONDS", 0.2)
    silent, writers = await silence(tmp_path / "outlast.db")
    try:
        away = await beside.request("GET", path)
    finally:
        silent.close()
        for writer in writers:
            writer.close()
    assert (away.status, away.json()["type"]) == (503, "/problems/store-unavailable")
    assert "the event loop has not responded for 0.2 seconds" in away.json()["detail"]


async def test_an_answer_that_has_begun_ends_when_the_owner_is_stopped(
    beside: Beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOCKET_SILENCE_SECONDS", 0.2)
    await beside.engine.start(relayed_waits(), id="s")
    reader, writer = await asyncio.open_connection("127.0.0.1", beside.port)
    writer.write(
        f"GET /v1/runs/s/streams/relay-said HTTP/1.1\r\nHost: 127.0.0.1:{beside.port}\r\n"
        f"Connection: close\r\nAuthorization: Bearer {beside.token}\r\n\r\n".encode()
    )
    await asyncio.wait_for(reader.readuntil(b"first"), 30)
    silent, writers = await silence(tmp_path / "outlast.db")
    try:
        await asyncio.wait_for(reader.read(), 30)
    finally:
        silent.close()
        for each in (writer, *writers):
            each.close()


async def test_an_owner_that_takes_its_time_is_waited_for(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOCKET_SILENCE_SECONDS", 0.2)
    await beside.engine.start(relayed_waits(), id="s")
    result = await beside.request("GET", "/v1/runs/s/result?timeout=1")
    assert result.status == 202


async def test_nobody_asks_for_others_over_tcp(beside: Beside) -> None:
    claimed = {"Authorization": "Relay admin boss"}
    assert (await beside.request("GET", "/v1/runs", headers=claimed)).status == 401


async def test_a_stream_comes_live_and_ends_with_its_token(beside: Beside) -> None:
    await beside.engine.start(relayed_waits(), id="s")
    reader, writer = await asyncio.open_connection("127.0.0.1", beside.port)
    token = beside.tokens.add("eve", "viewer")
    writer.write(
        f"GET /v1/runs/s/streams/relay-said HTTP/1.1\r\nHost: 127.0.0.1:{beside.port}\r\n"
        f"Connection: close\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    assert b"first" in await asyncio.wait_for(reader.readuntil(b"first"), 30)
    beside.tokens.remove("eve")
    await beside.engine.get("s", relayed_waits).signal(go, 1)
    assert b"second" not in await asyncio.wait_for(reader.read(), 30)
    writer.close()


async def test_an_owner_that_is_away_is_said(beside: Beside) -> None:
    await beside.engine.__aexit__(None, None, None)
    away = await beside.request("GET", "/v1/runs")
    assert (away.status, away.json()["type"]) == (503, "/problems/store-unavailable")
    assert "owns" in away.json()["detail"]


async def test_what_a_relay_refuses_is_written_down(beside: Beside) -> None:
    viewer = beside.tokens.add("vic", "viewer")
    refused = await beside.request("POST", "/v1/runs/r/pause", {}, token=viewer)
    assert refused.status == 403

    [row] = [info async for info in beside.engine.audit()]
    assert (row.caller, row.verb, row.run, row.outcome) == ("vic", "pause", "r", "role-missing")


async def test_who_hangs_up_early_is_no_fault(
    beside: Beside, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        f"GET /v1/runs HTTP/1.1\r\nHost: 127.0.0.1:{beside.port}\r\n"
        f"Authorization: Bearer {beside.token}\r\n\r\n"
    ).encode()
    for _ in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", beside.port)
        writer.write(head)
        await writer.drain()
        writer.transport.abort()

    assert (await beside.request("GET", "/v1/runs")).status == 200
    said = [r.message for r in caplog.records if r.levelname == "ERROR"]
    assert said == []
