"""What the killed servers of `test_streams_sigkill.py` run."""

from __future__ import annotations

import asyncio

from outlast import Actor, Stream, actor, handler, step, workflow

lines = Stream("lines", int)
parts = Stream("parts", str)


@step
async def speak(round: int, count: int) -> int:
    """Write `count` parts; killed in the midst, another attempt writes all of them anew."""
    for number in range(count):
        await parts.write(f"{round}.{number}")
        await asyncio.sleep(0.002)
    return count


@workflow
async def talk(rounds: int, count: int) -> int:
    """Write a line each round from the workflow itself, and parts from a step."""
    for number in range(rounds):
        await lines.write(number)
        await speak(number, count)
    return rounds


@actor(name="Narrator")
class Narrator(Actor[int]):
    """Says what each message tells it to, itself and in a step."""

    @handler
    async def tell_of(self, round: int, count: int) -> int:
        """Write a part of its own, and `count` in a step."""
        await parts.write(f"{round}:")
        self.state += await speak(round, count)
        return self.state

    @handler
    async def leave(self) -> None:
        """Stop for good."""
        self.stop()
