"""The process that is killed: a team of workers, and clients that tell them numbered lines.

What was acknowledged, and what handlers do outside, is noted in files outside of the store.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from outlast import Actor, Child, Engine, Supervisor, actor, handler, step
from outlast.engine import run_loop
from tests.crash.redelivery_worker import add_line, lines_of


@dataclass
class Ledger:
    """The lines that a worker has handled."""

    lines: list[str] = field(default_factory=list[str])


@step
async def note_effect(line: str) -> int:
    """Leave a trace outside of the store; return how often that was done for this line."""
    effects = Path(os.environ["EFFECTS"])
    add_line(effects, line)
    return lines_of(effects).count(line)


@actor(name="crash.Worker", attempts=3)
class Worker(Actor[Ledger]):
    """Keeps lines; some fail once, and some always."""

    @handler
    async def keep(self, line: str) -> None:
        """Keep a line at once."""
        self.state.lines.append(line)

    @handler
    async def keep_with_effect(self, line: str) -> None:
        """Keep a line after a step; fail the first time."""
        self.state.lines.append(line)
        if await note_effect(line) == 1:
            raise ValueError(f"{line} fails once")

    @handler
    async def poison(self, line: str) -> None:
        """Fail always."""
        self.state.lines.append(line)
        raise ValueError(f"{line} fails always")

    @handler
    async def count(self) -> int:
        """Return how many are kept, when all before has come to an end."""
        return len(self.state.lines)


def team_of(workers: int) -> Supervisor:
    """Return the team that every life of the process applies."""
    first, *others = [Child(Worker, key=f"{number}") for number in range(workers)]
    # Failures are many on purpose: they are forgotten soon, so that the pauses stay short.
    inner = Supervisor(
        "inner", others, strategy="rest_for_one", max_restarts=1_000_000, within="0.5s"
    )
    return Supervisor("crew", [first, inner], max_restarts=1_000_000, within="0.5s")


async def main(db: Path, acknowledged: Path, workers: int, messages: int) -> None:
    """Tell what has not been acknowledged yet, then wait until all of it has come to an end."""
    done = set(lines_of(acknowledged))
    async with Engine.open(db) as engine:
        await engine.apply(team_of(workers))

        async def sender(key: int) -> None:
            for number in range(messages):
                line = f"{key}:{number}"
                if line in done:
                    continue
                worker = engine.actor(Worker, f"{key}").options(dedup=line)
                if number % 20 == 7:
                    await worker.tell(Worker.poison, line)
                elif number % 10 == 1:
                    await worker.tell(Worker.keep_with_effect, line)
                else:
                    await worker.tell(Worker.keep, line)
                add_line(acknowledged, line)

        await asyncio.gather(*(sender(key) for key in range(workers)))
        for key in range(workers):
            await engine.actor(Worker, f"{key}").ask(Worker.count)
        await engine.apply(team_of(workers))
    sys.stdout.write("all done\n")


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[3:]]
    run_loop(main(Path(sys.argv[1]), Path(sys.argv[2]), *numbers))
