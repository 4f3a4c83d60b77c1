"""The state that an actor begins with: found again by another life, and by other code."""

from __future__ import annotations

from pathlib import Path

from tests.unit.engine.versions import ran

PROGRAM = """
import random, secrets, uuid
from dataclasses import dataclass, field
from outlast import Actor, Engine, Signal, actor, handler, step, wf, workflow
from outlast.errors import OutlastError

@dataclass
class Purse:
    balance: int = {balance}
    account: str = field(default_factory=lambda: str(uuid.uuid4()))
    paid: int = 0
    paid_from: str = ""

@step
async def pay(cents: int) -> int:
    return cents

@actor
class Payer(Actor[Purse]):
    @handler
    async def go(self) -> None:
        account = self.state.account
        cents = await pay(self.state.balance)
        await wf.sleep(2)  # begin() must see it wait
        self.state.balance -= cents
        self.state.paid += cents
        self.state.paid_from = account

    @handler(read=True)
    async def all(self) -> Purse:
        return self.state

@actor
class Opener(Actor[str]):
    @classmethod
    def initial(cls) -> str:
        return open("app.py").read()

    @handler
    async def text(self) -> str:
        return self.state

async def begin(engine):
    payer = engine.actor(Payer, "p")
    await payer.tell(Payer.go)
    async with asyncio.timeout(30):
        while "timer" not in await engine.get("app.Payer/p").why():
            await asyncio.sleep(0.01)
    os._exit(0)

async def end(engine):
    payer = engine.actor(Payer, "p")
    async with asyncio.timeout(30):
        while not (purse := await payer.ask(Payer.all)).paid:
            await asyncio.sleep(0.01)
    print(purse.balance, purse.paid, purse.account == purse.paid_from)

async def read(engine):
    one = await engine.actor(Payer, "new").ask(Payer.all)
    print(one.account)

async def opens(engine):
    await engine.actor(Opener, "o").tell(Opener.text)
    async with asyncio.timeout(30):
        while "parked" not in (why := await engine.get("app.Opener/o").why()):
            await asyncio.sleep(0.01)
    print(why)
"""


def program(balance: int) -> str:
    return PROGRAM.replace("{balance}", f"{balance}")


def test_a_first_message_that_is_replayed_finds_the_state_that_it_found(tmp_path: Path) -> None:
    ran(tmp_path, program(100), "begin")

    after = program(200)
    assert ran(tmp_path, after, "end") == ["0 100 True"]


def test_chance_in_an_initial_state_is_drawn_from_the_actor(tmp_path: Path) -> None:
    first = ran(tmp_path, program(100), "read")

    assert ran(tmp_path, program(100), "read") == first


def test_an_initial_state_that_reaches_for_what_replay_cannot_repeat_parks_the_actor(
    tmp_path: Path,
) -> None:
    [why] = ran(tmp_path, program(100), "opens")

    assert "open()" in why


READS = """
from dataclasses import dataclass
from outlast import Actor, Engine, actor, handler

@dataclass
class State:
    n: int = 0{added}

@actor
class Counter(Actor[State]):
    @handler
    async def add(self) -> None:
        self.state.n += 1

    @handler(read=True)
    async def one(self) -> int:
        return 1

    @handler(read=True)
    async def changes(self) -> int:
        self.state.n += 1
        return self.state.n

async def write(engine):
    await engine.actor(Counter, "c").ask(Counter.add)

async def read(engine):
    print(await engine.actor(Counter, "c").ask(Counter.one))
    try:
        await engine.actor(Counter, "c").ask(Counter.changes)
    except Exception as error:
        print("reads only" in str(error))
"""


def test_a_reading_handler_works_on_a_state_of_another_version(tmp_path: Path) -> None:
    ran(tmp_path, READS.replace("{added}", ""), "write")

    after = READS.replace("{added}", "\n    m: int = 0")
    assert ran(tmp_path, after, "read") == ["1", "True"]
