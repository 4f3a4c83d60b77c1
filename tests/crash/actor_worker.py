"""The process that is killed: senders write numbered messages to actors, each safe before the next.

What was acknowledged is noted in a file outside of the store, after the acknowledgement.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from outlast import Actor, Engine, actor, handler, step, wf
from outlast.engine import run_loop


@dataclass
class Ledger:
    """The messages that an actor has handled, as `sender:number`."""

    lines: list[str] = field(default_factory=list[str])


@step
async def look(number: int) -> int:
    """Take a moment outside."""
    await asyncio.sleep(0.001)
    return number


@actor(name="crash.Keeper")
class Keeper(Actor[Ledger]):
    """Keeps lines."""

    @handler
    async def keep(self, line: str) -> int:
        """Keep one at once."""
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def count(self) -> int:
        """Return how many are kept, when all before has been handled."""
        return len(self.state.lines)

    @handler
    async def keep_slowly(self, line: str) -> int:
        """Keep one after a step, and tell a neighbour of it."""
        await look(len(line))
        self.state.lines.append(line)
        if not self.key.startswith("copy-"):
            await wf.actor(Keeper, f"copy-{self.key}").tell(Keeper.keep, f"{self.key}/{line}")
        return len(self.state.lines)


def lines_of(file: Path) -> set[str]:
    """Return what was acknowledged so far."""
    return set(file.read_text().splitlines()) if file.exists() else set()


async def main(db: Path, acknowledged: Path, actors: int, senders: int, messages: int) -> None:
    """Send what has not been acknowledged yet, then wait until all of it is handled."""
    done = lines_of(acknowledged)
    descriptor = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with Engine.open(db) as engine:

        async def sender(name: int) -> None:
            for number in range(messages):
                key = f"{(name * 7 + number * 3) % actors}"
                line = f"{name}:{number}"
                if f"{key} {line}" in done:
                    continue
                keeper = engine.actor(Keeper, key).options(dedup=line)
                if number % 3 == 0:
                    await keeper.tell(Keeper.keep_slowly, line)
                elif number % 3 == 1:
                    await keeper.tell(Keeper.keep, line)
                else:
                    await keeper.ask(Keeper.keep, line)
                os.write(descriptor, f"{key} {line}\n".encode())

        await asyncio.gather(*(sender(name) for name in range(senders)))
        for key in range(actors):
            await engine.actor(Keeper, f"{key}").ask(Keeper.count)
            await engine.actor(Keeper, f"copy-{key}").ask(Keeper.count)
    sys.stdout.write("all done\n")


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[3:]]
    run_loop(main(Path(sys.argv[1]), Path(sys.argv[2]), *numbers))
