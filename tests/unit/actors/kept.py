"""An actor that keeps lines, one in memory only, and what their handlers call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from outlast import Actor, Stream, Topic, actor, handler, step, wf


@dataclass
class Seen:
    lines: list[str] = field(default_factory=list[str])


words = Stream("words", str)


news = Topic("kept-news", str)


gates: list[asyncio.Event] = []


repaired: list[bool] = []


@step
async def talks() -> None:
    await words.write("last words")
    await asyncio.sleep(5)


@step
async def fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


@step
async def waits() -> None:
    await gates[0].wait()


@actor(durable=False)
class Hot(Actor[Seen]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)


@actor(attempts=2)
class Kept(Actor[Seen]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def add_after(self, line: str) -> int:
        await waits()
        return await self.add(line)

    @handler
    async def tell_soon(self, other: str) -> None:
        await wf.actor(Kept, other).options(timeout="30s").tell(Kept.add, "in time")

    @handler
    async def tell_hot(self) -> None:
        await wf.actor(Hot, "hot").tell(Hot.add, "told")

    @handler
    async def leave_things(self) -> None:
        asyncio.get_running_loop().call_later(0.01, print)
        await asyncio.gather(talks(), fails())

    @handler(topic=news)
    async def on_news(self, line: str) -> None:
        if not repaired:
            raise ValueError("not yet")
        self.state.lines.append(line)

    @handler
    async def publish(self, line: str) -> None:
        await news.publish(line)

    @handler(read=True)
    async def all(self) -> list[str]:
        return self.state.lines
