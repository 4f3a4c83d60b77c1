"""`outlast serve` in a process that tests kill and start again, on the same port each time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

from outlast.client import Client


def free_port() -> int:
    """Return a port of this machine that is free.

    It lies below those that connections get: a client that asks for one of these while no server
    listens there may be connected to itself, and keeps the port from the server that comes back.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """A server of one program."""

    token = "a-token-for-this-test-only"

    def __init__(self, directory: Path, program: Path) -> None:
        self.port: int = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; clients find out themselves when it is there."""
        place = ["--port", f"{self.port}", "--db", "outlast.db"]
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "outlast", "serve", str(self._program), *place],
                cwd=self._directory,
                env={**os.environ, "OUTLAST_TOKEN": self.token},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill it as the power does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=60)

    def client(self) -> Client:
        return Client(self.url, token=self.token)

    async def ready(self) -> None:
        """Return when it answers."""
        async with self.client() as client, aclosing(client.events("/v1/events")) as events:
            await anext(events)
