"""Work in slices: in order, a few milliseconds at a time, and tasks as they turn out to take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from typing_extensions import override

from outlast._execution.bodies.starts import Starts
from outlast._journal.slices import SLICE_SECONDS, Slices
from outlast._world import RealWorld


class Stepping(RealWorld):
    """A world whose clock only moves when something is done."""

    seconds = 0.0

    @override
    def monotonic(self) -> float:
        return self.seconds


async def turns_until(is_over: Callable[[], bool]) -> int:
    turns = 0
    while not is_over():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_a_slice_ends_when_its_time_is_over_and_order_is_kept() -> None:
    world, done, ends = Stepping(), list[int](), list[int]()

    def do(item: int) -> None:
        done.append(item)
        world.seconds += SLICE_SECONDS / 4

    slices = Slices(world, do, then=lambda: ends.append(len(done)))
    slices.go_through(range(6))
    assert done == [0, 1, 2, 3]
    slices.go_through([6])  # behind what is left
    slices.add(7)
    assert len(slices) == 4

    await asyncio.sleep(0)

    assert done == list(range(8))
    assert ends == [8]


async def test_an_item_that_raises_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, done = Stepping(), list[int]()
    raised: list[object] = []
    world.loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))

    def do(item: int) -> None:
        if item == 1:
            raise ValueError(item)
        done.append(item)

    slices = Slices(world, do)
    for item in range(4):
        slices.add(item)
    await turns_until(lambda: len(done) == 3)

    assert done == [0, 2, 3]
    assert [type(error) for error in raised] == [ValueError]


@pytest.mark.parametrize(("slices_each", "most"), [(0.5, 2), (2.0, 1), (0.01, 100)])
async def test_as_many_tasks_start_in_a_turn_as_their_first_parts_allow(
    slices_each: float, most: int
) -> None:
    world, began = Stepping(), list[int]()
    starts = Starts(world)
    turn = 0

    async def body() -> None:
        world.seconds += slices_each * SLICE_SECONDS
        began.append(turn)

    for _ in range(400):
        starts.add(lambda: world.spawn(body(), name="body"))
    while len(began) < 400:
        await asyncio.sleep(0)
        turn += 1

    last = began[-200:]  # by then it is known how long they take
    assert max(last.count(number) for number in set(last)) <= most
    assert len(set(last)) <= 200 // most * 3 + 1


async def test_the_first_task_of_a_turn_starts_at_once() -> None:
    world, started = Stepping(), list[int]()
    starts = Starts(world)

    starts.add(partial(started.append, 1))
    assert started == [1]
    starts.add(partial(started.append, 2))
    assert started == [1]
    await turns_until(lambda: len(started) == 2)
