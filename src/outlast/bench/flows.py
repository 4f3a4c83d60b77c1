"""The workflows that are measured."""

from __future__ import annotations

import asyncio
import time

from outlast import Signal, step, this_step, workflow
from outlast.bench.effects import note

NAP_SECONDS = 0.05
WORK_SECONDS = 0.02

go: Signal[int] = Signal("go", int)
timer_overshoots: list[float] = []


@step
async def add(number: int) -> int:
    """Do next to nothing, durably."""
    return number + 1


@workflow
async def one_after_another(steps: int) -> int:
    """Run steps in sequence."""
    number = 0
    for _ in range(steps):
        number = await add(number)
    return number


marks: list[float] = []  # CPU time of the process at each step of `marked`, told past the journal


@step
async def mark(number: int) -> int:
    """Note the CPU time that the process has taken so far."""
    marks.append(time.process_time())
    return number + 1


@workflow
async def marked(steps: int) -> int:
    """Run steps in sequence, each of which notes the time."""
    number = 0
    for _ in range(steps):
        number = await mark(number)
    return number


@workflow
async def wait_for_signal() -> int:
    """Wait, and return what came."""
    return await go.receive()


@step
async def load() -> list[dict[str, str]]:
    """Return about 5 KiB of live objects."""
    return [{"name": f"entry {n}", "text": "x" * 60} for n in range(14)]


@workflow
async def hold() -> int:
    """Hold some state and wait."""
    held = await load()
    return len(held) + await go.receive()


@step
async def nap() -> float:
    """Return by how many seconds a sleep in a step is late."""
    began = time.perf_counter()
    await asyncio.sleep(NAP_SECONDS)
    return time.perf_counter() - began - NAP_SECONDS


@workflow
async def nap_in_steps(naps: int) -> list[float]:
    """Sleep in steps."""
    return [await nap() for _ in range(naps)]


@workflow
async def nap_by_timers(naps: int) -> None:
    """Sleep by durable timers.

    It looks at a real clock and tells what it saw past the journal, as only a benchmark may.
    """
    for _ in range(naps):
        began = time.perf_counter()
        await asyncio.sleep(NAP_SECONDS)
        timer_overshoots.append(time.perf_counter() - began - NAP_SECONDS)


@step
async def work_a_while() -> int:
    """Take 20 ms, noted outside."""
    note(this_step())
    await asyncio.sleep(WORK_SECONDS)
    return this_step().attempt


@workflow
async def work_on(steps: int) -> int:
    """Do so many steps of 20 ms."""
    for _ in range(steps):
        await work_a_while()
    return steps


def burn(amount: int) -> int:
    """Use the processor."""
    total = 0
    for number in range(amount):
        total = (total * 31 + number) & 0xFFFFFFFF
    return total


@step(where="process")
def burn_in_process(amount: int) -> int:
    """Use a processor of another process."""
    return burn(amount)


@step(where="thread")
def burn_in_thread(amount: int) -> int:
    """Use the processor on a thread."""
    return burn(amount)


@step
async def burn_on_loop(amount: int) -> int:
    """Use the processor in the engine's way."""
    return burn(amount)


@workflow
async def burn_all(where: str, calls: int, amount: int) -> None:
    """Burn so many times at once."""
    burning = {"process": burn_in_process, "thread": burn_in_thread, "loop": burn_on_loop}[where]
    await asyncio.gather(*(burning(amount) for _ in range(calls)))
