"""A server killed in the middle of an agent's answer: what each page holds at the end is exact."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from tests.crash.page_clients import CLIENTS, PageClient
from tests.crash.page_program import WORDS
from tests.crash.serving import Server

PROGRAM = Path(__file__).with_name("page_program.py")
TEXT = "I will look. " + "".join(WORDS)
KILLS = 6 if os.environ.get("OUTLAST_TEST_FULL") == "1" else 1


async def follow(server: Server, protocol: str, client: PageClient) -> None:
    """Follow the run over all interruptions, as a page does."""
    path = f"/v1/runs/answer/streams/agent_events?protocol={protocol}"
    while not client.is_done:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                head = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\n"
                head += f"Authorization: Bearer {server.token}\r\n"
                if client.resumes_with:
                    head += f"Last-Event-ID: {client.resumes_with}\r\n"
                writer.write(f"{head}\r\n".encode())
                status = await reader.readuntil(b"\r\n\r\n")
                assert status.startswith(b"HTTP/1.1 200"), status
                while data := await reader.read(200):  # small: events are cut anywhere
                    client.take(data)
            except asyncio.IncompleteReadError:
                pass
            finally:
                client.cut_off()
                writer.close()
        await asyncio.sleep(0.02)  # a page waits before it comes again, too


def lines_of(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.crash
async def test_pages_of_every_protocol_hold_the_final_text_after_each_kill(tmp_path: Path) -> None:
    server = Server(tmp_path, PROGRAM)
    server.start()
    clients = [(protocol, made()) for protocol, made in CLIENTS.items() for _ in range(2)]
    try:
        async with server.client() as client:
            await server.ready()
            run = await client.start("answer", {}, id="answer")
            pages = [
                asyncio.create_task(follow(server, protocol, page)) for protocol, page in clients
            ]
            for kill in range(1, KILLS + 1):
                said = tmp_path / "said"
                while lines_of(said) < 20 * kill:  # noqa: ASYNC110 - a file tells nobody
                    await asyncio.sleep(0.01)
                server.kill()
                server.start()
            await asyncio.wait_for(asyncio.gather(*pages), 60)
            assert await run.result(timeout="60s") == "".join(WORDS)
    finally:
        server.kill()
    assert lines_of(tmp_path / "said") > len(WORDS)
    for protocol, page in clients:
        assert (protocol, page.text, page.error) == (protocol, TEXT, "")
