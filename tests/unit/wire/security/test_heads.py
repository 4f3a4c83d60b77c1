"""Heads of requests that another server may read otherwise are refused, by both parsers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from outlast import limits
from outlast._wire.security import connections
from tests.unit.wire.served import Served, serving


@pytest.fixture(params=[H11Protocol, HttpToolsProtocol], ids=["h11", "httptools"])
async def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    monkeypatch.setattr(connections, "AutoHTTPProtocol", request.param)
    async with serving(tmp_path) as served:
        yield served


async def answers(server: Served, *parts: bytes) -> list[int]:
    """Send parts, each when the one before is on its way; return the statuses that come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass  # it is refused before all of it is sent
    try:
        while data := await asyncio.wait_for(reader.read(65_536), 30):
            answer += data
    except ConnectionError:
        pass
    writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


def head(server: Served, *extra: bytes, path: bytes = b"/healthz") -> bytes:
    host = f"Host: 127.0.0.1:{server.port}".encode()
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", host, *extra, b"", b""))


LAST = b"Connection: close"
LOOSE = {
    "obs-fold": b"X-A: one\r\n two",
    "obs-fold with a tab": b"X-A: one\r\n\ttwo",
    "bare LF": b"X-A: one\nX-B: two",
    "bare CR": b"X-A: one\rX-B: two",
    "LF before the end": b"X-A: one\n",
}


@pytest.mark.parametrize("loose", LOOSE.values(), ids=LOOSE)
async def test_a_loose_head_is_refused(server: Served, loose: bytes) -> None:
    assert await answers(server, head(server, loose, LAST)) == [400]


@pytest.mark.parametrize("loose", LOOSE.values(), ids=LOOSE)
async def test_a_loose_head_that_comes_in_pieces_is_refused(server: Served, loose: bytes) -> None:
    data = head(server, loose, LAST)
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)]
    assert await answers(server, *pieces) in ([400], [])  # it is hung up on while it sends


@pytest.mark.parametrize("loose", LOOSE.values(), ids=LOOSE)
async def test_a_loose_head_behind_another_request_is_refused(server: Served, loose: bytes) -> None:
    data = head(server) + head(server, loose, LAST)
    for parts in ((data,), (data[:50], data[50:])):
        statuses = await answers(server, *parts)
        assert statuses in ([200, 400], [400])  # the parser in C may see it before the first answer


async def test_lines_that_end_alone_are_refused(server: Served) -> None:
    data = head(server, LAST).replace(b"\r\n", b"\n")
    assert await answers(server, data) == [400]


async def test_an_ordinary_head_in_pieces_is_answered(server: Served) -> None:
    data = head(server, b"X-A: one", LAST)
    assert await answers(server, *(data[at : at + 1] for at in range(len(data)))) == [200]
    assert await answers(server, head(server) + head(server) + head(server, LAST)) == [200] * 3


async def test_a_body_may_have_any_lines(server: Served) -> None:
    body = b'{\n"input":\r {"start": 1},\n\t"id": "r"}\n'
    data = head(
        server,
        b"Authorization: Bearer " + server.token.encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        LAST,
        path=b"/v1/workflows/tests.unit.wire.served.served_sums/runs",
    ).replace(b"GET", b"POST", 1)
    assert await answers(server, data + body) == [201]
    assert await answers(server, data, body[:9], body[9:]) == [200]


async def test_a_wish_for_another_protocol_is_nobody_s_mistake(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    wish = (b"Connection: Upgrade, close", b"Upgrade: websocket")
    assert await answers(server, head(server, *wish)) == [200]
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


@pytest.mark.parametrize("count", [limits.HTTP_HEADERS_MAX + 1, 500, 6_000])
async def test_a_head_of_too_many_lines_is_refused(server: Served, count: int) -> None:
    many = [b"a:b"] * count
    assert await answers(server, head(server, *many, LAST)) in ([431], [])  # or hung up on
    data = head(server, *many, LAST)
    pieces = [data[at : at + 1_000] for at in range(0, len(data), 1_000)]
    assert await answers(server, *pieces) in ([431], [])


async def test_a_head_of_many_lines_is_taken(server: Served) -> None:
    many = [b"a:b"] * (limits.HTTP_HEADERS_MAX - 2)
    assert await answers(server, head(server, *many, LAST)) == [200]


async def test_a_target_may_be_a_whole_address(server: Served) -> None:
    place = f"http://127.0.0.1:{server.port}".encode()
    shown = f"Authorization: Bearer {server.token}".encode()
    for path in (b"/v1/session", b"/v1/runs?limit=1", b"/v1/runs/a%2Fb"):
        plain = await answers(server, head(server, LAST, shown, path=path))
        assert await answers(server, head(server, LAST, shown, path=place + path)) == plain
    assert await answers(server, head(server, LAST, path=place + b"/")) == [200]  # the dashboard


async def test_a_target_of_another_host_than_its_header_is_refused(
    server: Served,
) -> None:
    path = b"http://evil.example/healthz"
    found = await answers(server, head(server, LAST, path=path))
    assert found in ([421], [200])  # the parser in C leaves only the path, and the header counts
