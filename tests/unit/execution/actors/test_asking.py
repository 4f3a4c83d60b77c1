"""Handlers that ask people and other programs: tokens and approvals of an actor's message."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from outlast import Actor, Engine, actor, handler, wf
from outlast.errors import DecodingError, HandlerFailed, TokenClosed
from tests.unit.engine.drawing import asked


@dataclass
class Offer:
    """What the outside offers."""

    cents: int


@dataclass
class Ledger:
    """What was decided."""

    lines: list[str] = field(default_factory=list[str])


@actor
class Clerk(Actor[Ledger]):
    """Asks before it writes."""

    @handler
    async def refund(self, cents: int, timeout: str | None = None) -> list[object]:
        said = await wf.approve(f"Refund {cents}?", detail={"cents": cents}, timeout=timeout)
        self.state.lines.append(f"{cents} {said.approved} {said.by}")
        return [said.approved, said.by, said.reason]

    @handler
    async def buy(self, timeout: str | None = None) -> int:
        offer = await wf.token(Offer, timeout=timeout).wait()
        self.state.lines.append(f"bought for {offer.cents}")
        return offer.cents

    @handler
    async def ask_and_leave(self) -> str:
        wf.token(Offer)
        await wf.sleep(0.001)
        return "left"

    @handler
    async def ask_and_fail(self) -> str:
        if (await wf.approve("Again?")).approved:
            raise ValueError("it did not work")
        return "given up"

    @handler
    async def lines(self) -> list[str]:
        return self.state.lines


async def test_a_handler_asks_and_goes_on_with_the_answer(engine: Engine) -> None:
    clerk = engine.actor(Clerk, "ann")
    answer = asyncio.create_task(clerk.ask(Clerk.refund, 40))
    info = (await asked(engine))[0]

    await engine.approve(info.id, by="bob", reason="fine")

    assert await answer == [True, "bob", "fine"]
    assert (info.title, info.detail, info.kind) == ("Refund 40?", {"cents": 40}, "approval")
    assert await clerk.ask(Clerk.lines) == ["40 True bob"]
    assert [token async for token in engine.tokens()] == []


async def test_messages_behind_wait_for_the_answer(engine: Engine) -> None:
    clerk = engine.actor(Clerk, "ann")
    first = asyncio.create_task(clerk.ask(Clerk.refund, 1))
    (info,) = await asked(engine)
    await clerk.tell(Clerk.refund, 2, "50ms")

    await engine.reject(info.id, by="bob")

    assert (await first)[0] is False
    assert await clerk.ask(Clerk.lines) == ["1 False bob", "2 False None"]


async def test_nobody_answers_in_time(engine: Engine) -> None:
    clerk = engine.actor(Clerk, "ann")

    assert await clerk.ask(Clerk.refund, 40, "20ms") == [False, None, ""]
    with pytest.raises(HandlerFailed, match="was not answered in time"):
        await clerk.ask(Clerk.buy, "20ms")


async def test_a_handler_that_asks_goes_on_after_a_restart(url: str) -> None:
    async with Engine.open(url) as engine:
        await engine.actor(Clerk, "ann").tell(Clerk.buy)
        (before,) = await asked(engine)

    async with Engine.open(url) as engine:
        (after,) = await asked(engine)
        await engine.answer(after.id, {"cents": 7})

        assert before.id == after.id
        clerk = engine.actor(Clerk, "ann")
        assert await clerk.ask(Clerk.lines) == ["bought for 7"]


async def test_an_answer_is_checked_and_wakes_an_actor_that_left_memory(url: str) -> None:
    async with Engine.open(url, live_runs_max=1) as engine:
        clerks = [engine.actor(Clerk, key) for key in ("ann", "bob", "cid")]
        asks = [asyncio.create_task(clerk.ask(Clerk.buy)) for clerk in clerks]
        for info in await asked(engine, 3):
            with pytest.raises(DecodingError, match="cents"):
                await engine.answer(info.id, {"cents": "seven"})
            await engine.answer(info.id, {"cents": 7})

        assert await asyncio.gather(*asks) == [7, 7, 7]


async def test_what_a_message_leaves_open_is_closed_with_it(engine: Engine) -> None:
    clerk = engine.actor(Clerk, "ann")
    assert await clerk.ask(Clerk.ask_and_leave) == "left"

    everything = [info async for info in engine.tokens(open_only=False)]

    assert [info.status for info in everything] == ["closed"]
    with pytest.raises(TokenClosed):
        await engine.answer(everything[0].id, {"cents": 7})


async def test_another_attempt_asks_anew(engine: Engine) -> None:
    await engine.actor(Clerk, "ann").tell(Clerk.ask_and_fail)
    (first,) = await asked(engine)
    await engine.approve(first.id, by="bob")

    (second,) = await asked(engine)
    await engine.reject(second.id, by="bob")

    assert first.id != second.id


async def test_a_stopped_actor_asks_nobody(engine: Engine) -> None:
    clerk = engine.actor(Clerk, "ann")
    await clerk.tell(Clerk.refund, 1)
    (info,) = await asked(engine)

    await engine.get(info.run).terminate()

    await asked(engine, 0)
    with pytest.raises(TokenClosed):
        await engine.approve(info.id, by="bob")


async def test_a_volatile_actor_and_a_reader_cannot_ask(engine: Engine) -> None:
    with pytest.raises(HandlerFailed, match="NotInRun"):
        await engine.actor(Peeker, "x").ask(Peeker.peek)
    with pytest.raises(HandlerFailed):
        await engine.actor(Light, "x").ask(Light.peek)


@actor
class Peeker(Actor[Ledger]):
    """Asks where it may only look."""

    @handler(read=True)
    async def peek(self) -> bool:
        return (await wf.approve("?")).approved


@actor(durable=False)
class Light(Actor[Ledger]):
    """Keeps nothing."""

    @handler
    async def peek(self) -> bool:
        return (await wf.approve("?")).approved
