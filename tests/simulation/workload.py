"""The workflows that the simulation runs: every feature of the engine, with answers to check.

Each returns what an invariant needs: the order of what it received, how long its sleeps took by
its own clock, what its children gave.
"""

from __future__ import annotations

import asyncio

from outlast import Err, Ok, Retry, Signal, Stream, Value, step, this_step, wf, workflow
from outlast.errors import ChildFailed, OutcomeUnknown, WaitTimeout

message = Signal("message", tuple[str, int])
progress = Value("progress", int)
words = Stream("words", str)


class Declined(Exception):
    """A step said no."""


@step
async def double(n: int) -> int:
    await asyncio.sleep(0.01)
    return 2 * n


@step(retry=Retry(attempts=6, first="50ms", cap="1s"))
async def flaky(n: int) -> int:
    if this_step().attempt <= n % 4:
        await words.write(f"try {this_step().attempt}")
        raise ConnectionError("not yet")
    await words.write("done")
    return this_step().attempt


@step(raises=(Declined,))
async def choosy(n: int) -> int:
    if n % 3 == 0:
        raise Declined(f"{n} is a multiple of three")
    return n


@step(once="at_most")
async def careful(n: int) -> int:
    await asyncio.sleep(0.02)
    return n


@step
def threaded(n: int) -> int:
    return n + 100


KEPT: list[int] = []


@step
async def listing(n: int) -> list[int]:
    # The same list each time: who gets it without a copy sees what others did to it.
    return KEPT


@workflow
async def child(n: int) -> int:
    await asyncio.sleep(0.5 * (n % 3))
    if n % 5 == 4:
        raise ValueError("children fail too")
    return await double(n)


@workflow
async def mixed(n: int) -> list[object]:
    """Fan-out, retries, catching, timers, a child, shared state."""
    out: list[object] = []
    seen = await listing(n)
    seen.append(n)
    out.append(len(seen))

    async def branch(k: int) -> None:
        out.append(await double(k))
        await asyncio.sleep(0.05 * k)
        out.append(await threaded(k))

    await asyncio.gather(*(branch(k) for k in range(n % 4)))
    out.append(await flaky(n))
    match await choosy(n).catch(Declined):
        case Ok(value):
            out.append(value)
        case Err(error):
            out.append(str(error))
    before = wf.now()
    await asyncio.sleep(1.5)
    out.append((wf.now() - before).total_seconds() >= 1.5)
    progress.set(n)
    try:
        out.append(await child(n))
    except ChildFailed:
        out.append("child failed")
    try:
        out.append(await careful(n))
    except OutcomeUnknown:
        out.append("unknown")
    winner, _ = await wf.first(slow=wf.sleep(5), fast=double(n))
    out.append(winner)
    return out


@workflow
async def listener(count: int) -> list[tuple[str, int]]:
    """Receive so many messages, in order."""
    received: list[tuple[str, int]] = []
    while len(received) < count:
        try:
            received.append(await message.receive(timeout="20s"))
        except WaitTimeout:
            await double(len(received))
    return received


@workflow
async def patient(n: int) -> str:
    """Wait for a long time, and clean up when cancelled."""
    kid = wf.start(child(n), on_parent_close="abandon")
    try:
        await asyncio.sleep(400 + n)
    finally:
        async with wf.shield(grace="60s"):
            await double(n)
    await kid.result()
    return "slept"


@workflow
async def stubborn(n: int) -> str:
    """Swallow a cancellation once: it must come again."""
    try:
        await asyncio.sleep(500)
    except asyncio.CancelledError:
        pass
    await asyncio.sleep(500)
    return "never cancelled"
