"""The process that dies while it updates its runs: at a moment that is named, or whenever.

It puts things into baskets, each under an id of its own, and notes in a file what it was told
before anything else happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from unittest import mock

from outlast import Engine, Signal, Update, step, workflow
from outlast._execution.calls.updates import UpdateCalls
from outlast._records import Record
from outlast.engine import run_loop

RUNS = 4
THINGS = 36

put = Update("crash.put", str, int)
full = Signal("crash.full", bool)


@step(name="crash.weighed")
async def weighed(thing: str) -> int:
    """Take a moment."""
    await asyncio.sleep(0.01)
    return len(thing)


@workflow(name="crash.basket")
async def basket() -> list[str]:
    """Take what comes."""
    things: list[str] = []

    @put.handler
    async def add(thing: str) -> int:
        things.append(thing)
        place = len(things)
        await weighed(thing)
        return place

    await full.receive()
    return things


def die(self: UpdateCalls, record: Record) -> None:
    """In the place of a delivery: the record is durable, and nobody has heard of it."""
    os.kill(os.getpid(), signal.SIGKILL)


async def fill(engine: Engine, told: Path, name: str) -> None:
    """Put everything into one basket, a few at once."""
    run = await engine.start(basket(), id=name, reuse="never")
    few = asyncio.Semaphore(3)

    async def one(number: int) -> None:
        async with few:
            place = await run.update(put, f"thing-{number}", id=f"id-{number}")
        with told.open("a") as file:
            file.write(f"{name} {number} {place}\n")

    await asyncio.gather(*map(one, range(THINGS)))
    if (await run.info()).closed_at is None:
        await run.signal(full, value=True, dedup="full")
    await run.result()


async def main(db: Path, told: Path) -> None:
    """Bring all runs to their end."""
    async with Engine.open(db) as engine:
        await asyncio.gather(*(fill(engine, told, f"basket-{n}") for n in range(RUNS)))
    sys.stdout.write("all done\n")


if __name__ == "__main__":
    work = main(Path(sys.argv[1]), Path(sys.argv[2]))
    if sys.argv[3]:
        with mock.patch.object(UpdateCalls, sys.argv[3], die):
            run_loop(work)
    else:
        run_loop(work)
