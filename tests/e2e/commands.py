"""Running the command line as a user does: in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

import outlast

SOURCE = Path(outlast.__file__).resolve().parents[1]

_NOT_OURS = ("OUTLAST_DB", "PYTHONUNBUFFERED")  # a user has neither

APP = """
from __future__ import annotations
import asyncio, os, time
from pathlib import Path
from outlast import Retry, Signal, Stream, Update, step, wf, workflow

approval = Signal("approval", bool)
words = Stream("words", str)
add_line = Update("add_line", str, int)

@step
async def mark(line: str) -> str:
    with open("effects.txt", "a") as file:
        file.write(line + "\\n")
    return line

@step(where="process")
def square(n: int) -> int:
    return n * n

@step(retry=Retry(attempts=1, then="park"))
async def needs_file(path: str) -> str:
    return Path(path).read_text()

@step
def block(seconds: float) -> None:
    mark_sync("blocking")
    time.sleep(seconds)

def mark_sync(line: str) -> None:
    with open("effects.txt", "a") as file:
        file.write(line + "\\n")

@workflow
async def greet(name: str, times: int = 1) -> str:
    return ", ".join([f"Hello, {name}!"] * times)

@workflow
async def slow(seconds: float = 30.0) -> str:
    await mark("begun")
    await asyncio.sleep(seconds)
    await mark("ended")
    return "done"

@workflow
async def blocked(seconds: float) -> str:
    await block(seconds)
    return "done"

@workflow
async def poem() -> list[str]:
    lines: list[str] = []

    @add_line.validator
    def check(line: str) -> None:
        if not line:
            raise ValueError("an empty line")

    @add_line.handler
    async def add(line: str) -> int:
        lines.append(await mark(line))
        return len(lines)

    await approval.receive()
    return lines

@workflow
async def approve() -> bool:
    await mark("asked")
    return await approval.receive()

@step
async def needs_text(path: str) -> str:
    return Path(path).read_text()

@workflow
async def reads(path: str) -> str:
    return f"{await mark('begun')} {await needs_text(path)}"

@workflow
async def refund(cents: int) -> str:
    said = await wf.approve(f"Refund {cents}?", detail={"cents": cents})
    return f"{said.approved} {said.by} {said.reason}"

@workflow
async def quote() -> int:
    return await wf.token(int).wait()

@workflow
async def fail(text: str) -> None:
    wf.log.warning("about to fail")
    raise ValueError(text)

@workflow
async def parks(path: str) -> str:
    return await needs_file(path)

@workflow
async def talk() -> int:
    for word in ("a", "b", "\\x1b[31mred"):
        await words.write(word)
    return 3

@workflow
async def squares() -> list[int]:
    return list(await asyncio.gather(*(square(n) for n in range(3))))

@workflow
async def rude() -> str:
    return "\\x1b[2Jgone"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def fields(self) -> dict[str, object]:
        return msgspec.json.decode(self.out, type=dict[str, object])

    @property
    def rows(self) -> list[dict[str, object]]:
        return msgspec.json.decode(self.out, type=list[dict[str, object]])

    @property
    def lines(self) -> list[dict[str, object]]:
        decoder = msgspec.json.Decoder(dict[str, object])
        return decoder.decode_lines(self.out)


class Project:
    """A directory with an app, and the command line in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / ".outlast").mkdir(parents=True)
        (directory / "app.py").write_text(APP)
        self.db = directory / ".outlast" / "outlast.db"
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *args: str, stdin: str = "", env: dict[str, str] | None = None) -> Done:
        process = self.start(*args, env=env)
        out, err = process.communicate(stdin, timeout=240)
        assert "Traceback" not in err, err
        return Done(process.returncode, out, err)

    def start(self, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        variables = {k: v for k, v in os.environ.items() if k not in _NOT_OURS}
        process = subprocess.Popen(
            [sys.executable, "-m", "outlast", *args],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**variables, "PYTHONPATH": str(SOURCE), **(env or {})},
            # A shell's background job ignores Ctrl-C, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    @contextmanager
    def owner(self, *args: str) -> Generator[subprocess.Popen[str]]:
        """A process that owns the store for as long as the block lasts."""
        process = self.start("run", *args)
        try:
            until(lambda: self.db.with_name("outlast.db.sock").exists())
            yield process
        finally:
            end(process)

    def effects(self) -> list[str]:
        file = self.directory / "effects.txt"
        return file.read_text().splitlines() if file.exists() else []


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> Done:
    """Send a signal and wait for the end."""
    if process.poll() is None:
        process.send_signal(number)
    out, err = process.communicate(timeout=240)
    return Done(process.returncode, out, err)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something that another process does has happened."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)
