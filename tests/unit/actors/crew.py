"""Actors for tests of teams, which write down what happens to them, and teams of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from outlast import (
    Actor,
    Child,
    Engine,
    MemberInfo,
    Stopped,
    Supervisor,
    TeamInfo,
    actor,
    handler,
    wf,
    workflow,
)


class Seen:
    """What happened, in order; whoever waits is woken by it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._changed = asyncio.Event()

    def add(self, event: str) -> None:
        self.events.append(event)
        self._changed.set()

    def clear(self) -> None:
        self.events.clear()
        self._changed = asyncio.Event()  # of this test's loop

    async def until(self, condition: Callable[[list[str]], bool], seconds: float = 15.0) -> None:
        """Wait until what was seen is enough."""
        try:
            async with asyncio.timeout(seconds):
                while not condition(self.events):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"seen only: {self.events}") from None

    async def count(self, event: str, times: int = 1) -> None:
        await self.until(lambda events: events.count(event) >= times)


seen = Seen()


broken: set[str] = set()  # keys whose `work` fails


unstartable: set[str] = set()  # keys whose next start fails


@dataclass
class Done:
    items: list[str] = field(default_factory=list[str])


@actor(attempts=2)
class Worker(Actor[Done]):
    """Says when it is started, and fails on demand."""

    @handler
    async def started(self) -> None:
        seen.add(f"{self.key} started")
        if self.key in unstartable:
            unstartable.remove(self.key)
            raise ValueError("it cannot be started now")

    @handler
    async def work(self, item: str) -> int:
        seen.add(f"{self.key} works on {item}")
        self.state.items.append(item)
        if self.key in broken or item == "poison":
            raise ValueError(f"{item} is bad")
        seen.add(f"{self.key} did {item}")
        return len(self.state.items)

    @handler
    async def nap(self) -> None:
        """Wait long: what interrupts it begins it anew."""
        seen.add(f"{self.key} naps")
        await asyncio.sleep(3600)

    @handler
    async def quit(self) -> None:
        self.stop()

    @handler(read=True)
    async def items(self) -> list[str]:
        return self.state.items


@actor
class Watcher(Actor[Done]):
    """Watches others."""

    @handler
    async def look_at(self, key: str) -> None:
        self.watch(wf.actor(Worker, key))

    @handler
    async def stopped(self, event: Stopped) -> None:
        self.state.items.append(f"{event.actor.rpartition('/')[2]}: {event.reason}")
        seen.add("told")

    @handler(read=True)
    async def items(self) -> list[str]:
        return self.state.items


@workflow
async def feed(name: str, fails: bool) -> str:
    """A member that is a workflow."""
    seen.add(f"{name} runs")
    if fails:
        raise RuntimeError("the feed broke")
    try:
        await asyncio.sleep(3600)
    finally:
        seen.add(f"{name} ends")
    return name


def workers(*keys: str) -> list[Child]:
    return [Child(Worker, key=key) for key in keys]


async def the_team(engine: Engine) -> TeamInfo:
    async for team in engine.teams():
        return team
    raise AssertionError("there is no team")


async def member(engine: Engine, key: str) -> MemberInfo:
    team = await the_team(engine)
    return next(m for m in team.members if m.id.endswith(f"/{key}"))


async def member_when(
    engine: Engine, team: Supervisor, key: str, condition: Callable[[MemberInfo], bool]
) -> MemberInfo:
    """Return a member once it stands as it should: its supervisor answers in turn."""
    for _ in range(300):
        await engine.apply(team)
        found = await member(engine, key)
        if condition(found):
            return found
    raise AssertionError(f"never so: {await member(engine, key)}")


def started(key: str) -> str:
    return f"{key} started"
