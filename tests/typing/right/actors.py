"""Actors: what a handler takes and gives is known wherever it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_type

from outlast import (
    Actor,
    ActorRef,
    Child,
    Engine,
    MemberInfo,
    Stopped,
    Supervisor,
    Topic,
    actor,
    handler,
    wf,
    workflow,
)


@dataclass
class Notes:
    items: list[str] = field(default_factory=list[str])


@actor
class Notebook(Actor[Notes]):
    @handler
    async def add(self, text: str, *, twice: bool = False) -> int:
        self.state.items.append(text)
        assert_type(self.state, Notes)
        return await self.length()

    @handler
    async def note(self, text: str) -> None:
        await self.reminder(every="1h", name="note").tell(Notebook.add, text, twice=True)
        self.watch(wf.actor(Diary, text))

    @handler
    async def stopped(self, event: Stopped) -> None:
        assert_type(event.actor, str)

    @handler(read=True)
    async def length(self) -> int:
        return len(self.state.items)


@actor(mailbox=10, overflow="block")
class Diary(Notebook):
    @handler
    async def sign(self) -> str:
        return self.key


@workflow
async def writes() -> int:
    return await wf.actor(Notebook, "w").ask(Notebook.add, "x", twice=True)


async def main(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")
    assert_type(notes, ActorRef[Notebook])
    assert_type(await notes.ask(Notebook.add, "x"), int)
    await notes.options(timeout="2s", priority=1).tell(Notebook.add, text="x")
    diary = engine.actor(Diary, "d")
    assert_type(await diary.ask(Diary.sign), str)
    assert_type(await diary.ask(Notebook.add, "of the base"), int)


news = Topic("right.news", str)
team = Supervisor(
    "team",
    [
        Child(Notebook, key="n", restart="on_failure", significant=True),
        Child(writes(), key="w"),
        Supervisor("inner", [Child(Diary, key="d")], strategy="rest_for_one", within="10s"),
    ],
    on_exhausted="park",
)


async def teams(engine: Engine) -> None:
    applied = await engine.apply(team)
    assert_type(applied.failed, Mapping[str, str])
    async for one in engine.teams():
        assert_type(one.members, tuple[MemberInfo, ...])
    await news.subscribe(engine.actor(Notebook, "n"), Notebook.note)
