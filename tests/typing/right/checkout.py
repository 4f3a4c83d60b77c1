"""A user's program that must pass both checkers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import assert_type

from outlast import Engine, Err, Ok, Run, Signal, Stream, Value, step, wf, workflow


@dataclass
class Decision:
    """An answer."""

    approved: bool


class Declined(Exception):
    """No."""


class Blocked(Exception):
    """Not here."""


approval = Signal("approval", Decision)
progress = Value("progress", float)
tokens = Stream("tokens", str)


@step
async def charge(order: str, cents: int) -> str:
    """Charge."""
    return f"{order}:{cents}"


@step(raises=(Declined,), timeout="5s")
def ship(order: str) -> int:
    """Ship."""
    return len(order)


@workflow
async def checkout(order: str, cents: int) -> str:
    """Buy."""
    receipt = ""
    match await charge(order, cents).catch(Declined, Blocked):
        case Ok(value):
            assert_type(value, str)
            receipt = value
        case Err(error):
            assert_type(error, Declined | Blocked)
            return "declined"
    first, second = await asyncio.gather(charge(order, 1), ship(order))
    assert_type(first, str)
    assert_type(second, int)
    task = asyncio.create_task(ship(order))
    assert_type(await task, int)
    decision = await approval.receive(timeout="3d")
    assert_type(decision, Decision)
    child = wf.start(checkout(order, 1))
    assert_type(child, Run[str])
    assert_type(await child.result(), str)
    progress.set(0.5)
    await tokens.write("x")
    return receipt


async def main() -> None:
    """Use an engine."""
    async with Engine.open("memory://types") as engine:
        run = await engine.start(checkout("7", 999), id="order-7")
        assert_type(run, Run[str])
        assert_type(await run.result(timeout="1m"), str)
        assert_type(engine.get("x", checkout), Run[str])
        assert_type(engine.get("x"), Run[object])
        await run.signal(approval, Decision(True))
        assert_type(await run.read(progress), float | None)
        async for event in run.stream(tokens):
            assert_type(event.value, str | None)
