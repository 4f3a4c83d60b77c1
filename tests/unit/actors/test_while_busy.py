"""Messages that come while an actor is in the midst of another: they steer, interrupt, wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest

from outlast import Actor, ActorRef, Engine, handler
from outlast.errors import ActorBusy, HandlerFailed, RegistrationError, UsageError
from outlast.types import WhileBusy
from tests.unit.actors import desk
from tests.unit.actors.desk import Desk

T = TypeVar("T")


def soon(asked: Coroutine[object, object, T]) -> asyncio.Task[T]:
    return asyncio.ensure_future(asked)


async def busy(engine: Engine, text: str) -> tuple[ActorRef[Desk], asyncio.Task[str]]:
    """Return an actor that is in the midst of its work on a text."""
    desk.expect(text)
    ref = engine.actor(Desk, "one")
    asked = soon(ref.ask(Desk.work, text))
    await desk.begun[text].wait()
    return ref, asked


async def test_a_message_that_steers_is_handled_within_the_one_that_waits(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref, first = await busy(engine, "a")

        assert await ref.options(while_busy="steer").ask(Desk.work, "b") == "taken"
        assert not first.done()
        desk.gates["a"].set()

        assert await first == "a"
        assert await ref.ask(Desk.lines) == ["steered by b", "did a"]


async def test_a_message_that_interrupts_has_its_turn_next_before_those_that_waited(
    url: str,
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref, first = await busy(engine, "a")
        waits = soon(ref.ask(Desk.work, "b"))
        await asyncio.sleep(0)
        urgent = soon(ref.options(while_busy="interrupt").ask(Desk.work, "c"))

        with pytest.raises(HandlerFailed, match="Stopped: a"):
            await first
        assert (await urgent, await waits) == ("c", "b")
        assert await ref.ask(Desk.lines) == ["interrupted by c", "gave up a", "did c", "did b"]


async def test_a_message_that_is_not_to_wait_is_refused_only_while_the_actor_is_busy(
    url: str,
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref, first = await busy(engine, "a")

        with pytest.raises(ActorBusy, match=r"desk\.Desk/one is in the midst"):
            await ref.options(while_busy="reject").ask(Desk.work, "b")
        await ref.options(while_busy="reject").tell(Desk.work, "c")
        desk.gates["a"].set()
        await first

        assert await ref.options(while_busy="reject").ask(Desk.work, "d") == "d"
        letters = [letter async for letter in engine.dead_letters()]
        assert [(letter.handler, letter.reason) for letter in letters] == [("work", "rejected")]
        assert await ref.ask(Desk.lines) == ["did a", "did d"]


async def test_messages_without_a_wish_and_those_of_other_handlers_wait_their_turn(
    url: str,
) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref, first = await busy(engine, "a")
        second = soon(ref.ask(Desk.work, "b"))
        third = soon(ref.ask(Desk.plain))
        desk.gates["a"].set()

        assert [await first, await second, await third] == ["a", "b", "plain"]
        assert await ref.ask(Desk.lines) == ["did a", "did b", "plain"]
        with pytest.raises(UsageError, match="plain takes no while_busy"):
            await ref.options(while_busy="steer").ask(Desk.plain)


async def test_a_steering_handler_that_raises_at_once_changes_nothing(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref, first = await busy(engine, "a")

        with pytest.raises(HandlerFailed, match="Refused: early"):
            await ref.ask(Desk.object_to, "early")
        with pytest.raises(HandlerFailed, match="Refused: late"):
            await ref.ask(Desk.object_to, "late")
        await ref.tell(Desk.object_to, "told")
        await ref.options(while_busy="steer").ask(Desk.work, "b")  # it comes after the one told
        letters = [letter async for letter in engine.dead_letters()]
        desk.gates["a"].set()
        await first

        assert [letter.error for letter in letters] == ["Refused: told"]
        # It had waited: what others have done since cannot be told apart from what it did.
        assert await ref.ask(Desk.lines) == ["objected to late", "steered by b", "did a"]


@pytest.mark.parametrize("policy", ["steer", "interrupt"])
async def test_they_come_in_at_the_same_place_after_a_crash(
    tmp_path: Path, policy: WhileBusy
) -> None:
    path = tmp_path / "o.db"
    async with Engine.open(path) as engine, asyncio.timeout(30):
        ref, first = await busy(engine, "a")
        desk.expect("b")
        other = soon(ref.options(while_busy=policy).ask(Desk.work, "b"))
        if policy == "steer":
            await other
        else:
            await desk.begun["b"].wait()
        await engine.drain("0s")
    await asyncio.gather(first, other, return_exceptions=True)
    for gate in desk.gates.values():
        gate.set()

    async with Engine.open(path) as engine, asyncio.timeout(30):
        ref = engine.actor(Desk, "one")
        await ref.ask(Desk.plain)
        lines = await ref.ask(Desk.lines)

    expected = {
        "steer": ["steered by b", "did a", "plain"],
        "interrupt": ["interrupted by b", "gave up a", "did b", "plain"],
    }
    assert lines == expected[policy]


def test_only_handlers_that_change_the_state_take_a_policy() -> None:
    with pytest.raises(RegistrationError, match="while_busy is one of"):

        class Odd(Actor[desk.Noted]):  # pyright: ignore[reportUnusedClass]  # it is refused
            @handler(read=True, while_busy="steer")
            async def look(self) -> None: ...


def test_an_unknown_policy_is_refused_where_it_is_given() -> None:
    ref: ActorRef[Desk] = ActorRef(desk.definition(), "one", None)

    with pytest.raises(UsageError, match="not 'shout'"):
        ref.options(while_busy="shout")  # type: ignore[arg-type]  # the mistake that is tested
