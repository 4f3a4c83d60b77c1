"""What the simulations of actors found: each was wrong once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outlast import Actor, Engine, actor, handler, limits, step


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
    async def take_after_the_gate(self, number: int) -> list[int]:
        await waits_at_the_gate()
        return await self.take(number)


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
