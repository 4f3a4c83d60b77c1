"""What the killed process runs: every kind of record, and an effects file outside the product."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from outlast import Err, Ok, Retry, Signal, step, this_step, wf, workflow

go = Signal("go", int)


class Odd(Exception):
    """An odd number."""


def effect(what: str) -> None:
    """Append one line to the effects file: counted outside the engine."""
    line = f"{this_step().key} {what} {os.getpid()}\n".encode()
    with Path(os.environ["EFFECTS"]).open("ab", buffering=0) as file:
        file.write(line)


@step
async def work(n: int) -> int:
    """Do something that takes a moment."""
    effect("work")
    await asyncio.sleep(0.02)
    return n + 1


@step(retry=Retry(attempts=4, first="5ms"))
async def shaky(n: int) -> int:
    """Fail once or twice."""
    effect(f"shaky{this_step().attempt}")
    if this_step().attempt <= n % 3:
        raise ConnectionError("again")
    return n


@step(raises=(Odd,))
def even(n: int) -> int:
    """Refuse odd numbers, on a thread."""
    effect("even")
    if n % 2:
        raise Odd(n)
    return n


@workflow
async def child(n: int) -> int:
    """A child run."""
    await asyncio.sleep(0.01)
    return await work(n)


@workflow
async def everything(n: int) -> list[object]:
    """Gather, timer, signal, child, retry and catch."""
    out: list[object] = list(await asyncio.gather(work(n), work(n + 1), shaky(n)))
    await asyncio.sleep(0.5 + n % 10 / 2)
    out.append(await go.receive())
    out.append(await child(n))
    match await even(n).catch(Odd):
        case Ok(value):
            out.append(value)
        case Err(_):
            out.append("odd")
    winner, _ = await wf.first(a=wf.sleep("1h"), b=work(n))
    out.append(winner)
    return out
