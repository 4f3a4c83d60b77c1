"""Actors in memory only: the same words, for the hot path."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from outlast import Actor, ActorRef, Engine, actor, handler, wf, workflow
from outlast.errors import (
    ActorStopped,
    AskTimeout,
    CallCycle,
    EngineClosed,
    HandlerFailed,
    MailboxFull,
    NotSupported,
)


@dataclass
class Seen:
    numbers: list[int] = field(default_factory=list[int])


_refs: dict[str, ActorRef[Hot]] = {}
_gates: list[asyncio.Event] = []


@actor(durable=False, mailbox=3)
class Hot(Actor[Seen]):
    """In memory only."""

    @handler
    async def add(self, number: int) -> int:
        self.state.numbers.append(number)
        return len(self.state.numbers)

    @handler
    async def add_later(self, number: int) -> str:
        await _gates[0].wait()
        await asyncio.sleep(0)
        self.state.numbers.append(number)
        return f"{self.key} of {self.sender}"

    @handler
    async def all(self) -> list[int]:
        return self.state.numbers

    @handler
    async def fail(self) -> None:
        raise ValueError("no")

    @handler
    async def pass_on(self, other: str) -> str:
        return await _refs[other].ask(Hot.add_later, 1)

    @handler
    async def ask_back(self, other: str) -> None:
        await _refs[other].ask(Hot.ask_back, self.key)

    @handler
    async def close(self) -> None:
        self.stop()


@actor(durable=False, mailbox=2, overflow="block")
class Waiting(Actor[Seen]):
    """Makes senders wait."""

    @handler
    async def add(self, number: int) -> None:
        await asyncio.sleep(0)
        self.state.numbers.append(number)

    @handler
    async def all(self) -> list[int]:
        return self.state.numbers


@pytest.fixture
async def hot(engine: Engine) -> ActorRef[Hot]:
    _gates[:] = [asyncio.Event()]
    _refs.update({key: engine.actor(Hot, key) for key in ("a", "b")})
    return _refs["a"]


async def test_it_answers_and_keeps_state_by_key(engine: Engine, hot: ActorRef[Hot]) -> None:
    assert [await hot.ask(Hot.add, n) for n in (5, 6)] == [1, 2]
    await hot.tell(Hot.add, 7)

    assert await hot.ask(Hot.all) == [5, 6, 7]
    assert await engine.actor(Hot, "b").ask(Hot.all) == []


async def test_one_message_at_a_time_in_order(hot: ActorRef[Hot]) -> None:
    later = asyncio.ensure_future(hot.ask(Hot.add_later, 1))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(hot.ask(Hot.add, 2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()

    _gates[0].set()

    assert await later == "a of "
    assert await second == 2
    assert await hot.ask(Hot.all) == [1, 2]


async def test_actors_ask_each_other(hot: ActorRef[Hot]) -> None:
    _gates[0].set()

    assert await hot.ask(Hot.pass_on, "b") == f"b of {hot.id}"
    with pytest.raises(HandlerFailed, match=CallCycle.__name__):
        await asyncio.wait_for(hot.ask(Hot.ask_back, "b"), 30)
    assert await hot.ask(Hot.add, 1) == 1


async def test_what_goes_wrong_is_told(hot: ActorRef[Hot]) -> None:
    with pytest.raises(HandlerFailed, match="ValueError: no"):
        await hot.ask(Hot.fail)
    with pytest.raises(AskTimeout):
        await hot.options(timeout="10ms").ask(Hot.add_later, 1)
    with pytest.raises(NotSupported):
        hot.options(priority=1)
    with pytest.raises(TypeError):
        await hot.ask(Hot.add)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # so


async def test_a_full_mailbox_refuses(hot: ActorRef[Hot]) -> None:
    first = asyncio.ensure_future(hot.ask(Hot.add_later, 0))
    for _ in range(3):
        await asyncio.sleep(0)
    for number in range(1, 4):
        await hot.tell(Hot.add, number)

    with pytest.raises(MailboxFull):
        await hot.tell(Hot.add, 4)

    _gates[0].set()
    await first
    assert await hot.ask(Hot.all) == [0, 1, 2, 3]


async def test_senders_wait_for_room(engine: Engine) -> None:
    waiting = engine.actor(Waiting, "w")

    await asyncio.gather(*(waiting.tell(Waiting.add, n) for n in range(50)))

    assert sorted(await waiting.ask(Waiting.all)) == list(range(50))


async def test_a_stopped_one_takes_nothing(hot: ActorRef[Hot]) -> None:
    await hot.ask(Hot.close)

    with pytest.raises(ActorStopped):
        await hot.ask(Hot.add, 1)


@workflow
async def asks_hot(key: str) -> int:
    """Ask from a workflow: recorded, as any step."""
    await wf.actor(Hot, key).tell(Hot.add, 1)
    return await wf.actor(Hot, key).ask(Hot.add, 2)


async def test_workflows_may_ask(engine: Engine) -> None:
    assert await engine.run(asks_hot("w"), timeout="30s") == 2


async def test_it_is_gone_with_the_engine(url: str) -> None:
    async with Engine.open(url) as engine:
        hot = engine.actor(Hot, "gone")
        await hot.ask(Hot.add, 1)
    async with Engine.open(url) as engine:
        assert await engine.actor(Hot, "gone").ask(Hot.all) == []
    with pytest.raises(EngineClosed):
        await hot.ask(Hot.all)
