"""Where the demo happens: its files, and the processes that it starts, kills and starts again.

Invariant: no process outlives the demo. Each ends when the pipe to it closes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outlast._server.tokenfile import digest_of, new_token
from outlast.errors import OutlastError, StoreError, UsageError

REAL = "SmolLM2-135M"  # the names of the models
SCRIPTED = "scripted"

# Variables of the server's process.
CODE = "OUTLAST_DEMO_CODE"  # of the link to the dashboard
MODEL_NAME = "OUTLAST_DEMO_MODEL_NAME"
MODEL_URL = "OUTLAST_DEMO_MODEL_URL"

READER = "demo"  # the name of the API token of the demo's own client
_STOP_SECONDS = 10.0  # a clean stop waits for steps in flight
_START_SECONDS = 60.0
_WORDS_LINES = 15


class DemoFailed(OutlastError):
    """The demo could not be played to its end."""


@dataclass(frozen=True, slots=True)
class Files:
    """The store of the demo, and what lies beside it."""

    db: Path

    @property
    def bill(self) -> Path:
        """What the model's process has generated."""
        return self._beside("bill.jsonl")

    @property
    def folder(self) -> Path:
        """What the job is for: a page a module."""
        return self._beside("manual")

    @property
    def tokens(self) -> Path:
        """The API tokens of the server."""
        return self._beside("token")

    @property
    def messages(self) -> Path:
        """What the processes printed."""
        return self._beside("messages.log")

    def last_words(self) -> str:
        """Return the end of what the processes printed."""
        lines = self.messages.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_WORDS_LINES:])

    def _beside(self, name: str) -> Path:
        return self.db.with_name(f"{self.db.stem}-{name}")


def prepare_files(db: Path | None) -> Files:
    """Make room for a demo.

    Raises:
        UsageError: there is something already: the demo counts what is in a store of its own.
        StoreError: the directory cannot be made.
    """
    if db is None:
        db = Path(tempfile.mkdtemp(prefix="outlast-demo-")) / "demo.db"
    files = Files(db.absolute())
    taken = [p for p in (files.db, files.bill, files.folder, files.tokens) if p.exists()]
    if taken:
        raise UsageError(
            f"{taken[0]} already exists, and the demo needs a new database: choose another --db"
        )
    try:
        files.folder.mkdir(parents=True)
    except OSError as error:
        raise StoreError(f"cannot make {files.folder}: {error.strerror}") from error
    return files


def write_tokens(files: Files) -> str:
    """Write the server's token file, and return the API token that the demo itself uses."""
    admin, own = new_token(), new_token()
    descriptor = os.open(files.tokens, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{admin}\n{READER} operator sha256:{digest_of(own).hex()}\n")
    return own


def free_port(wanted: int) -> int:
    """Return a free port: the wanted one if it is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise StoreError("no free port on this machine")


class Child:
    """A process of the demo, which has said that it is ready."""

    def __init__(self, process: Process, line: str) -> None:
        self._process = process
        self.line: str = line  # what it said

    @classmethod
    async def start(
        cls, module: str, arguments: Sequence[str], files: Files, env: Mapping[str, str]
    ) -> Child:
        """Start a module as a process, and wait until it is ready.

        Raises:
            DemoFailed: it ended instead.
        """
        with files.messages.open("ab") as messages:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=messages,
                env={**os.environ, **env},
                start_new_session=True,  # Ctrl-C is for the demo, which stops it in order
            )
        child = cls(process, "")
        try:
            async with asyncio.timeout(_START_SECONDS):
                said = b"" if process.stdout is None else await process.stdout.readline()
        except BaseException:
            await child.kill()
            raise
        if not said:
            await child.kill()
            raise DemoFailed(f"{module} did not start; it said:\n{files.last_words()}")
        child.line = said.decode().strip()
        return child

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    async def ended(self) -> int:
        """Wait until the process has ended, and return its exit code."""
        return await self._process.wait()

    async def kill(self) -> None:
        """End the process without a word of warning."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._close()

    async def stop(self) -> None:
        """End the process; what it does not finish stays in its store."""
        self._close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
