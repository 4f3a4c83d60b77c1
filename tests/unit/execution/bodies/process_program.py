"""A program whose steps run in worker processes; `test_processes` imports it, and so do they."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from outlast import Call, Retry, Stream, Timeout, Value, step, this_step, workflow
from outlast.errors import StepError

words = Stream("process_words", str)
progress = Value("process_progress", float)


class Declined(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"declined with {code}")
        self.code = code


class Worse(Declined):
    pass


class Connection:
    def __init__(self) -> None:
        self.pid = os.getpid()


def connect() -> Connection:
    return Connection()


def note(path: str, text: str) -> None:
    Path(path).write_text(text)


@step(where="process")
def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@step(where="process")
async def doubled(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@step(where="process", raises=(Declined,))
def declines() -> int:
    raise Declined(7)


@step(where="process", retry=Retry(attempts=5, first=0.01, never_on=(Declined,)))
def declines_for_good(path: str) -> int:
    with Path(path).open("a") as file:
        file.write("x")
    raise Worse(8)


@step(where="process")
def fails() -> int:
    return int("seven")


@step(where="process")
def lies() -> int:
    return "text"  # type: ignore[return-value]  # what the test is about


@step(where="process")
def exits(code: int) -> None:
    os._exit(code)


@step(where="process")
def kills_itself(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


@step(where="process", once="at_most")
def dies_once() -> None:
    os._exit(1)


@step(where="process", timeout=Timeout(run=1.0))
def hangs(path: str) -> None:
    Path(path).write_text(f"{os.getpid()}")
    time.sleep(600)


@step(where="process", timeout=Timeout(run=1.0))
async def hangs_softly(path: str) -> None:
    try:
        await asyncio.sleep(600)
    finally:
        note(path, f"told: {this_step().cancelled}")


@step(where="process", timeout=Timeout(queue=0.3))
def waits_for_a_worker() -> None:
    pass


@step(where="process", retry=Retry(attempts=2, first=0.01))
def talks() -> tuple[str, int | None, int, bool, bool]:
    me = this_step()
    words.write(f"attempt {me.attempt}")
    if me.attempt == 1:
        me.heartbeat(41)
        raise ValueError("once more")
    progress.set(0.5)
    connection = me.resource(Connection)
    is_kept = me.resource(Connection) is connection
    return me.key, me.last_heartbeat(int), me.attempt, connection.pid == os.getpid(), is_kept


@step(where="process")
def listens(path: str) -> None:
    me = this_step()
    Path(path).write_text("listening")
    while not me.cancelled:
        time.sleep(0.01)
    Path(path).write_text("heard")


@step(where="process")
def big() -> bytes:
    return b"x" * (3 * 1024 * 1024)


@workflow
async def pids(count: int, seconds: float) -> list[int]:
    return list(await asyncio.gather(*(pid_after(seconds) for _ in range(count))))


@workflow
async def value_of(name: str, argument: str = "") -> str:
    """Run one of the steps and tell what came of it."""
    steps: dict[str, Callable[[], Call[object]]] = {
        "doubled": lambda: doubled(21),
        "declines_for_good": lambda: declines_for_good(argument),
        "fails": fails,
        "lies": lies,
        "big": big,
        "exits": lambda: exits(3),
        "killed": lambda: kills_itself(int(signal.SIGKILL)),
        "segfault": lambda: kills_itself(int(signal.SIGSEGV)),
        "dies_once": dies_once,
        "hangs": lambda: hangs(argument),
        "hangs_softly": lambda: hangs_softly(argument),
    }
    try:
        return f"{await steps[name]()}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked at
        return f"{type(error).__name__}: {error}"


@workflow
async def declined() -> int:
    try:
        return await declines()
    except Declined as error:
        return error.code


@workflow
async def talk() -> tuple[str, int | None, int, bool, bool]:
    return await talks()


@workflow
async def listen(path: str) -> None:
    await listens(path)


@workflow
async def beside(path: str) -> tuple[str, int]:
    """One worker dies while the other is at work."""
    after = asyncio.create_task(doubled_slowly())
    try:
        await exits(1)
        fate = "lived"
    except StepError:
        fate = "died"
    return fate, await after


async def doubled_slowly() -> int:
    await pid_after(0.5)
    return await doubled(1)


@workflow
async def queued() -> str:
    busy = asyncio.create_task(wait_long())
    await asyncio.sleep(0.05)
    try:
        await waits_for_a_worker()
    except StepError as error:
        return f"{error}"
    finally:
        busy.cancel()
    return "ran"


async def wait_long() -> None:
    await pid_after(30)
