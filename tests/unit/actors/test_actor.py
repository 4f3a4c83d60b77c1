"""What an actor promises: state under a key, changed by one message at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import pytest

from outlast import Actor, ActorRef, Engine, actor, handler, step, wf, workflow
from outlast._handles.actor_ref import Handler
from outlast.errors import (
    ActorStopped,
    AskTimeout,
    HandlerFailed,
    MailboxFull,
    UnknownActor,
    UsageError,
)


@dataclass
class Notes:
    items: list[str] = field(default_factory=list[str])


@step
async def shout(text: str) -> str:
    """Do something outside."""
    await asyncio.sleep(0.001)
    return text.upper()


@actor
class Notebook(Actor[Notes]):
    """Keeps lines of text."""

    @handler
    async def add(self, text: str) -> int:
        self.state.items.append(text)
        return len(self.state.items)

    @handler
    async def add_loudly(self, text: str) -> str:
        self.state.items.append("begun")
        loud = await shout(text)
        await asyncio.sleep(0.001)
        self.state.items[-1] = loud
        return f"{self.key}: {loud}"

    @handler
    async def add_and_fail(self, text: str) -> None:
        self.state.items.append(text)
        await shout(text)
        raise ValueError(f"no {text}")

    @handler(read=True)
    async def all(self) -> list[str]:
        return self.state.items

    @handler(read=True)
    async def cheat(self) -> None:
        self.state.items.append("cheated")

    @handler
    async def close(self) -> None:
        self.stop()

    @handler
    async def copy_to(self, other: str) -> int:
        for item in self.state.items:
            await wf.actor(Notebook, other).tell(Notebook.add, item)
        return len(self.state.items)

    @handler
    async def ask_other(self, other: str, text: str) -> int:
        return await wf.actor(Notebook, other).ask(Notebook.add, text)

    @handler
    async def ask_in_a_circle(self, other: str) -> None:
        await wf.actor(Notebook, other).ask(Notebook.ask_other, self.key, "never")


async def test_state_is_kept_by_key(engine: Engine) -> None:
    alice, bob = engine.actor(Notebook, "alice"), engine.actor(Notebook, "bob")

    assert [await alice.ask(Notebook.add, text) for text in ("a", "b")] == [1, 2]
    assert await bob.ask(Notebook.add, "c") == 1

    assert await alice.ask(Notebook.all) == ["a", "b"]
    assert await bob.ask(Notebook.all) == ["c"]


async def test_what_was_told_is_handled_in_order(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")

    for number in range(50):
        await notes.tell(Notebook.add, f"{number}")

    assert await notes.ask(Notebook.add, "end") == 51
    assert await notes.ask(Notebook.all) == [*(f"{n}" for n in range(50)), "end"]


async def test_a_handler_may_wait_and_others_wait_for_it(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")

    loud, length = await asyncio.gather(
        notes.ask(Notebook.add_loudly, "x"), notes.ask(Notebook.add, "y")
    )

    assert (loud, length) == ("n: X", 2)
    assert await notes.ask(Notebook.all) == ["X", "y"]


async def test_a_handler_that_raises_changes_nothing(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")
    await notes.ask(Notebook.add, "kept")

    with pytest.raises(HandlerFailed, match="ValueError: no bad") as raised:
        await notes.ask(Notebook.add_and_fail, "bad")

    assert raised.value.type_name == "ValueError"
    assert await notes.ask(Notebook.all) == ["kept"]


async def test_a_reading_handler_changes_nothing(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")

    with pytest.raises(HandlerFailed, match="reads only"):
        await notes.ask(Notebook.cheat)

    assert await notes.ask(Notebook.all) == []


async def test_a_stopped_actor_takes_nothing(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")
    await notes.ask(Notebook.close)

    with pytest.raises(ActorStopped):
        await notes.tell(Notebook.add, "late")
    with pytest.raises(ActorStopped):
        await notes.ask(Notebook.add, "late")
    with pytest.raises(UsageError, match="is an actor"):
        await engine.get(notes.id).result("30s")


async def test_actors_write_to_each_other(engine: Engine) -> None:
    first, second = engine.actor(Notebook, "first"), engine.actor(Notebook, "second")
    await first.ask(Notebook.add, "a")
    await first.ask(Notebook.add, "b")

    assert await first.ask(Notebook.copy_to, "second") == 2
    assert await first.ask(Notebook.ask_other, "second", "c") == 3

    assert await second.ask(Notebook.all) == ["a", "b", "c"]


async def test_a_circle_of_asks_is_refused_at_once(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n").options(timeout="30s")

    with pytest.raises(HandlerFailed, match="CallCycle"):
        await notes.ask(Notebook.ask_other, "n", "x")
    with pytest.raises(HandlerFailed, match="CallCycle"):
        await notes.ask(Notebook.ask_in_a_circle, "m")
    assert await notes.ask(Notebook.add, "fine") == 1


@workflow
async def writes_notes(key: str, count: int) -> list[int]:
    """Ask and tell from a workflow."""
    notes = wf.actor(Notebook, key)
    await notes.tell(Notebook.add, "told")
    return [await notes.ask(Notebook.add, f"{n}") for n in range(count)]


async def test_workflows_write_to_actors(engine: Engine) -> None:
    assert await engine.run(writes_notes("w", 3), timeout="30s") == [2, 3, 4]


async def test_a_dedup_key_is_handled_once(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n").options(dedup="once")

    answers = [await notes.ask(Notebook.add, "x") for _ in range(3)]
    await notes.tell(Notebook.add, "x")

    assert answers == [1, 1, 1]
    assert await engine.actor(Notebook, "n").ask(Notebook.all) == ["x"]


async def test_a_delayed_message_comes_later(engine: Engine) -> None:
    notes = engine.actor(Notebook, "n")
    await notes.options(delay="1s").tell(Notebook.add, "later")
    await notes.ask(Notebook.add, "now")

    assert await notes.options(delay=timedelta(seconds=2)).ask(Notebook.add, "last") == 3
    assert await notes.ask(Notebook.all) == ["now", "later", "last"]


class Gate:
    """What holds a step up until a test lets it go."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_reached = asyncio.Event()


