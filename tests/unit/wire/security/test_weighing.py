"""Bodies that cost more to read than what is in them is worth, with both parsers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from outlast._wire.security import connections
from tests.unit.wire.served import Served, serving

PATH = "/v1/workflows/tests.unit.wire.served.served_wait/runs"
END = b"0\r\n\r\n"
Receive: TypeAlias = Callable[..., None]


@pytest.fixture(params=[H11Protocol, HttpToolsProtocol], ids=["h11", "httptools"])
async def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    monkeypatch.setattr(connections, "AutoHTTPProtocol", request.param)
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many bytes the parsers are given at a time."""
    sizes: list[int] = []
    for parser in (H11Protocol, HttpToolsProtocol):
        monkeypatch.setattr(parser, "data_received", noting(parser.data_received, sizes))
    return sizes


def noting(receive: Receive, sizes: list[int]) -> Receive:
    def noted(self: asyncio.Protocol, data: bytes) -> None:
        sizes.append(len(data))
        receive(self, data)

    return noted


def head(server: Served, *, token: str = "", method: str = "POST", path: str = PATH) -> bytes:
    shown = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{shown}"
        f"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


async def answers(server: Served, pieces: Iterable[bytes], *, count: int = 0) -> list[int]:
    """Send pieces; return the statuses that come until it is hung up, or so many."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    found = b""

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        while not count or len(statuses(found)) < count:
            data = await asyncio.wait_for(reader.read(65_536), 30)
            if not data:
                break
            found += data
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        writer.close()
    return statuses(found)


def statuses(found: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", found)]


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_body_of_tiny_chunks_is_refused_after_the_first_few(
    server: Served, fed: list[int], is_known: bool
) -> None:
    token = server.token if is_known else ""

    found = await answers(server, [head(server, token=token) + b"1\r\n \r\n" * 20_000])

    assert found == [400] if is_known else found in ([400], [401])
    assert sum(fed) < 4_096


async def test_tiny_chunks_after_large_ones_are_refused(server: Served) -> None:
    large = chunked(b" " * 20_000, 8_192)
    data = head(server, token=server.token) + large + b"1\r\n \r\n" * 20_000
    assert await answers(server, [data]) == [400]


async def test_tiny_chunks_behind_a_request_in_work_are_not_read_at_once(
    server: Served, fed: list[int]
) -> None:
    first = head(server, token=server.token) + chunked(b'{"id": "first"}', 15) + END
    data = first + head(server, token=server.token) + b"1\r\n \r\n" * 20_000

    found = await answers(server, [data])

    assert found in ([201, 400], [201], [])  # what is ahead of others is only hung up on
    assert sum(fed) < 4_096


async def test_a_body_in_chunks_of_an_ordinary_size_is_read(server: Served) -> None:
    body = json.dumps({"id": "large", "attributes": {}}).encode() + b" " * 1_000_000
    for size in (256, 8_192, 100_000):
        data = head(server, token=server.token) + chunked(body, size) + END
        assert (await answers(server, [data], count=1))[0] in (200, 201)


async def test_a_short_body_may_come_in_chunks_however_small(server: Served) -> None:
    body = json.dumps({"id": "short", "attributes": {}}).encode()
    data = head(server, token=server.token) + chunked(body, 1) + END
    assert await answers(server, [data], count=1) == [201]
    assert await answers(server, [data[at : at + 7] for at in range(0, len(data), 7)], count=1) == [
        200
    ]


async def test_requests_behind_each_other_with_bodies_in_chunks_are_answered(
    server: Served,
) -> None:
    bodies = [json.dumps({"id": f"run {n}"}).encode() + b" " * 3_000 for n in range(5)]
    data = b"".join(
        head(server, token=server.token) + chunked(body, 1_000) + END for body in bodies
    )
    assert await answers(server, [data], count=5) == [201] * 5


async def test_what_comes_after_an_answer_is_not_read_for_ever(
    server: Served, fed: list[int]
) -> None:
    pieces = [head(server), *[chunked(b" " * 8_192, 8_192)] * 400]
    assert await answers(server, pieces) == [401]
    assert sum(fed) < 1_000_000  # what had come before it was answered


async def test_a_short_body_that_comes_after_its_answer_leaves_the_connection(
    server: Served,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    refused = head(server)
    for _ in range(3):
        writer.write(refused)
        assert b" 401 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        found = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = re.search(rb"content-length: (\d+)", found)
        assert length is not None
        await reader.readexactly(int(length[1]))
        writer.write(chunked(b" " * 700, 350) + END)
    writer.close()
