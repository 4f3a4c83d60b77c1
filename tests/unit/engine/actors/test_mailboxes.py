"""Full mailboxes, messages that fail, and what nobody will take any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outlast import Actor, ActorRef, Engine, actor, handler, limits, step
from outlast._store.rows import RunRow
from outlast.errors import MailboxFull, RegistrationError, RunNotFound, UnknownActor
from outlast.types import RunId


@dataclass
class Seen:
    numbers: list[int] = field(default_factory=list[int])


_gate: list[asyncio.Event] = []


@pytest.fixture(autouse=True)
def _closed_gate() -> None:
    _gate[:] = [asyncio.Event()]


@step
async def passes_the_gate() -> None:
    """Wait until the test opens the gate."""
    await _gate[0].wait()


class _Base(Actor[Seen]):
    """Takes numbers when the gate is open."""

    @handler
    async def take(self, number: int) -> None:
        await passes_the_gate()
        self.state.numbers.append(number)

    @handler
    async def count(self) -> list[int]:
        return self.state.numbers


@actor(mailbox=5)
class Rejecting(_Base, Actor[Seen]):
    """Refuses."""


@actor(mailbox=5, overflow="block")
class Blocking(_Base, Actor[Seen]):
    """Makes senders wait."""


@actor(mailbox=5, overflow="drop_oldest")
class Dropping(_Base, Actor[Seen]):
    """Drops."""


@actor(mailbox=5, overflow="dead_letter")
class Burying(_Base, Actor[Seen]):
    """Keeps what is too much apart."""


@actor(idle="0s", name="mailboxes.Fleeting")
class Fleeting(Actor[Seen]):
    """Is forgotten at once."""

    @handler
    async def hello(self) -> str:
        return "hello"


gate, gate_reached = asyncio.Event(), asyncio.Event()


@actor(mailbox=1, overflow="dead_letter")
class Gated(Actor[Seen]):
    """Handles one message until the gate opens."""

    @handler
    async def take(self) -> None:
        await waits_at_gate()

    @handler
    async def count(self) -> int:
        return 0


@step
async def waits_at_gate() -> None:
    """Wait until the test opens the gate."""
    gate_reached.set()
    await gate.wait()


_fails: list[bool] = []


@actor(attempts=2)
class Poisoned(Actor[Seen]):
    """Cannot take one message."""

    @handler
    async def take(self, number: int) -> None:
        self.state.numbers.append(number)
        if number == 13 and _fails:
            raise ValueError("thirteen")

    @handler
    async def count(self) -> list[int]:
        return self.state.numbers


async def all_of(engine: Engine) -> list[tuple[str, str, int]]:
    return [(x.reason, x.handler, x.attempts) async for x in engine.dead_letters()]


async def when_there_is_room(target: ActorRef[Rejecting]) -> list[int]:
    """Ask until the mailbox takes the question."""
    while True:
        try:
            return await target.ask(Rejecting.count)
        except MailboxFull:
            await asyncio.sleep(0.01)


async def test_a_burst_is_refused_and_what_was_taken_arrives(engine: Engine) -> None:
    target = engine.actor(Rejecting, "r")
    taken: list[int] = []
    for number in range(30):
        try:
            await target.tell(Rejecting.take, number)
        except MailboxFull:
            continue
        taken.append(number)
    _gate[0].set()

    assert 5 <= len(taken) < 30
    assert await when_there_is_room(target) == taken
    assert await all_of(engine) == []


async def test_a_sender_that_is_blocked_goes_on_when_there_is_room(engine: Engine) -> None:
    target = engine.actor(Blocking, "b")
    asyncio.get_running_loop().call_later(0.05, _gate[0].set)

    for number in range(15):
        await target.tell(Blocking.take, number)

    assert await target.ask(Blocking.count) == list(range(15))


async def test_the_oldest_is_dropped_for_the_newest(engine: Engine) -> None:
    target = engine.actor(Dropping, "d")

    for number in range(30):
        await target.tell(Dropping.take, number)
    _gate[0].set()

    kept = await target.ask(Dropping.count)
    dropped = await all_of(engine)
    assert kept[-1] == 29
    assert kept == sorted(kept)
    assert len(kept) + len(dropped) == 30
    assert {reason for reason, _, _ in dropped} == {"dropped"}


async def test_what_is_too_much_is_a_dead_letter(engine: Engine) -> None:
    target = engine.actor(Burying, "d")

    for number in range(30):
        await target.tell(Burying.take, number)
    _gate[0].set()

    for _ in range(1_000):  # a question is too much as well while the mailbox is full
        if not (await engine.actor_info(Burying, "d")).waiting:
            break
        await asyncio.sleep(0.01)
    kept = await target.ask(Burying.count)
    buried = await all_of(engine)
    assert kept[0] == 0
    assert kept == sorted(kept)
    assert len(kept) + len(buried) == 30
    assert {reason for reason, _, _ in buried} == {"overflow"}


async def test_who_asks_a_full_mailbox_is_told_at_once_that_it_is_a_dead_letter(
    engine: Engine,
) -> None:
    target = engine.actor(Gated, "g")
    await target.tell(Gated.take)
    await gate_reached.wait()
    await target.tell(Gated.take)

    with pytest.raises(MailboxFull, match="is a dead letter") as told:
        await asyncio.wait_for(target.ask(Gated.count), 30)

    gate.set()
    assert (told.value.run_id, told.value.limit) == (target.id, 1)
    assert told.value.is_dead_letter
    [(reason, _, _)] = await all_of(engine)
    assert reason == "overflow"


async def test_a_poisonous_message_stops_nobody_and_can_be_sent_again(engine: Engine) -> None:
    _fails.append(True)
    target = engine.actor(Poisoned, "p")
    for number in (12, 13, 14):
        await target.tell(Poisoned.take, number)

    assert await target.ask(Poisoned.count) == [12, 14]
    [letter] = [x async for x in engine.dead_letters(target)]
    assert (letter.reason, letter.attempts, letter.handler) == ("failed", 2, "take")
    assert letter.error == "ValueError: thirteen"

    _fails.clear()
    await engine.redrive(letter.number)
    assert await target.ask(Poisoned.count) == [12, 14, 13]
    assert await all_of(engine) == []
    with pytest.raises(RunNotFound):
        await engine.redrive(letter.number)


async def test_what_actors_there_are(engine: Engine) -> None:
    _gate[0].set()
    for key in ("a", "b"):
        await engine.actor(Poisoned, key).ask(Poisoned.take, 1)
    await engine.actor(Blocking, "c").ask(Blocking.take, 1)

    found = [info async for info in engine.actors(Poisoned)]
    info = await engine.actor_info(Poisoned, "a")

    assert sorted(i.key for i in found) == ["a", "b"]
    assert len([i async for i in engine.actors()]) == 3
    assert (info.waiting, info.oldest_at, info.state) == (0, None, {"numbers": [1]})
    assert [i.id async for i in engine.runs()] == []
    with pytest.raises(RunNotFound):
        await engine.actor_info(Poisoned, "nobody")


def test_what_cannot_be_declared_is_refused() -> None:
    class NoState:
        pass

    class NoType(Actor):  # type: ignore[type-arg]  # the point of the test
        pass

    for wrong in (NoState, NoType):
        with pytest.raises(RegistrationError):
            actor(wrong)
    with pytest.raises(RegistrationError):
        actor(mailbox=0)(Poisoned)


async def test_a_class_that_is_not_declared_is_no_actor(engine: Engine) -> None:
    with pytest.raises(UnknownActor):
        engine.actor(_Base, "x")


async def test_an_idle_actors_row_leaves_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ACTOR_SWEEP_SECONDS", 0.01)
    read = list[RunId]()
    async with Engine.open(tmp_path / "a.db") as engine:
        store, actors = engine._core.store, engine._core.actors
        actor_id = RunId("mailboxes.Fleeting/a")
        read_run = store.read_run

        async def counted(run: RunId) -> RunRow | None:
            read.append(run)
            return await read_run(run)

        monkeypatch.setattr(store, "read_run", counted)
        for _ in range(2):
            assert await engine.actor(Fleeting, "a").ask(Fleeting.hello) == "hello"
            async with asyncio.timeout(30):
                # What must read the actor's row to create it knows nothing of it any more.
                while actors.resting.start_of(actor_id) is None:  # noqa: ASYNC110  # no event
                    await asyncio.sleep(0.01)

    assert read == ["mailboxes.Fleeting/a"]


@actor(attempts=1_100)
class Stubborn(Actor[Seen]):
    """Never gives up early."""

    @handler
    async def take(self, number: int) -> None:
        raise ValueError(number)


async def test_attempts_without_end_do_come_to_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ACTOR_RETRY_SECONDS", 0.0)

    await engine.actor(Stubborn, "a").tell(Stubborn.take, 1)
    async with asyncio.timeout(30):
        while not (dead := await all_of(engine)):
            await engine.actor(Fleeting, "b").ask(Fleeting.hello)

    assert dead == [("failed", "take", 1_100)]
