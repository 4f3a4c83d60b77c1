"""The hooks for async generators stay set between drains, and host programs notice nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator

import pytest

from outlast._execution.loop.event_loop import NOBODY, RunLoop, new_loop
from outlast._execution.loop.generator_hooks import HERE

closed: list[str] = []


@pytest.fixture(autouse=True)
def _clean() -> Generator[None]:
    closed.clear()
    hooks = sys.get_asyncgen_hooks()
    yield
    sys.set_asyncgen_hooks(*hooks)


async def numbers(name: str) -> AsyncIterator[int]:
    try:
        for n in range(3):
            yield n
    finally:
        await asyncio.sleep(0)
        closed.append(name)


def run_of(work: Callable[[], object]) -> RunLoop:
    """Return a run's loop that has called `work` in a drain."""
    loop = new_loop(NOBODY, salt=1, now=0.0)
    loop.call_soon(work)
    loop.drain()
    return loop


def step_once(generator: AsyncIterator[int]) -> None:
    """Iterate a generator up to its first value, which needs no loop."""
    with pytest.raises(StopIteration):
        anext(generator).__await__().send(None)


def test_the_host_closes_its_own_generators_after_a_run_has_drained() -> None:
    async def main() -> None:
        run_of(lambda: None)
        generator = numbers("host")
        await anext(generator)
        del generator
        for _ in range(5):
            await asyncio.sleep(0)
        assert closed == ["host"]

    asyncio.run(main())


def test_generators_that_a_host_leaves_open_are_closed_with_its_loop() -> None:
    kept: list[AsyncIterator[int]] = []

    async def main() -> None:
        run_of(lambda: None)
        kept.append(numbers("host"))
        await anext(kept[0])

    asyncio.run(main())

    assert closed == ["host"]


def test_hooks_are_set_once_for_many_drains_and_anew_for_another_loop() -> None:
    async def hooks_after_drains() -> list[object]:
        seen: list[object] = []
        for _ in range(3):
            run_of(lambda: None)
            seen.append(sys.get_asyncgen_hooks().firstiter)
        return seen

    first, second = asyncio.run(hooks_after_drains()), asyncio.run(hooks_after_drains())

    assert len(set(map(id, first))) == len(set(map(id, second))) == 1
    assert sys.get_asyncgen_hooks() == (None, None)


def test_a_thread_without_a_loop_has_its_hooks_back_after_each_drain() -> None:
    seen: list[object] = []

    def work() -> None:
        run_of(lambda: seen.append(sys.get_asyncgen_hooks().firstiter))
        seen.append(tuple(sys.get_asyncgen_hooks()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen[0] is not None
    assert seen[1] == (None, None)


def test_a_generator_that_a_run_drops_in_its_drain_is_the_runs_to_close() -> None:
    def drop() -> None:
        step_once(numbers("run"))

    loop = new_loop(NOBODY, salt=1, now=0.0)
    loop.call_soon(drop)
    loop.drain()

    assert closed == ["run"]


def test_one_that_is_dropped_outside_of_the_drain_waits_for_the_end_of_the_body() -> None:
    kept: list[AsyncIterator[int]] = []

    def begin() -> None:
        kept.append(numbers("run"))
        step_once(kept[0])

    async def main() -> None:
        loop = run_of(begin)
        kept.clear()
        gc.collect()
        await asyncio.sleep(0)
        assert closed == []
        assert loop.generators.abandon_all()
        loop.drain()

    asyncio.run(main())

    assert closed == ["run"]


def test_a_host_generator_at_the_address_of_a_runs_finished_one_is_the_hosts() -> None:
    async def main() -> None:
        loop = new_loop(NOBODY, salt=1, now=0.0)

        def finish() -> None:
            async def nothing() -> AsyncIterator[int]:
                for number in range(0):
                    yield number

            generator = nothing()
            with pytest.raises(StopAsyncIteration):
                anext(generator).__await__().send(None)

        loop.call_soon(finish)
        loop.drain()
        # Whatever stands at any known address now was started here.
        for _ in range(100):
            generator = numbers("host")
            await anext(generator)
            del generator
        for _ in range(5):
            await asyncio.sleep(0)
        assert closed == ["host"] * 100
        assert loop.generators.abandoned is None

    asyncio.run(main())


def test_what_is_remembered_of_finished_generators_is_bounded() -> None:
    async def main() -> None:
        loop = new_loop(NOBODY, salt=1, now=0.0)

        def finish_many() -> None:
            for _ in range(1_000):
                step_once(numbers("run"))

        loop.call_soon(finish_many)
        loop.drain()
        assert len(HERE.hooks._owners) < 100

    asyncio.run(main())
