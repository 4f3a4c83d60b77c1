"""The process of the storm: many senders write to one durable actor with a small mailbox.

Prints what came of it as JSON, for the test that started it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from outlast import Actor, ActorRef, Engine, actor, handler
from outlast.engine import run_loop
from outlast.errors import MailboxFull

SENDERS = 40
MAILBOX = 25
WARM_UP = 0.1  # of the messages, before memory is measured


@dataclass
class Tally:
    """How many messages were applied, the last number of each sender, and breaks of order."""

    applied: int = 0
    last: dict[str, int] = field(default_factory=dict[str, int])
    breaks: int = 0


class _Base(Actor[Tally]):
    @handler
    async def take(self, sender: str, number: int) -> None:
        if self.state.last.get(sender, -1) + 1 != number:
            self.state.breaks += 1
        self.state.last[sender] = number
        self.state.applied += 1


@actor(name="storm.Rejecting", mailbox=MAILBOX)
class Rejecting(_Base, Actor[Tally]):
    """Refuses what is too much."""


@actor(name="storm.Blocking", mailbox=MAILBOX, overflow="block")
class Blocking(_Base, Actor[Tally]):
    """Makes senders wait."""


@dataclass
class Report:
    """What the senders and the machine saw."""

    acknowledged: int = 0
    refused: int = 0
    resident_bytes_before: int = 0
    resident_bytes_after: int = 0
    seconds: float = 0.0


def resident_bytes() -> int:
    """Return how much memory the process has in use."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Storm:
    """One storm of `count` messages, as its senders see it."""

    def __init__(self, target: ActorRef[Rejecting] | ActorRef[Blocking], count: int) -> None:
        self._target = target
        self._count = count
        self.report = Report()

    async def sender(self, name: str) -> None:
        """Send messages, each safe before the next."""
        last = self._count // SENDERS - 1
        for number in range(last + 1):
            await self._send(name, number, waits=number == last)
            self.report.acknowledged += 1
            if self.report.acknowledged == int(self._count * WARM_UP):
                self.report.resident_bytes_before = resident_bytes()

    async def _send(self, name: str, number: int, *, waits: bool) -> None:
        """Send one message, and for the last of all wait until it is handled."""
        while True:
            try:
                if waits:
                    await self._target.ask(_Base.take, name, number)
                else:
                    await self._target.tell(_Base.take, name, number)
            except MailboxFull:
                self.report.refused += 1
                await asyncio.sleep(0.002)  # what a polite sender does
            else:
                return


async def main(db: Path, overflow: str, count: int) -> None:
    """Raise the storm, and report when all senders are done."""
    async with Engine.open(db) as engine:
        is_refusing = overflow == "reject"
        rejecting, blocking = engine.actor(Rejecting, "one"), engine.actor(Blocking, "one")
        storm = Storm(rejecting if is_refusing else blocking, count)
        begun = time.monotonic()
        await asyncio.gather(*(storm.sender(f"s{n}") for n in range(SENDERS)))
        storm.report.seconds = time.monotonic() - begun
        storm.report.resident_bytes_after = resident_bytes()
    sys.stdout.write(msgspec.json.encode(storm.report).decode())


if __name__ == "__main__":
    run_loop(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
