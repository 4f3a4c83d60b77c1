"""Actors asked for what they do not have, or in the wrong way."""

from __future__ import annotations

from dataclasses import dataclass, field

from outlast import Actor, Engine, actor, handler


@dataclass
class Notes:
    items: list[str] = field(default_factory=list[str])


@actor
class Notebook(Actor[Notes]):
    @handler
    async def add(self, text: str) -> int:
        self.state.items.append(text)
        return len(self.state.items)


@actor
class Other(Actor[Notes]):
    @handler
    async def clear(self) -> None:
        self.state.items.clear()


async def main(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")
    await notes.ask(Other.clear)  # WRONG
    await notes.ask(Notebook.add, 5)  # WRONG
    await notes.ask(Notebook.add)  # WRONG
    await notes.tell(Notebook.add, "x", "y")  # WRONG
    answer: str = await notes.ask(Notebook.add, "x")  # WRONG
    print(answer)
    engine.actor(Notebook, 5)  # WRONG
    notes.options(priority="high")  # WRONG
