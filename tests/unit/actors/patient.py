"""An actor that waits at a gate and can stop itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from outlast import Actor, actor, handler, step


@dataclass
class Seen:
    numbers: list[int] = field(default_factory=list[int])


patient_gates: list[asyncio.Event] = []


@step
async def waits_at_the_gate() -> None:
    await patient_gates[0].wait()


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
