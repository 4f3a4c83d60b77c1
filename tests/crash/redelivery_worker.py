"""The process that dies between a commit and what it would have said of it.

It asks an actor for one thing after another, each under a dedup key of its own, from the first
that has no answer in the file. Without a moment to die at it goes on to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from outlast import Actor, ActorRef, Engine, actor, handler, step
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.actors.actor_run import LiveActor
from outlast._store.rows import Message
from outlast._store.transactions import Receipt, Transaction
from outlast.engine import run_loop
from outlast.errors import HandlerFailed

REQUESTS = 9


@dataclass
class Ledger:
    """What was handled."""

    lines: list[str] = field(default_factory=list[str])


def lines_of(file: Path) -> list[str]:
    """Return what a file has, nothing when there is none."""
    return file.read_text().splitlines() if file.exists() else []


def add_line(file: Path, line: str) -> None:
    """Add a line to a file."""
    with file.open("a") as opened:
        opened.write(f"{line}\n")


@step
async def note_effect(line: str) -> None:
    """Leave a trace outside of the store."""
    add_line(Path(os.environ["EFFECTS"]), line)


@actor(name="crash.Clerk")
class Clerk(Actor[Ledger]):
    """Keeps lines, and answers with how many there are."""

    @handler
    async def keep(self, line: str) -> str:
        self.state.lines.append(line)
        return f"kept {len(self.state.lines)}"

    @handler
    async def keep_with_effect(self, line: str) -> str:
        await note_effect(line)
        return await self.keep(line)

    @handler
    async def refuse(self, line: str) -> str:
        await note_effect(line)
        kept = await self.keep(line)
        raise ValueError(f"refused after it would have {kept}")


def die_before_the_answer(self: LiveActor, transaction: Transaction, receipt: Receipt) -> None:
    """In the place of `committed`: the end of a message is durable, and nobody is told."""
    if transaction.also.consumed:
        os.kill(os.getpid(), signal.SIGKILL)
    _committed(self, transaction, receipt)


def die_before_the_acknowledgement(self: Scheduler, message: Message, number: int) -> None:
    """In the place of `deliver`: a message is safe in its mailbox, and its sender is not told."""
    os.kill(os.getpid(), signal.SIGKILL)


_committed = LiveActor.committed


async def ask(clerk: ActorRef[Clerk], number: int) -> str:
    """Return the answer to one request, as text."""
    asking, line = clerk.options(dedup=f"request-{number}"), f"line {number}"
    try:
        match number % 3:
            case 0:
                return await asking.ask(Clerk.keep, line)
            case 1:
                return await asking.ask(Clerk.keep_with_effect, line)
            case _:
                return await asking.ask(Clerk.refuse, line)
    except HandlerFailed as failed:
        return failed.message


async def main(db: Path, answers: Path) -> None:
    """Ask what has no answer yet."""
    async with Engine.open(db) as engine:
        for number in range(len(lines_of(answers)), REQUESTS):
            add_line(answers, await ask(engine.actor(Clerk, "one"), number))


if __name__ == "__main__":
    work = main(Path(sys.argv[1]), Path(sys.argv[2]))
    match sys.argv[3]:
        case "answer":
            with mock.patch.object(LiveActor, "committed", die_before_the_answer):
                run_loop(work)
        case "acknowledgement":
            with mock.patch.object(Scheduler, "deliver", die_before_the_acknowledgement):
                run_loop(work)
        case _:
            run_loop(work)
