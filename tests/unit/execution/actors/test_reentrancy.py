"""Asks that come back: refused, or handled as part of the message that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outlast import Actor, Engine, actor, handler, step, wf
from outlast.errors import AskTimeout, HandlerFailed, RegistrationError
from tests.unit.actors.crew import seen

_gates: list[asyncio.Event] = []


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    _gates.clear()
    yield
    _gates.clear()


@step
async def note(what: str) -> None:
    """Count in the world outside."""
    seen.add(what)
    if _gates:
        await _gates[0].wait()


@dataclass
class Lines:
    lines: list[str] = field(default_factory=list[str])


@actor(reentrant="chain")
class Open(Actor[Lines]):
    """Lets asks back in."""

    @handler
    async def outer(self, how: str, fail: bool = False) -> list[str]:
        self.state.lines.append("before")
        await wf.actor(Helper, "h").ask(Helper.help, self.key, how)
        self.state.lines.append("after")
        if fail:
            raise ValueError("the outer one fails")
        return self.state.lines

    @handler
    async def inner(self, how: str) -> int:
        self.state.lines.append(f"inner for {self.sender.rpartition('/')[2]}")
        if how == "step":
            await note("inner step")
        if how == "fail":
            raise ValueError("the inner one fails")
        return len(self.state.lines)

    @handler
    async def lines(self) -> list[str]:
        return self.state.lines

    @handler
    async def who(self) -> str:
        await wf.actor(Helper, "h").ask(Helper.help, self.key, "plain")
        return self.sender


@actor
class Closed(Open):
    """Refuses them."""


@actor
class Helper(Actor[Lines]):
    """Asks back."""

    @handler
    async def help(self, key: str, how: str) -> int:
        asked = wf.actor(Closed if key == "closed" else Open, key)
        try:
            return await asked.ask(Open.inner, how)
        except HandlerFailed as failed:
            self.state.lines.append(failed.message)
            return 0


async def test_an_ask_that_comes_back_is_part_of_the_message_that_waits(engine: Engine) -> None:
    lines = await engine.actor(Open, "a").ask(Open.outer, "step")

    assert lines == ["before", "inner for h", "after"]
    assert await engine.actor(Open, "a").ask(Open.lines) == lines
    assert seen.events == ["inner step"]


async def test_its_sender_is_there_for_its_own_time(engine: Engine) -> None:
    assert await engine.actor(Open, "a").ask(Open.who) == ""


async def test_one_that_fails_changes_nothing_and_the_outer_one_goes_on(engine: Engine) -> None:
    assert await engine.actor(Open, "a").ask(Open.outer, "fail") == ["before", "after"]


async def test_what_it_did_is_undone_with_the_outer_one(engine: Engine) -> None:
    with pytest.raises(HandlerFailed):
        await engine.actor(Open, "a").ask(Open.outer, "plain", fail=True)

    assert await engine.actor(Open, "a").ask(Open.lines) == []


async def test_others_wait_meanwhile(engine: Engine) -> None:
    _gates[:] = [asyncio.Event()]
    a = engine.actor(Open, "a")
    await a.tell(Open.outer, "step")
    await seen.count("inner step")

    stranger = asyncio.ensure_future(a.ask(Open.inner, "plain"))
    await asyncio.sleep(0.05)
    assert not stranger.done()
    _gates[0].set()

    assert await stranger == 4


async def test_by_default_it_is_refused(engine: Engine) -> None:
    with pytest.raises(HandlerFailed, match="CallCycle"):
        await engine.actor(Closed, "closed").ask(Closed.outer, "plain")


async def test_a_crash_in_the_midst_replays_both(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    _gates[:] = [asyncio.Event()]
    async with Engine.open(path) as engine:
        await engine.actor(Open, "a").tell(Open.outer, "step")
        await seen.count("inner step")
        await engine.drain("0s")

    _gates.clear()
    async with Engine.open(path) as engine:
        assert await engine.actor(Open, "a").ask(Open.lines) == ["before", "inner for h", "after"]
        assert (await engine.actor_info(Open, "a")).waiting == 0
    assert seen.events.count("inner step") == 2


def test_only_durable_actors_can_let_them_in() -> None:
    with pytest.raises(RegistrationError):
        actor(reentrant="chain", durable=False)(Open)


@actor(reentrant="chain")
class Hasty(Actor[Lines]):
    """Does not wait for whom it asks for long."""

    @handler
    async def outer(self, number: int) -> None:
        asked = wf.actor(Returner, self.key).options(timeout="2ms")
        try:
            await asked.ask(Returner.come_back, self.key, number)
        except AskTimeout:
            self.state.lines.append(f"gave up {number}")

    @handler
    async def inner(self, number: int) -> int:
        return number


@actor
class Returner(Actor[Lines]):
    """Asks back."""

    @handler
    async def come_back(self, key: str, number: int) -> int:
        return await wf.actor(Hasty, key).ask(Hasty.inner, number)


async def test_an_ask_that_comes_back_too_late_is_answered_all_the_same(engine: Engine) -> None:
    hasty = [engine.actor(Hasty, f"h{number}") for number in range(40)]

    await asyncio.gather(*(one.ask(Hasty.outer, 1) for one in hasty))

    async with asyncio.timeout(30):
        for one in hasty:
            assert await engine.actor(Returner, one.key).ask(Returner.come_back, one.key, 2) == 2


@actor(reentrant="chain")
class Careful(Actor[Lines]):
    """Lets in what fails after it has sent something."""

    @handler
    async def outer(self) -> None:
        await wf.actor(Asker, "a").ask(Asker.ask_back, self.key)

    @handler
    async def inner(self) -> None:
        await wf.actor(Asker, "b").tell(Asker.note, "sent")
        self.stop()
        raise ValueError("nothing of it has happened")

    @handler
    async def lines(self) -> list[str]:
        return self.state.lines


@actor
class Asker(Actor[Lines]):
    """Asks back, and hears of failures."""

    @handler
    async def ask_back(self, key: str) -> None:
        with suppress(HandlerFailed):
            await wf.actor(Careful, key).ask(Careful.inner)

    @handler
    async def note(self, line: str) -> None:
        self.state.lines.append(line)

    @handler
    async def lines(self) -> list[str]:
        return self.state.lines


async def test_one_that_fails_has_sent_nothing_and_stops_nobody(engine: Engine) -> None:
    await engine.actor(Careful, "c").ask(Careful.outer)

    assert await engine.actor(Careful, "c").ask(Careful.lines) == []
    assert await engine.actor(Asker, "b").ask(Asker.lines) == []
