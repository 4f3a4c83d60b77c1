"""Members of teams for the simulation: they fail, stop and hang as they are told to.

What is counted in `tries` survives crashes, as the world outside does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from outlast import Stopped, step, wf, workflow
from outlast._actors import Actor, actor, handler

tries: Counter[str] = Counter()
weak: set[str] = set()  # keys whose first starts fail
slow: set[str] = set()  # keys whose first start takes longer than a supervisor waits


@dataclass
class Lines:
    """What an actor has handled."""

    lines: list[str] = field(default_factory=list[str])


@step
async def ponder(line: str) -> str:
    """Take a moment outside."""
    await asyncio.sleep(0.05)
    return line


@actor(name="sim.Worker", mailbox=1_000_000)
class Worker(Actor[Lines]):
    """Notes lines."""

    @handler
    async def started(self) -> None:
        """Hear of a start; some fail or hang at first."""
        tries[self.key] += 1
        if self.key in weak and tries[self.key] <= 2:
            raise RuntimeError(f"{self.key} is weak")
        if self.key in slow and tries[self.key] <= 1:
            await asyncio.sleep(100)

    @handler
    async def work(self, line: str) -> int:
        """Note a line at once."""
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def work_slowly(self, line: str) -> int:
        """Note a line around a step and a timer."""
        self.state.lines.append(await ponder(line))
        await asyncio.sleep(0.3)
        return len(self.state.lines)

    @handler
    async def poison(self, line: str) -> int:
        """Fail always."""
        self.state.lines.append(line)
        self.reminder(every="1s", name="poison").tell(Worker.tick, "never")
        raise ValueError(await ponder(line))

    @handler
    async def flaky(self, line: str) -> int:
        """Fail once."""
        tries[line] += 1
        self.state.lines.append(line)
        if tries[line] == 1:
            raise ValueError(line)
        return len(self.state.lines)

    @handler
    async def quit(self, line: str) -> int:
        """Note a line, and stop."""
        self.state.lines.append(line)
        self.stop()
        return len(self.state.lines)

    @handler
    async def remind(self, line: str, seconds: int) -> int:
        """Note a line, and be reminded from now on."""
        self.state.lines.append(line)
        self.reminder(every=f"{seconds}s").tell(Worker.tick, "tick")
        return len(self.state.lines)

    @handler
    async def tick(self, word: str) -> None:
        """Be reminded: nothing is noted."""
        if word == "never":
            raise ValueError("nothing of a message that failed holds")


@actor(name="sim.Watcher")
class Watcher(Actor[Lines]):
    """Watches one worker."""

    @handler
    async def look_at(self, key: str) -> None:
        """Watch a worker from now on."""
        self.watch(wf.actor(Worker, key))

    @handler
    async def stopped(self, event: Stopped) -> None:
        """Hear of an end."""
        self.state.lines.append(event.actor)


@step
async def count(name: str) -> int:
    """Count in the world outside."""
    tries[name] += 1
    return tries[name]


@workflow
async def tough(name: str) -> str:
    """End only by force."""
    while True:
        try:
            await asyncio.sleep(10_000_000)
        except asyncio.CancelledError:
            await ponder(name)


@workflow
async def lasting(name: str) -> str:
    """Go on for ever."""
    await asyncio.sleep(10_000_000)
    return name


@workflow
async def brief(name: str) -> str:
    """Come to an end."""
    return await ponder(name)


@workflow
async def breaking(name: str) -> str:
    """Fail twice, and then go on for ever."""
    if await count(name) <= 2:
        raise RuntimeError(name)
    await asyncio.sleep(10_000_000)
    return name
