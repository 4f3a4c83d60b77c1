"""Run locks: one at a time for each run, in the order of asking, whoever leaves the queue."""

from __future__ import annotations

import asyncio

import pytest

from outlast._engine.scheduling.run_locks import RunLocks
from outlast.types import RunId

RUN, OTHER = RunId("order-1"), RunId("order-2")


class Visits:
    """Tasks that stay with a run until they are let go, and the order in which they came in."""

    def __init__(self, locks: RunLocks) -> None:
        self.entered: list[str] = []
        self._locks = locks
        self._may_leave: dict[str, asyncio.Event] = {}

    async def begin(self, name: str, run: RunId = RUN) -> asyncio.Task[None]:
        """Return a task that is with the run or waits for it."""
        self._may_leave[name] = asyncio.Event()
        task = asyncio.create_task(self._visit(name, run))
        await settled()
        return task

    async def leave(self, name: str) -> None:
        self._may_leave[name].set()
        await settled()

    async def _visit(self, name: str, run: RunId) -> None:
        async with self._locks.alone_with(run):
            self.entered.append(name)
            await self._may_leave[name].wait()


async def settled() -> None:
    """Return when no task has anything to do at once."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_wait_come_in_one_at_a_time_in_the_order_of_asking() -> None:
    visits = Visits(RunLocks())
    for name in "abc":
        await visits.begin(name)
    assert visits.entered == ["a"]

    await visits.leave("a")
    assert visits.entered == ["a", "b"]
    await visits.leave("b")
    assert visits.entered == ["a", "b", "c"]


async def test_another_run_is_not_waited_for() -> None:
    visits = Visits(RunLocks())
    await visits.begin("a")
    await visits.begin("b", OTHER)

    assert visits.entered == ["a", "b"]


async def test_a_run_is_held_until_the_last_has_left() -> None:
    locks = RunLocks()
    visits = Visits(locks)
    assert not locks.is_held(RUN)
    await visits.begin("a")
    await visits.begin("b")

    await visits.leave("a")
    assert locks.is_held(RUN)
    await visits.leave("b")
    assert not locks.is_held(RUN)


async def test_an_operation_that_raises_passes_the_run_on() -> None:
    locks = RunLocks()
    with pytest.raises(ValueError, match="no"):
        async with locks.alone_with(RUN):
            raise ValueError("no")

    assert not locks.is_held(RUN)


async def test_one_that_is_cancelled_while_it_waits_is_passed_over() -> None:
    locks = RunLocks()
    visits = Visits(locks)
    await visits.begin("a")
    waiting = await visits.begin("b")
    await visits.begin("c")

    waiting.cancel()
    await settled()
    assert locks.is_held(RUN)
    await visits.leave("a")

    assert visits.entered == ["a", "c"]


@pytest.mark.parametrize("others", ["", "c"])
async def test_one_that_is_cancelled_as_its_turn_comes_passes_the_run_on(others: str) -> None:
    locks = RunLocks()
    visits = Visits(locks)
    first = locks.alone_with(RUN)
    await first.__aenter__()
    waiting = await visits.begin("b")
    for name in others:
        await visits.begin(name)

    await first.__aexit__(None, None, None)  # the turn has come, and its task has not run since
    waiting.cancel()
    await settled()

    assert waiting.cancelled()
    assert visits.entered == [*others]
    assert locks.is_held(RUN) == bool(others)


async def test_one_that_is_cancelled_in_the_turn_of_the_one_before_is_passed_over() -> None:
    locks = RunLocks()
    visits = Visits(locks)
    first = locks.alone_with(RUN)
    await first.__aenter__()
    waiting = await visits.begin("b")
    await visits.begin("c")

    waiting.cancel()  # it does not wait any more, and its task has not heard of it yet
    await first.__aexit__(None, None, None)
    await settled()

    assert waiting.cancelled()
    assert visits.entered == ["c"]
    await visits.leave("c")
    assert not locks.is_held(RUN)
