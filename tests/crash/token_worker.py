"""The process that dies while people answer: at a moment that is named, or whenever it is killed.

It starts runs that ask, and answers them all; whoever was told that an answer counts is noted in a
file before anything else happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from unittest import mock

from outlast import Engine, TokenInfo, wf, workflow
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.calls.tokens import TokenCalls
from outlast._store.rows import Message
from outlast.engine import run_loop
from outlast.errors import TokenError

RUNS = 40


@workflow(name="crash.questions")
async def questions(timeout: float) -> list[object]:
    """Ask without a deadline, and then with one."""
    first = await wf.approve("first?")
    second = await wf.approve("second?", timeout=timeout)
    return [first.by, second.by]


def timeout_of(number: int) -> float:
    """Return the deadline of a run's second question: every third runs out."""
    return 0.05 if number % 3 == 0 else 600.0


def die_before_it_is_told(self: Scheduler, message: Message, number: int) -> None:
    """In the place of `deliver`: the answer is taken, and neither run nor person knows."""
    if message.kind == "token":
        os.kill(os.getpid(), signal.SIGKILL)
    _deliver(self, message, number)


def die_before_it_is_recorded(self: TokenCalls, message: Message) -> None:
    """In the place of `answered`: the run has read the message, and has not recorded it."""
    os.kill(os.getpid(), signal.SIGKILL)


_deliver = Scheduler.deliver


async def answer_all(engine: Engine, told: Path, done: asyncio.Event) -> None:
    """Answer what is open one by one, as two people who do not know of each other."""
    while not done.is_set():
        async for info in engine.tokens():
            await asyncio.gather(*(answer(engine, told, info, who) for who in "ab"))
        await asyncio.sleep(0.01)


async def answer(engine: Engine, told: Path, info: TokenInfo, who: str) -> None:
    """Answer, and note whose answer counts."""
    try:
        await engine.approve(info.id, by=f"{who}-{os.getpid()}", digest=info.digest)
    except TokenError:
        return
    with told.open("a") as file:
        file.write(f"{info.id} {who}-{os.getpid()}\n")


async def main(db: Path, told: Path) -> None:
    """Bring all runs to their end."""
    async with Engine.open(db) as engine:
        done = asyncio.Event()
        people = asyncio.create_task(answer_all(engine, told, done))
        numbers = range(RUNS)
        runs = [await engine.start(questions(timeout_of(n)), id=f"run-{n}") for n in numbers]
        await asyncio.gather(*(run.result() for run in runs))
        done.set()
        await people
    sys.stdout.write("all done\n")


if __name__ == "__main__":
    work = main(Path(sys.argv[1]), Path(sys.argv[2]))
    match sys.argv[3]:
        case "told":
            with mock.patch.object(Scheduler, "deliver", die_before_it_is_told):
                run_loop(work)
        case "recorded":
            with mock.patch.object(TokenCalls, "answered", die_before_it_is_recorded):
                run_loop(work)
        case _:
            run_loop(work)
