"""Parameter defaults that change in the source while runs and messages are open."""

from __future__ import annotations

from pathlib import Path

from tests.unit.engine.versions import ran

PROGRAM = """
from dataclasses import dataclass, field
from outlast import Actor, Engine, IdempotencyMismatch, Signal, actor, handler, step, wf, workflow

go = Signal("go", int)
RATE = {rate}

@step
async def noted(rate: int) -> int:
    return rate

@workflow
async def price(net: int, rate: int = RATE) -> int:
    await go.receive()
    return net + rate

@workflow
async def parent() -> int:
    child = wf.start(price(100), id="child")
    return await child.result()

@workflow
async def tagged(tags: list[str] = []) -> int:
    tags.append("t")
    await go.receive()
    return len(tags)

@workflow
async def grown(net: int{added}) -> int:
    await go.receive()
    return net

@dataclass
class Total:
    cents: int = 0

@actor
class Box(Actor[Total]):
    @handler
    async def add(self, cents: int, rate: int = RATE) -> int:
        if self.state.cents == 0 and cents == 1:
            await asyncio.sleep(0.2)
        self.state.cents += cents + rate
        return self.state.cents

async def begin(engine):
    await engine.start(price(100), id="run")
    await engine.start(parent(), id="parent")
    await engine.start(grown(1), id="grown")
    for one in ("t1", "t2"):
        await engine.start(tagged(), id=one)
    box = engine.actor(Box, "b")
    await box.tell(Box.add, 1)
    await box.tell(Box.add, 2)

async def end(engine):
    for one in ("run", "child", "t1", "t2", "grown"):
        await engine.get(one).signal(go, 1)
    print(await engine.get("run", price).result(timeout=30))
    print(await engine.get("parent", parent).result(timeout=30))
    print(await engine.get("t1", tagged).result(timeout=30))
    print(await engine.get("t2", tagged).result(timeout=30))

async def attach(engine):
    print((await engine.start(grown(1), id="grown")).id)
    print((await engine.start(price(100, 19), id="run")).id)
    try:
        await engine.start(price(100), id="run")
    except IdempotencyMismatch as error:
        print(error)

async def total(engine):
    print(await engine.actor(Box, "b").ask(Box.add, 0, 0))
"""


def program(rate: int, added: str = "") -> str:
    """Return the program as it is with a default rate."""
    return PROGRAM.replace("{rate}", f"{rate}").replace("{added}", added)


def test_an_open_run_keeps_the_default_that_it_started_with(tmp_path: Path) -> None:
    ran(tmp_path, program(19), "begin")

    lines = ran(tmp_path, program(20), "end")

    assert lines[:2] == ["119", "119"]


def test_a_mutable_default_is_not_shared_between_runs(tmp_path: Path) -> None:
    ran(tmp_path, program(19), "begin")

    lines = ran(tmp_path, program(19), "end")

    assert lines[2:4] == ["1", "1"]


def test_accepted_messages_keep_the_default_that_they_were_sent_with(tmp_path: Path) -> None:
    ran(tmp_path, program(19), "begin")

    assert ran(tmp_path, program(1_000), "total") == ["41"]


def test_a_start_is_the_same_only_if_it_has_the_same_input_today(tmp_path: Path) -> None:
    ran(tmp_path, program(19), "begin")

    lines = ran(tmp_path, program(20, added=", note: str = 'none'"), "attach")

    assert lines[:2] == ["grown", "run"]
    assert "rate" in lines[2]
    assert "19" in lines[2]
    assert "20" in lines[2]
