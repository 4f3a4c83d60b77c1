"""A root directory that has next to nothing, and programs that run in it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from outlast.building.libraries import libraries_of
from tests.e2e.commands import Done

TOKEN = "a-token-of-the-tests"
_READY_SECONDS = 30.0
_LISTENS = re.compile(r"serving .* at http://[\d.]+:(\d+)")
# What the C library consists of; which of them a program names depends on its age.
_C_LIBRARY = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "libutil.so.1",
    "librt.so.1",
)


class Root:
    """An empty root with one executable, and what the dynamic loader needs for it."""

    def __init__(self, place: Path, *, user: int = 0, directory: str = "/") -> None:
        self.place = place
        self.user = user
        self.directory = directory
        self.executable = ""

    def install(self, executable: Path) -> None:
        """Put an executable file into the root, and its libraries."""
        (self.place / "tmp").mkdir(mode=0o1777)
        shutil.copy(executable, self.place / executable.name)
        self.executable = f"/{executable.name}"
        alone = self.place / "tmp" / "alone"
        alone.mkdir()
        shutil.copy(executable, alone)
        needed = libraries_of(alone)
        shutil.rmtree(alone)
        folder = next(path.parent for path in needed if path.name == "libc.so.6")
        for library in {*needed, *(folder / name for name in _C_LIBRARY)}:
            if library.exists():
                copy = self.place / str(library)[1:]
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(library.resolve(), copy)
                copy.chmod(0o755)

    def __call__(self, *args: str) -> Done:
        process = self.start(*args)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err, err
        return Done(process.returncode, out, err)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.executable, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"OUTLAST_TOKEN": TOKEN, "OUTLAST_DB": "outlast.db"},
            preexec_fn=self._enter,
        )

    def _enter(self) -> None:
        os.chroot(self.place)
        os.chdir(self.directory)
        if self.user:
            os.setgroups([])
            os.setgid(self.user)
            os.setuid(self.user)

    @contextmanager
    def serving(self, *args: str) -> Generator[Server]:
        """A server for as long as the block lasts."""
        process = self.start(*args)
        try:
            yield Server(process)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=60)


class Server:
    """A server that has said where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = 0
        said: list[str] = []
        # Reading has no timeout; a server that says nothing is ended, and so is what it says.
        guard = threading.Timer(_READY_SECONDS, process.kill)
        guard.start()
        for line in process.stderr or ():
            said.append(line)
            found = _LISTENS.search(line)
            if found is not None:
                guard.cancel()
                self.port = int(found[1])
                return
        raise AssertionError("".join(said))

    def ask(
        self, method: str, path: str, body: object = None, statuses: Sequence[int] = (200,)
    ) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status in statuses, (answer.status, text)
        return text
