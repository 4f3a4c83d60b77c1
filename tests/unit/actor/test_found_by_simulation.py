"""What the simulations of actors found: each was wrong once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outlast import Actor, Engine, actor, handler, limits, step
from outlast._engine.open_engine import EngineCore
from outlast._execution.journal.letters import Letter, encode_letter
from outlast._handles.actor_ref import ActorRef
from outlast._registry import default_registry
from outlast._store.contract import Message
from outlast.errors import ActorStopped
from outlast.testing.machines import FaultPlan, Yard
from outlast.types import RunId


@dataclass
class Seen:
    numbers: list[int] = field(default_factory=list[int])


_gates: list[asyncio.Event] = []


@step
async def waits_at_the_gate() -> None:
    await _gates[0].wait()


@actor
class Patient(Actor[Seen]):
    @handler
    async def take(self, number: int) -> list[int]:
        self.state.numbers.append(number)
        return self.state.numbers

    @handler
    async def stop_soon(self) -> None:
        self.stop()
        await asyncio.sleep(1)

    @handler
    async def take_after_the_gate(self, number: int) -> list[int]:
        await waits_at_the_gate()
        return await self.take(number)


@actor(mailbox=1, overflow="dead_letter")
class Small(Patient, Actor[Seen]):
    """Has room for one."""


async def test_a_copy_of_what_was_handled_is_no_dead_letter(engine: Engine) -> None:
    _gates[:] = [asyncio.Event()]
    small = engine.actor(Small, "s")
    assert await small.options(dedup="k").ask(Small.take, 1) == [1]
    await small.tell(Small.take_after_the_gate, 2)
    await small.tell(Small.take, 3)

    # As sent by one who looked for an outcome just before there was one.
    found = default_registry.find_actor(Small).handlers["take"]
    args = found.signature.encode(found.signature.bind((1,), {}))
    letter = encode_letter(Letter(args=args))
    copy = Message(run=RunId(small.id), kind="tell", name="take", body=letter, dedup="k")
    await engine._core.actors._commit(copy, None)
    _gates[0].set()

    assert await small.options(dedup="k").ask(Small.take, 1) == [1]
    assert [letter async for letter in engine.dead_letters()] == []


async def test_a_mailbox_longer_than_one_reading_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_READ_MAX", 3)
    _gates[:] = [asyncio.Event()]
    async with Engine.open(tmp_path / "outlast.db") as engine:
        patient = engine.actor(Patient, "p")
        await patient.tell(Patient.take_after_the_gate, 0)
        for number in range(1, 10):
            await patient.tell(Patient.take, number)
        await engine.drain("0s")

    _gates[0].set()
    async with Engine.open(tmp_path / "outlast.db") as engine:
        assert await engine.actor(Patient, "p").ask(Patient.take, 10) == list(range(11))


def test_who_asks_an_actor_of_another_engine_is_told_that_it_stopped() -> None:
    plan = FaultPlan(slow=0.0)
    yard = Yard(1, registry=default_registry, plan=plan, machines=2, shards=2)

    def patient(core: EngineCore) -> ActorRef[Patient]:
        return ActorRef(default_registry.find_actor(Patient), "p", core)

    async def stop(core: EngineCore) -> None:
        await patient(core).tell(Patient.stop_soon)

    async def ask(core: EngineCore) -> list[int]:
        return await patient(core).ask(Patient.take, 1)

    async def work() -> None:
        for machine in yard.machines:
            await yard.start(machine, shards_max=1)
            await yard.core(machine)
        await yard.attempt(stop, yard.machines[0])
        asks = [yard.attempt(ask, machine) for machine in yard.machines]
        for found in await asyncio.gather(*asks, return_exceptions=True):
            assert isinstance(found, ActorStopped)

    try:
        yard.run(work, seconds_max=60)
    finally:
        yard.dispose()
