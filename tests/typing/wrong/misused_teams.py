"""Teams, reminders and topics of what they cannot be of."""

from __future__ import annotations

from dataclasses import dataclass

from outlast import Actor, Child, Engine, Supervisor, Topic, actor, handler, workflow


@dataclass
class Notes:
    count: int = 0


news = Topic("wrong.news", str)


class NoActor:
    """Is none."""


@actor
class Notebook(Actor[Notes]):
    @handler
    async def add(self, text: str) -> int:
        return len(text)

    @handler
    async def weigh(self, grams: int) -> None:
        self.reminder(every="1h").tell(Notebook.add, 5)  # WRONG
        self.reminder(every="1h").tell(Notebook.add)  # WRONG
        self.reminder(grams)  # WRONG
        self.watch("notes")  # WRONG


@workflow
async def feed(name: str) -> str:
    return name


async def main(engine: Engine) -> None:
    Child(NoActor, key="n")  # WRONG
    Child(feed, key="f")  # WRONG
    Child(Notebook, key="n", restart="sometimes")  # WRONG
    Supervisor("team", [Notebook])  # WRONG
    Supervisor("team", [], strategy="all")  # WRONG
    await engine.apply(Child(Notebook, key="n"))  # WRONG
    await news.subscribe(engine.actor(Notebook, "n"), Notebook.weigh)  # WRONG
