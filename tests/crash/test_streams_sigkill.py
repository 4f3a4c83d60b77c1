"""A server killed again and again while many clients read: what each has at the end is exact."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import pytest

from outlast.client import Client, RemoteRun
from tests.crash.stream_program import lines, parts

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
CLIENTS = 200 if IS_FULL else 24
KILLS = 20 if IS_FULL else 6
ROUNDS, COUNT = (60, 40) if IS_FULL else (24, 40)
PROGRAM = Path(__file__).with_name("stream_program.py")
TOKEN = "a-token-for-this-test-only"


class Server:
    """`outlast serve` in a process, on the same port each time."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; clients find out themselves when it is there."""
        arguments = ["serve", str(PROGRAM), "--port", f"{self.port}", "--db", "outlast.db"]
        with (self._directory / "server.log").open("ab") as log:
            self._process = self._begun(arguments, log)

    def _begun(self, arguments: list[str], log: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "outlast", *arguments],
            cwd=self._directory,
            env={**os.environ, "OUTLAST_TOKEN": TOKEN},
            stdout=log,
            stderr=log,
        )

    def kill(self) -> None:
        """Kill it as the power does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", token=TOKEN)


async def read(run: RemoteRun[object], name: str, expected_end: list[str]) -> list[object]:
    """Read a stream to its end over all reconnections; return what is left of it."""
    kept: list[tuple[str, object]] = []
    offsets: list[int] = []
    async for event in run.stream(name):
        if event.kind == "data":
            kept.append((event.writer, event.value))
            offsets.append(event.offset)
        elif event.kind == "retract":
            kept = [pair for pair in kept if pair[0] != event.writer]
        else:
            expected_end.append(event.kind)
    assert offsets == sorted(set(offsets)), "an offset came twice, or out of order"
    return [value for _, value in kept]


@pytest.mark.crash
async def test_clients_read_on_exactly_while_the_server_is_killed(tmp_path: Path) -> None:
    chance = random.Random(11)
    server = Server(tmp_path)
    server.start()
    ends: list[str] = []
    try:
        async with server.client() as client:
            run = await _started(client)
            readers = [
                asyncio.create_task(read(run, (lines.name, parts.name)[number % 2], ends))
                for number in range(CLIENTS)
            ]
            for _ in range(KILLS):
                await asyncio.wait(readers, timeout=0.4 + chance.random())
                server.kill()
                server.start()
            found = await asyncio.gather(*readers)
            assert await run.result(timeout="60s") == ROUNDS
    finally:
        server.kill()
    assert ends == ["end"] * CLIENTS
    spoken = [f"{number}.{part}" for number in range(ROUNDS) for part in range(COUNT)]
    for number, values in enumerate(found):
        assert values == (list(range(ROUNDS)) if number % 2 == 0 else spoken)


async def _started(client: Client) -> RemoteRun[object]:
    async with aclosing(client.events("/v1/events")) as events:
        async for _ in events:
            break  # it answers
    return await client.start("talk", {"rounds": ROUNDS, "count": COUNT}, id="talk")
