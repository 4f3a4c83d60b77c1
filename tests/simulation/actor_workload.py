"""The actors that the simulation writes to: every feature of theirs, with state to check."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from outlast import Topic, step, wf, workflow
from outlast._actors import Actor, actor, handler

news = Topic("sim-news", tuple[str, int])


@dataclass
class Seen:
    """The messages that an actor has handled: (lane, number)."""

    messages: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    published: int = 0


@step
async def think(number: int) -> int:
    """Take a moment outside."""
    await asyncio.sleep(0.05)
    return number


@actor(name="sim.Counter")
class Counter(Actor[Seen]):
    """Notes what it gets."""

    @handler
    async def plain(self, lane: str, number: int) -> int:
        """Change the state at once."""
        self.state.messages.append((lane, number))
        return len(self.state.messages)

    @handler
    async def slow(self, lane: str, number: int) -> int:
        """Change the state around a step and a timer."""
        await think(number)
        self.state.messages.append((lane, number))
        await asyncio.sleep(0.2)
        return len(self.state.messages)

    @handler
    async def forward(self, lane: str, number: int) -> int:
        """Tell another actor, with the commit of this message."""
        self.state.messages.append((lane, number))
        other = wf.actor(Counter, f"{self.key}-next")
        await other.tell(Counter.plain, f"{self.key} for {lane}", number)
        return len(self.state.messages)

    @handler
    async def relay(self, lane: str, number: int) -> int:
        """Ask another actor, and wait for its answer."""
        other = wf.actor(Counter, f"{self.key}-last")
        await other.ask(Counter.plain, f"{self.key} for {lane}", number)
        self.state.messages.append((lane, number))
        return len(self.state.messages)

    @handler
    async def publish(self, lane: str, number: int) -> int:
        """Publish under a number of its own, and note the message."""
        self.state.messages.append((lane, number))
        self.state.published += 1
        await news.publish((self.key, self.state.published))
        return len(self.state.messages)

    @handler
    async def poison(self, lane: str, number: int) -> int:
        """Do all that a handler can do, and raise: nothing of it may have happened."""
        await self.publish(lane, number)
        await self.forward(lane, number)
        raise ValueError(f"poison {await think(number)}")


@actor(name="sim.Reader")
class Reader(Actor[Seen]):
    """Notes what is published."""

    @handler
    async def begin(self) -> None:
        """Come to be, and be subscribed."""

    @handler(topic=news)
    async def on_news(self, line: tuple[str, int]) -> None:
        """Note one publication."""
        self.state.messages.append(line)


@actor(name="sim.Quitter")
class Quitter(Actor[Seen]):
    """Notes what it gets until it is told to stop."""

    @handler
    async def note(self, lane: str, number: int) -> int:
        """Change the state at once."""
        self.state.messages.append((lane, number))
        return len(self.state.messages)

    @handler
    async def note_slowly(self, lane: str, number: int) -> int:
        """Change the state after a step, while others wait in the mailbox."""
        self.state.messages.append((lane, await think(number)))
        return len(self.state.messages)

    @handler
    async def quit(self) -> None:
        """Stop with the end of this message."""
        self.stop()
        await think(0)


@workflow
async def publishes(lane: str, count: int) -> None:
    """Publish numbers from 1."""
    for number in range(1, count + 1):
        await news.publish((lane, number))
        await asyncio.sleep(0.01 * number)
