"""What code may raise or return, and what the engine makes of it: a clear error, nobody harmed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest

from outlast import Engine, step, workflow
from outlast.errors import (
    PayloadTooLarge,
    RunFailed,
    StepFailed,
)
from tests.unit.engine import flows


class Unprintable(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Cyclic(Exception):
    """An error that is its own cause."""

    def __init__(self) -> None:
        super().__init__("cyclic")
        self.__cause__ = self


def recurse(n: int) -> int:
    """Never end."""
    return recurse(n + 1)


MAKERS: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: Exception("plain"),
    "BaseException": lambda: BaseException("base"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration,
    "ExceptionGroup": lambda: ExceptionGroup("many", [ValueError("a"), KeyError("b")]),
    "MemoryError": MemoryError,
    "RecursionError": lambda: RecursionError("deep"),
    "unprintable": Unprintable,
    "cyclic": Cyclic,
    "huge": lambda: ValueError("x" * 5_000_000),
    "unserialisable args": lambda: ValueError(object(), lambda: 1),
    "surrogates": lambda: ValueError("\ud800"),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "OSError": lambda: OSError(28, "No space left on device"),
    "timeout": lambda: TimeoutError("late"),
}


@step
async def raises(kind: str) -> None:
    """Raise on the loop."""
    raise MAKERS[kind]()


@step
def raises_on_a_thread(kind: str) -> None:
    """Raise on a thread."""
    raise MAKERS[kind]()


@workflow
async def through_a_step(kind: str, threaded: bool) -> str:
    """Say what comes out of a step."""
    try:
        if threaded:
            await raises_on_a_thread(kind)
        else:
            await raises(kind)
    except BaseException as error:  # noqa: BLE001  # the point
        return type(error).__name__
    return "nothing"


@workflow
async def itself(kind: str) -> None:
    """Raise in the workflow."""
    await flows.add(1, 1)
    raise MAKERS[kind]()


@pytest.mark.parametrize("threaded", [False, True], ids=["loop", "thread"])
@pytest.mark.parametrize("kind", MAKERS)
async def test_whatever_a_step_raises_is_an_outcome(kind: str, threaded: bool) -> None:
    async with Engine.open(f"memory://f40-{kind}-{threaded}") as engine:
        neighbour = await engine.start(flows.naps(0.01))

        seen = await engine.run(through_a_step(kind, threaded), timeout="30s")

        assert seen != "nothing"
        assert await neighbour.result() == "awake"


@pytest.mark.parametrize("kind", MAKERS)
async def test_whatever_a_workflow_raises_fails_that_run_alone(kind: str) -> None:
    async with Engine.open(f"memory://f40w-{kind}") as engine:
        neighbour = await engine.start(flows.naps(0.01))
        run = await engine.start(itself(kind))

        with pytest.raises(RunFailed) as raised:
            await run.result(timeout="30s")

        assert len(str(raised.value)) < 100_000
        assert await neighbour.result() == "awake"
        assert await engine.run(flows.sums(3)) == 6


RESULTS: dict[str, Callable[[], object]] = {
    "an object": object,
    "a function": lambda: flows.add.fn,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "a lone surrogate": lambda: "\ud800",
    "a huge int": lambda: 2**80,
    "a naive datetime": lambda: datetime(2026, 1, 1),  # noqa: DTZ001  # the point
    "deep nesting": lambda: _nested(100_000),
}


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@step
async def gives(kind: str) -> object:
    """Return something that cannot be stored."""
    return RESULTS[kind]()


@workflow
async def takes(kind: str) -> str:
    """Say what comes of it."""
    try:
        await gives(kind)
    except Exception as error:  # noqa: BLE001  # the point
        return f"{type(error).__name__}: {error}"
    return "stored"


@pytest.mark.parametrize("kind", RESULTS)
async def test_a_result_that_cannot_be_stored_is_the_steps_failure(kind: str) -> None:
    async with Engine.open(f"memory://f42-{kind}") as engine:
        assert (await engine.run(takes(kind))).startswith("EncodingError: cannot store")


@workflow
async def holds(data: bytes) -> int:
    """Take and give bytes."""
    return len(data)


@step
async def makes(size: int) -> bytes:
    """Make bytes."""
    return b"x" * size


@workflow
async def carries(size: int) -> int:
    """Let bytes pass through the journal."""
    return len(await makes(size))


@pytest.mark.parametrize("size", [0, 1, 40_000, 1_500_000])
async def test_payloads_up_to_the_limit_pass(engine: Engine, size: int) -> None:
    assert await engine.run(holds(b"y" * size)) == size
    assert await engine.run(carries(size)) == size


async def test_payloads_above_the_limit_are_refused(engine: Engine) -> None:
    with pytest.raises(PayloadTooLarge, match="the limit is"):
        await engine.start(holds(b"y" * 3_000_000))
    with pytest.raises(RunFailed, match="the limit is"):
        await engine.run(carries(3_000_000))


async def test_unknown_errors_keep_their_name(engine: Engine) -> None:
    @workflow
    async def sees() -> str:
        try:
            await raises("unprintable")
        except StepFailed as error:
            return error.type_name
        return ""

    assert await engine.run(sees()) == "Unprintable"
