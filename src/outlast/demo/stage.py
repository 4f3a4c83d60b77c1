"""Where the demo happens: its files, and the engine process that it starts, kills and starts again.

Invariant: no process outlives the stage. The worker ends when the pipe to it closes, its own step
processes when it does.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from outlast.demo.digest import MODEL_URL
from outlast.demo.effects import CODE, EffectsFile, environment
from outlast.errors import StoreError, UsageError

STOP_SECONDS = 10.0  # a clean stop waits for steps in flight; parsing the largest file takes one


@dataclass(frozen=True, slots=True)
class Files:
    """The store of the demo, and what lies beside it."""

    db: Path

    @property
    def db_at_the_kill(self) -> Path:
        """The store as the kill left it."""
        return self._beside("at-the-kill.db")

    @property
    def effects(self) -> Path:
        """Where the steps note that they were executed."""
        return self._beside("effects.txt")

    @property
    def catalogue(self) -> Path:
        """What the job is for: a report a module."""
        return self._beside("catalogue")

    @property
    def messages(self) -> Path:
        """What the worker printed."""
        return self._beside("worker.log")

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
    taken = [p for p in (files.db, files.effects, files.db_at_the_kill) if p.exists()]
    if taken:
        raise UsageError(
            f"{taken[0]} already exists, and the demo needs a new database: choose another --db"
        )
    try:
        files.catalogue.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {files.catalogue}: {error.strerror}") from error
    return files


@dataclass(frozen=True, slots=True)
class Site:
    """Where the demo is reached, and where it reaches the language model."""

    port: int
    token: str
    code: str  # of the link to the dashboard
    model_name: str
    model_url: str

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        """What opens the dashboard, signed in."""
        return f"{self.url}/#code={self.code}"


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


class Model:
    """The language model's process."""

    def __init__(self, files: Files) -> None:
        with files.messages.open("ab") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "outlast.demo.model"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                start_new_session=True,
            )
        line = b"" if self._process.stdout is None else self._process.stdout.readline()
        name, _, url = line.decode().strip().partition(" ")
        self.name: str = name
        self.url: str = url
        if not self.url:
            raise StoreError("the language model's process failed to start")

    def stop(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Worker:
    """The demo's engine process."""

    def __init__(self, files: Files, limit: int | None, *, life: int, site: Site) -> None:
        self._files = files
        arguments = [str(files.db), str(files.catalogue), f"{site.port}"]
        if limit is not None:
            arguments.append(str(limit))
        with files.messages.open("ab") as messages:
            self.started_at: float = time.time()  # records have the time of day, too
            self._process = subprocess.Popen(
                [sys.executable, "-m", "outlast.demo.worker", *arguments],
                stdin=subprocess.PIPE,
                stdout=messages,
                stderr=messages,
                env={
                    **os.environ,
                    **environment(files.effects, life),
                    MODEL_URL: site.model_url,
                    "OUTLAST_TOKEN": site.token,
                    CODE: site.code,
                },
                start_new_session=True,  # Ctrl-C is for the demo, which stops it in order
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended, None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End the process without a word of warning."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        """End the process; what it does not finish stays in its store."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_words(self) -> str:
        """Return the end of what it printed."""
        lines = self._files.messages.read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


def copy_as_killed(files: Files) -> None:
    """Keep the dead store as it is, to compare with later: its file and its write-ahead log."""
    for suffix in ("", "-wal"):
        source = files.db.with_name(files.db.name + suffix)
        if source.exists():
            shutil.copyfile(source, f"{files.db_at_the_kill}{suffix}")


def wait_for_workers_end(effects: EffectsFile, seconds: float = 5.0) -> None:
    """Wait until the step processes of a killed worker have noticed, as they soon do."""
    effects.read_on()
    ends = time.monotonic() + seconds
    for pid in {execution.pid for execution in effects.executions}:
        while _is_alive(pid) and time.monotonic() < ends:
            time.sleep(0.005)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        # A dead process whose parent does not look after it keeps its number.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self").exists()
