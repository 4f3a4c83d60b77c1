"""A user's mistakes, each of which both checkers must refuse."""

from __future__ import annotations

from typing import assert_never

from outlast import Engine, Err, Ok, Signal, Stream, Value, step, wf, workflow


class Declined(Exception):
    """No."""


number = Signal("number", int)
progress = Value("progress", float)
tokens = Stream("tokens", str)


@step
async def charge(order: str, cents: int) -> str:
    """Charge."""
    return f"{order}:{cents}"


@workflow
async def checkout(order: str) -> str:
    """Buy."""
    await charge(order, "nine")  # WRONG
    await charge(order)  # WRONG
    await charge(order, cent=1)  # WRONG
    total: int = await charge(order, 1)  # WRONG
    outcome = await charge(order, total).catch(Declined)
    match outcome:
        case Ok(_):
            pass
        case _:
            assert_never(outcome)  # WRONG
    progress.set("half")  # WRONG
    await tokens.write(3)  # WRONG
    wrong: str = await number.receive()  # WRONG
    wf.start(checkout(order), on_parent_close="maybe")  # WRONG
    return wrong


async def main() -> None:
    """Use an engine."""
    async with Engine.open("memory://types") as engine:
        run = await engine.start(checkout(7))  # WRONG
        result: int = await run.result()  # WRONG
        await run.signal(number, "seven")  # WRONG
        await engine.start(checkout("x"), on_conflict="perhaps")  # WRONG
        if isinstance(await charge("x", result).catch(Declined), Err):
            pass