_gates: list[Gate] = []


@pytest.fixture
async def gate() -> Gate:
    """A closed gate."""
    _gates[:] = [Gate()]
    return _gates[0]


@step
async def pass_gate() -> None:
    """Wait until the gate is open."""
    _gates[0].is_reached.set()
    await _gates[0].is_open.wait()


@actor(mailbox=3)
class Slow(Actor[list[int]]):
    """Takes its time."""

    @handler
    async def take(self, number: int) -> None:
        await pass_gate()
        self.state.append(number)

    @handler(read=True)
    async def taken(self) -> list[int]:
        return self.state


async def test_higher_priority_comes_first(engine: Engine, gate: Gate) -> None:
    slow = engine.actor(Slow, "s")
    await slow.tell(Slow.take, 0)
    await gate.is_reached.wait()
    await slow.tell(Slow.take, 1)
    await slow.options(priority=5).tell(Slow.take, 2)
    gate.is_open.set()

    await taken_by(slow, 3)
    assert await slow.ask(Slow.taken) == [0, 2, 1, 3]


async def taken_by(slow: ActorRef[Slow], number: int) -> None:
    """Have one more taken, as soon as there is room."""
    for _ in range(1_000):
        try:
            await slow.ask(Slow.take, number)
        except MailboxFull:
            await asyncio.sleep(0.01)
        else:
            return


async def test_a_full_mailbox_refuses(engine: Engine, gate: Gate) -> None:
    slow = engine.actor(Slow, "s")
    for number in range(3):
        await slow.tell(Slow.take, number)

    with pytest.raises(MailboxFull):
        await slow.tell(Slow.take, 3)

    gate.is_open.set()
    await taken_by(slow, 4)
    assert await slow.ask(Slow.taken) == [0, 1, 2, 4]


async def test_an_ask_has_a_deadline(engine: Engine, gate: Gate) -> None:
    slow = engine.actor(Slow, "s")
    await slow.tell(Slow.take, 0)

    with pytest.raises(AskTimeout):
        await slow.options(timeout="20ms").ask(Slow.take, 1)

    gate.is_open.set()
    await taken_by(slow, 2)
    assert await slow.ask(Slow.taken) == [0, 2]
    assert [x.reason async for x in engine.dead_letters()] == ["expired"]


async def test_state_outlasts_the_engine(url: str) -> None:
    async with Engine.open(url) as engine:
        notes = engine.actor(Notebook, "n")
        await notes.ask(Notebook.add, "a")
        await notes.options(delay="50ms").tell(Notebook.add, "b")
        await notes.tell(Notebook.add_loudly, "c")
    await asyncio.sleep(0.1)
    async with Engine.open(url) as engine:
        notes = engine.actor(Notebook, "n")

        for _ in range(1_000):
            if len(await notes.ask(Notebook.all)) == 3:
                break
            await asyncio.sleep(0.01)
        assert sorted(await notes.ask(Notebook.all)) == ["C", "a", "b"]


@actor
class Introducer(Actor[Notes]):
    """Writes to whom it is told of."""

    @handler
    async def introduce(self, other: ActorRef[Notebook], text: str) -> ActorRef[Notebook]:
        await other.tell(Notebook.add, text)
        return other


async def test_a_reference_to_an_actor_is_a_value(engine: Engine) -> None:
    alice = engine.actor(Notebook, "alice/2")

    same = await engine.actor(Introducer, "i").ask(Introducer.introduce, alice, "hello")

    assert same == alice
    assert await alice.ask(Notebook.add, "again") == 2


async def test_what_names_no_message_is_refused(engine: Engine) -> None:
    alice = engine.actor(Notebook, "alice")
    with pytest.raises(UsageError, match="a message is named by a handler"):
        await alice.ask(cast("Handler[Notebook, [str], int]", "add"), "x")
    with pytest.raises(UnknownActor):
        await alice.ask(cast("Handler[Notebook, [], None]", Introducer.introduce))
    for timeout in (-1, "0s"):
        with pytest.raises(UsageError):
            alice.options(timeout=timeout)
    with pytest.raises(UsageError):
        alice.options(delay=-1)
    with pytest.raises(UsageError):
        await engine.redrive(cast("int", "x"))
