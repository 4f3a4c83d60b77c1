"""TLS handshakes that never end hold no more places than other connections, and not for long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import limits
from outlast._server.access import Access
from outlast._server.guard import Addresses
from outlast._server.serving import Serving
from outlast._server.tcp import Tls, listen
from outlast._server.tokenfile import TokenFile
from outlast.client import Client
from outlast.errors import UsageError
from tests.unit.server.certificates import self_signed
from tests.unit.wire.served import Served, serving, until

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def test_connections_that_never_shake_hands_are_counted_and_yield(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 4)
    tls = self_signed(tmp_path)
    async with serving(tmp_path, tls=tls) as server:
        connections = server.service.connections
        links: list[Link] = []
        for count in (1, 2, 3, 4, 4, 4):
            links.append(await asyncio.open_connection("127.0.0.1", server.port))
            await until(lambda: len(connections.transports) > 0)
            assert len(connections.transports) <= count
        assert await links[0][0].read() == b""  # the one that has waited longest
        url = f"https://127.0.0.1:{server.port}"
        async with Client(url, token=server.token, ca_file=tls.certificate) as client:
            assert [run async for run in client.runs()] == []
        assert len(connections.transports) <= 4
        for _, writer in links:
            writer.close()


async def test_a_handshake_has_no_more_time_than_the_head_of_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_HEAD_SECONDS", 0.05)
    async with serving(tmp_path, tls=self_signed(tmp_path)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async with asyncio.timeout(20):
            assert await reader.read() == b""
        assert server.service.connections.transports == {}
        writer.close()


async def test_what_is_no_tls_is_hung_up_on(tmp_path: Path) -> None:
    async with serving(tmp_path, tls=self_signed(tmp_path)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        async with asyncio.timeout(20):
            assert b"HTTP/1.1" not in await reader.read()
        await until(lambda: server.service.connections.transports == {})
        writer.close()


async def test_a_server_stops_while_handshakes_are_under_way(tmp_path: Path) -> None:
    async with serving(tmp_path, tls=self_signed(tmp_path)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: len(server.service.connections.transports) == 1)
        server.serving.stop()
        await until(lambda: server.stopped)

        assert await reader.read() == b""
        writer.close()


async def test_a_certificate_that_is_none_is_said_at_once(server: Served, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token")
    access, addresses = Access(file, lambda: 0.0), Addresses.of("127.0.0.1", 1)
    listener = listen("127.0.0.1", 0)
    tls = Tls(Path(__file__), Path(__file__))
    with pytest.raises(UsageError, match="cannot load the certificate"):
        Serving(server.engine, access, addresses, listener, tls=tls)
    listener.close()
