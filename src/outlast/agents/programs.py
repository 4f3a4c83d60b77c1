"""Programs that agents need beside them, such as MCP servers: how they start, and when they end.

A program ends with this process, also when that is killed with SIGKILL (on Linux), and the memory
that it may take is limited by the system. One that ends again and again is not started for a while.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import Context, ContextVar
from pathlib import Path
from typing import TextIO

from outlast._built import BUILT
from outlast.errors import OutlastError, UsageError

LINES_KEPT = 20
_LINE_BYTES_MAX = 8 * 1024
_READ_BYTES = 64 * 1024

# Runs in the child before the program takes its place. The signal is kept over exec; a parent that
# has gone before it was asked for is seen by the parent's id.
_GUARD = """
import ctypes, os, resource, signal, sys
parent, limit = int(sys.argv[1]), int(sys.argv[2])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
if limit:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
os.execvp(sys.argv[3], sys.argv[3:])
"""


class ProgramFailed(OutlastError):
    """A program that an agent needs cannot be started, or ends again and again."""


class CallCutOff(ProgramFailed):
    """A program has ended in the midst of a call, which may have had its effect."""


may_have_happened: ContextVar[bool] = ContextVar("outlast_may_have_happened", default=False)
"""Whether a call that is cut off is to raise `CallCutOff`: its tool may not be called again."""


def found(command: str, environment: Mapping[str, str]) -> str:
    """Return the path of a command.

    Raises:
        ProgramFailed: there is none.
        UsageError: it is the executable that `outlast build` made, and that runs now.
    """
    path = shutil.which(command, path=environment.get("PATH"))
    if path is None:
        raise ProgramFailed(
            f"the command {command!r} was not found on PATH: install it, or give its full path"
        )
    if BUILT is not None and Path(path).samefile(sys.executable):
        raise UsageError(
            f"{command!r} is this program itself: in an executable made by `outlast build`, "
            "sys.executable is the executable, which cannot run Python files or modules. Name a "
            'Python that is installed on this machine, such as "python3", with the packages that '
            "the server needs, or the server's installed command"
        )
    return path


def guarded(command: Sequence[str], memory_bytes: int) -> list[str]:
    """Return the command line of a program that ends with this process, and takes so much memory.

    `memory_bytes` limits its private writable memory, by RLIMIT_DATA; 0 is no limit.
    """
    if os.name != "posix":
        return [*command]
    if BUILT is None:
        guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), str(memory_bytes)]
        return [*guard, *command]
    # An executable is no interpreter; Linux has these programs in its base system.
    limits = ["prlimit", f"--data={memory_bytes}", "--"] if memory_bytes else []
    guard = ["setpriv", "--pdeathsig", "KILL", "--", *limits]
    is_there = all(shutil.which(part) for part in ("setpriv", "prlimit"))
    return [*(guard if is_there else []), *command]


def last_words(said: Sequence[str]) -> str:
    """Return what a program has written last, as the end of a message."""
    return f" It has written last: {' | '.join(said)}" if said else ""


class Starts:
    """When a program may be started: back-off after a start that follows another, and a limit."""

    def __init__(self, name: str, *, most: int, within: float) -> None:
        if most < 1 or within <= 0:
            raise UsageError(f"{name}: restarts is at least 1, and within is more than no time")
        self._name = name
        self._most = most
        self._within = within
        self._times: deque[float] = deque(maxlen=most)

    async def admit(self, said: Sequence[str]) -> None:
        """Wait until the program may be started; `said` is what it has written last.

        Raises:
            ProgramFailed: it was started too often; the message says when it may be again.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._times and now - self._times[0] >= self._within:
            self._times.popleft()
        if len(self._times) >= self._most:
            left = self._within - (now - self._times[0])
            words = last_words(said)
            raise ProgramFailed(
                f"{self._name} was started {self._most} times within {self._within:g} s and ended "
                f"each time: it is not started again for {left:.0f} s.{words}"
            )
        if self._times:
            await asyncio.sleep(min(0.1 * 2 ** (len(self._times) - 1), self._within / self._most))
        self._times.append(loop.time())

    def ended_well(self) -> None:
        """The program ran until it was not needed any more: its start does not count."""
        if self._times:
            self._times.pop()


class ErrorLines:
    """The standard error of a program: its lines go to the log, and the last ones are kept."""

    def __init__(self, name: str, log: logging.Logger, last: deque[str]) -> None:
        self._name = name
        self._log = log
        self._rest = b""
        self._last = last
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.file: TextIO = os.fdopen(writer, "w", encoding="utf-8")
        # Its lines are of no run, not even of the one that has started it.
        Context().run(asyncio.get_running_loop().add_reader, self._reader, self._read)

    def read(self) -> None:
        """Take what has been written by now."""
        Context().run(self._read)

    def close(self) -> None:
        """Take no more lines."""
        asyncio.get_running_loop().remove_reader(self._reader)
        self.read()
        os.close(self._reader)
        self.file.close()

    def _read(self) -> None:
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_BYTES_MAX:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            text = line[:_LINE_BYTES_MAX].decode(errors="replace").rstrip()
            if text:
                self._last.append(text)
                self._log.info("%s: %s", self._name, text)
