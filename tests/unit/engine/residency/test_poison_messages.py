"""An actor that cannot handle one message in a thousand: nobody else notices."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

from outlast import Actor, Engine, actor, handler, limits, step

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
MESSAGES = 50_000 if IS_FULL else 5_000
POISONED = range(499, MESSAGES, 1_000)

_tried: Counter[int] = Counter()


@dataclass
class Sum:
    count: int = 0
    total: int = 0
    is_in_order: bool = True
    last: int = -1


@step
async def adds_up(number: int) -> int:
    """Do a part of the work outside."""
    return number


@actor(overflow="block")
class Fragile(Actor[Sum]):
    """Adds numbers, and raises at some after it has changed its state."""

    @handler
    async def take(self, number: int) -> None:
        self.state.count += 1
        self.state.total += number
        if self.state.last >= number:
            self.state.is_in_order = False
        self.state.last = number
        if number in POISONED:
            _tried[number] += 1
            await adds_up(number)
            raise ValueError(f"{number} is poison")

    @handler
    async def result(self) -> Sum:
        return self.state


async def test_what_fails_is_a_dead_letter_and_all_others_are_applied(engine: Engine) -> None:
    _tried.clear()
    fragile = engine.actor(Fragile, "f")

    for number in range(MESSAGES):
        await fragile.tell(Fragile.take, number)
    result = await fragile.ask(Fragile.result)

    applied = [number for number in range(MESSAGES) if number not in POISONED]
    assert result == Sum(len(applied), sum(applied), is_in_order=True, last=MESSAGES - 1)
    letters = [letter async for letter in engine.dead_letters(fragile)]
    assert [letter.error for letter in letters] == [f"ValueError: {n} is poison" for n in POISONED]
    assert {letter.reason for letter in letters} == {"failed"}
    assert {letter.attempts for letter in letters} == {limits.ACTOR_ATTEMPTS}
    assert _tried == dict.fromkeys(POISONED, limits.ACTOR_ATTEMPTS)
    assert (await engine.actor_info(Fragile, "f")).waiting == 0
