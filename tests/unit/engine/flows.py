"""Workflows and steps that the tests of the engine run."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from outlast import (
    Err,
    Ok,
    Retry,
    Run,
    Signal,
    Stream,
    Timeout,
    Value,
    step,
    this_step,
    wf,
    workflow,
)
from outlast.errors import WaitTimeout


@dataclass
class Decision:
    """What a person decided."""

    approved: bool
    by: str


class Declined(Exception):
    """A card was declined."""

    def __init__(self, code: int) -> None:
        super().__init__(f"declined with code {code}")
        self.code = code


decision = Signal("decision", Decision)
number = Signal("number", int)
progress = Value("progress", float)
tokens = Stream("tokens", str)
calls: list[str] = []


@step
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@step
def blocking_add(a: int, b: int) -> int:
    """Add on a thread."""
    time.sleep(0.001)
    return a + b


@step(raises=(Declined,))
async def decline(code: int) -> str:
    """Always decline."""
    raise Declined(code)


@step
async def decline_undeclared(code: int) -> str:
    """Raise an error that is not named in raises=."""
    raise Declined(code)


@step(retry=Retry(attempts=3, first="1ms"))
async def third_time(mark: str) -> int:
    """Succeed on the third attempt."""
    calls.append(mark)
    if this_step().attempt < 3:
        raise ConnectionError("not yet")
    return this_step().attempt


@step(retry=Retry(attempts=2, first="1ms", then="park"))
async def parks(mark: str) -> str:
    """Fail twice, then succeed for who let it go on."""
    calls.append(mark)
    if calls.count(mark) <= 2:
        raise ValueError("needs a person")
    return "mended"


@step(timeout=Timeout(run="30ms"))
async def too_slow() -> None:
    """Take longer than allowed."""
    await asyncio.sleep(30)


@step
async def say(words: list[str]) -> int:
    """Write words to the stream."""
    for word in words:
        await tokens.write(word)
    return len(words)


@step(retry=Retry(attempts=2, first="1ms"))
async def say_twice(words: list[str]) -> int:
    """Write words, die, and write them again."""
    for word in words:
        await tokens.write(f"{word}{this_step().attempt}")
    if this_step().attempt == 1:
        raise ConnectionError("the line broke")
    return len(words)


@workflow
async def sums(n: int) -> int:
    """Add up with parallel steps."""
    return sum(await asyncio.gather(*(add(k, k) for k in range(n))))


@workflow
async def catches(code: int) -> str:
    """Match on the outcome of a step."""
    match await decline(code).catch(Declined):
        case Ok(value):
            return value
        case Err(error):
            return f"{type(error).__name__} {error.code}"


@workflow
async def decides() -> str:
    """Wait for a decision."""
    progress.set(0.5)
    answer = await decision.receive()
    return f"{answer.approved} by {answer.by}"


@workflow
async def collects(count: int) -> list[int]:
    """Receive so many numbers."""
    return [await number.receive() for _ in range(count)]


@workflow
async def naps(seconds: float) -> str:
    """Sleep."""
    await asyncio.sleep(seconds)
    return "awake"


@workflow
async def fails(message: str) -> str:
    """Raise."""
    raise ValueError(message)


@workflow
async def parent_of(seconds: float, policy: str) -> str:
    """Start a child, then end without waiting for it."""
    kid = f"{wf.run_id}-kid"
    match policy:
        case "terminate":
            wf.start(naps(seconds), on_parent_close="terminate", id=kid)
        case "abandon":
            wf.start(naps(seconds), on_parent_close="abandon", id=kid)
        case _:
            wf.start(naps(seconds), id=kid)
    await add(1, 1)
    return "closed"


@workflow
async def cleans_up() -> str:
    """Sleep, and clean up in a shield when cancelled."""
    try:
        await asyncio.sleep(1_000)
    finally:
        async with wf.shield(grace="10s"):
            await third_time("cleanup")
    return "slept"


@workflow
async def swallows() -> str:
    """Swallow a cancellation once."""
    try:
        await asyncio.sleep(1_000)
    except asyncio.CancelledError:
        pass
    await asyncio.sleep(1_000)
    return "slept"


@workflow
async def returns_anyway() -> str:
    """Catch the cancellation and return."""
    try:
        await asyncio.sleep(1_000)
    except asyncio.CancelledError:
        return "caught"
    return "slept"


@workflow
async def bounded() -> str:
    """Let a scope run out."""
    try:
        async with wf.scope(timeout="50ms"):
            await asyncio.sleep(1_000)
    except WaitTimeout:
        return "late"
    return "slept"


@workflow
async def streams() -> int:
    """Write from the workflow and from steps."""
    await tokens.write("a")
    await say(["b", "c"])
    return await say_twice(["d", "e"])


async def until_waiting(run: Run[object]) -> None:
    """Return when the run waits for something."""
    async with asyncio.timeout(30):
        while "waiting for" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
